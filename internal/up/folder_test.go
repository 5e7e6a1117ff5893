package up_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

func TestFolderIsHeldOnce(t *testing.T) {
	folder := openFolder(t)
	_, err := up.OpenFolder(folder.Path)
	if err == nil {
		t.Fatal("opened twice")
	}
	for _, want := range []string{fmt.Sprintf("in use by process %d:", os.Getpid()), "--data-dir"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if err := folder.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := up.OpenFolder(folder.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

func TestHalfWrittenFilesAreRemoved(t *testing.T) {
	folder := openFolder(t)
	if err := errors.Join(
		folder.WriteBootstrap(up.Bootstrap{Clients: map[string]up.Credential{"service-a": {}}}), folder.Write("gateway-1.yaml", nil), folder.Close(),
	); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".bootstrap.json.123", ".gateway-1.yaml.123", "curl/.service-a.123", "secrets/.service-a.123", ".master-key-123"} {
		if err := os.WriteFile(folder.File(name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := up.OpenFolder(folder.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	var got []string
	err = filepath.WalkDir(folder.Path, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			got = append(got, strings.TrimPrefix(path, folder.Path+"/"))
		}
		return err
	})
	if diff := cmp.Diff([]string{"bootstrap.json", "curl/service-a", "gateway-1.yaml", "lock", "secrets/service-a"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestBootstrap(t *testing.T) {
	folder := openFolder(t)
	want := up.Bootstrap{Issuer: "http://127.0.0.1:1", Clients: map[string]up.Credential{"service-a": {ClientID: "cl_1", ClientSecret: "cs_secret_1"}}}
	if got, err := folder.ReadBootstrap(); err != nil || got.Clients != nil {
		t.Errorf("of a new folder: %+v, %v", got, err)
	}
	if err := folder.WriteBootstrap(want); err != nil {
		t.Fatal(err)
	}
	got, err := folder.ReadBootstrap()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{folder.BootstrapPath(), folder.File("curl/service-a"), folder.SecretPath("service-a")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if err := os.WriteFile(folder.BootstrapPath(), []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.ReadBootstrap(); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("damaged: %v", err)
	}
}

func TestQuote(t *testing.T) {
	for _, word := range []string{"plain/path-1.txt", "", "two words", "it's", `"$(rm)"`, "a;b", "*", "~", "häuser", "line\nbreak"} {
		got, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+up.Quote(word)).Output()
		if err != nil || string(got) != word {
			t.Errorf("%q as %s is read as %q: %v", word, up.Quote(word), got, err)
		}
	}
}

func TestShellPath(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for path, want := range map[string]string{
		filepath.Join(folder, "data", "a"): "data/a",
		filepath.Join(folder, "my data"):   "'my data'",
		"/etc":                             "/etc",
	} {
		if got := up.ShellPath(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestIsGoRun(t *testing.T) {
	for path, want := range map[string]bool{
		"/tmp/go-build1234/b001/exe/countersign": true,
		"/home/me/.cache/go-build/b3/b3653c453d90cc79dff63592f669a96eee9cabaa0b654b43ec5e5a4d1c03bc22-d/countersign": true,
		"/home/me/b3/b3653c453d90cc79dff63592f669a96eee9cabaa0b654b43ec5e5a4d1c03bc22/countersign":                   false,
		"/usr/local/bin/countersign":     false,
		"/home/me/go-builds/countersign": false,
		"/home/me/exe/countersign":       false,
	} {
		if got := up.IsGoRun(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestPorts(t *testing.T) {
	for _, base := range []int{-1, 0, 65486, 70000} {
		if _, err := up.PortsFrom(base); err == nil || !strings.Contains(err.Error(), "1 to 65485") {
			t.Errorf("%d: %v", base, err)
		}
	}
	got, err := up.PortsFrom(20000)
	if err != nil {
		t.Fatal(err)
	}
	want := up.Ports{
		Entry: 20000, Gateways: [2]int{20001, 20002}, Issuer: 20010, Auth: [2]int{20011, 20012}, Admin: 20020, AuthAdmin: [2]int{20021, 20022},
		Services: [2]int{20030, 20031}, Balancer: 20040, GatewayAdmin: [2]int{20041, 20042}, ServiceAdmin: [2]int{20043, 20044},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTakenPorts(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", up.Address(testbed.FreePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	taken := listener.Addr().(*net.TCPAddr).Port
	free := func() int { return testbed.FreePort(t) }
	ports := up.Ports{
		Entry: free(), Gateways: [2]int{free(), free()}, Issuer: free(), Auth: [2]int{free(), taken}, Admin: taken,
		AuthAdmin: [2]int{free(), free()}, Balancer: free(), GatewayAdmin: [2]int{free(), free()},
	}
	err = ports.Free(t.Context())
	want := fmt.Sprintf("taken by another program: ports %d (auth server 2), %d (the admin address); end that program, or move all ports with --port-base N", taken, taken)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
