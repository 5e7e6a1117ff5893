package up_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// partArgument makes the test binary a part.
const partArgument = "part-of-the-test"

// toldVariable is what a part of these tests answers with.
const toldVariable = "COUNTERSIGN_TEST_TOLD"

// partSettings are what a part of these tests is told.
type partSettings struct {
	Listen string `json:"listen"`
	Prints int    `json:"prints"` // bytes that it prints before it is ready
}

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == partArgument {
		if err := runPart(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// runPart serves until the leash is let go. The role "stubborn" does not end then, "broken" does not start.
func runPart(role string) error {
	var settings partSettings
	ctx, err := up.Leash(context.Background(), &settings)
	if err != nil {
		return err
	}
	if role == "broken" {
		return errors.New("the reason is written here")
	}
	line := append(bytes.Repeat([]byte("x"), 1023), '\n')
	for range settings.Prints / len(line) {
		if _, err := os.Stderr.Write(line); err != nil {
			return err
		}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", settings.Listen)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, os.Getenv(toldVariable))
	})}
	if role != "stubborn" {
		context.AfterFunc(ctx, func() { _ = server.Close() })
	}
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func openFolder(t *testing.T) *up.Folder {
	t.Helper()
	folder, err := up.OpenFolder(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	return folder
}

// start runs one part of each role, named as its role.
func start(t *testing.T, folder *up.Folder, prints int, roles ...string) (*up.System, error) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config := up.Config{
		Folder: folder, Program: program, Argument: partArgument, Logger: slog.New(slog.DiscardHandler),
		StartWithin: 20 * time.Second, StopWithin: 300 * time.Millisecond,
	}
	for _, role := range roles {
		address := up.Address(testbed.FreePort(t))
		config.Parts = append(config.Parts, up.Part{
			Name: role, Role: role, Settings: partSettings{Listen: address, Prints: prints}, Ready: "http://" + address, URL: "http://" + address,
		})
	}
	system, err := up.Start(t.Context(), config)
	if err == nil {
		t.Cleanup(func() { _ = system.Stop() })
	}
	return system, err
}

func mustStart(t *testing.T, folder *up.Folder, prints int, roles ...string) *up.System {
	t.Helper()
	system, err := start(t, folder, prints, roles...)
	if err != nil {
		t.Fatal(err)
	}
	return system
}

func TestBrokenPart(t *testing.T) {
	folder := openFolder(t)
	_, err := start(t, folder, 0, "steady", "broken")
	if err == nil {
		t.Fatal("started")
	}
	for _, want := range []string{"broken did not become ready", folder.File("logs/broken.log"), "the reason is written here"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}

func TestStartIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := up.Start(ctx, up.Config{
		Folder: openFolder(t), Parts: []up.Part{{Name: "steady", Role: "steady", Ready: "http://" + up.Address(testbed.FreePort(t))}},
		Program: os.Args[0], Argument: partArgument, Logger: slog.New(slog.DiscardHandler), StartWithin: time.Minute, StopWithin: time.Second,
	})
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "did not become ready") {
		t.Errorf("got %v", err)
	}
}

func TestStubbornPartIsKilled(t *testing.T) {
	system := mustStart(t, openFolder(t), 0, "stubborn")
	pid := system.Status()[0].PID
	if err := system.Do("stop", "stubborn"); err != nil {
		t.Fatal(err)
	}
	if status := system.Status()[0]; status.State != "stopped" || status.PID != 0 {
		t.Errorf("%+v", status)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v", pid, err)
	}
}

func TestPausedPartIsStopped(t *testing.T) {
	system := mustStart(t, openFolder(t), 0, "steady")
	if err := system.Do("pause", "steady"); err != nil {
		t.Fatal(err)
	}
	if err := system.Do("stop", "steady"); err != nil {
		t.Fatal(err)
	}
	if err := system.Do("start", "steady"); err != nil {
		t.Fatal(err)
	}
	if status := system.Status()[0]; status.State != "running" || status.Restarts != 0 {
		t.Errorf("%+v", status)
	}
}

func TestPartEndsByItself(t *testing.T) {
	system := mustStart(t, openFolder(t), 0, "steady")
	for want := 1; want <= 4; want++ { // more often than Start would have waited
		pid := system.Status()[0].PID
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		testbed.Wait(t, 20*time.Second, func() error {
			if s := system.Status()[0]; s.Restarts != want || s.State != "running" {
				return fmt.Errorf("%+v", s)
			}
			return nil
		})
	}
	if err := errors.Join(system.Do("stop", "steady"), system.Do("start", "steady")); err != nil {
		t.Error(err)
	}
}

func TestLogsAreBounded(t *testing.T) {
	const most = 16 << 20
	folder := openFolder(t)
	mustStart(t, folder, 40<<20, "steady")
	paths, err := filepath.Glob(folder.File("logs/*"))
	if err != nil || len(paths) != 2 {
		t.Fatalf("%v, %v: want the log and one predecessor", paths, err)
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > most+64<<10 || info.Size() == 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, mode %v", path, info.Size(), info.Mode())
		}
	}
}

func TestControl(t *testing.T) {
	folder := openFolder(t)
	if _, err := up.Tell(t.Context(), folder.Path, "status"); err == nil || !strings.Contains(err.Error(), "no system runs in the data folder") {
		t.Errorf("nothing runs: %v", err)
	}
	system := mustStart(t, folder, 0, "steady")
	ctx, cancel := context.WithCancel(t.Context())
	control, err := system.OpenControl(ctx)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- control.Serve(ctx) }()
	for _, command := range []string{"status", "pause steady", "start steady"} {
		if parts, err := up.Tell(ctx, folder.Path, command); err != nil || len(parts) != 1 {
			t.Errorf("%s: %v, %v", command, parts, err)
		}
	}
	if _, err := up.Tell(ctx, folder.Path, "start nobody"); err == nil || !strings.Contains(err.Error(), "allowed are steady") {
		t.Errorf("unknown part: %v", err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", folder.File("up.sock"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintln(conn, strings.Repeat("x", 10_000)); err == nil {
		var answer up.Answer
		if err := json.NewDecoder(conn).Decode(&answer); err == nil {
			t.Errorf("endless line: %+v", answer)
		}
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(folder.File("up.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
