package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// What the files of deploy/ name: their own listeners, the gateway's and the service.
const (
	deployedEntry   = ":8080"
	deployedAsking  = "127.0.0.1:8090" // HAProxy, which the script asks
	deployedGateway = "127.0.0.1:8089"
	deployedService = "127.0.0.1:9090"
)

// proxyKind is a program that asks a gateway about every request, with its configuration in deploy/.
type proxyKind struct {
	name     string
	folder   string
	config   string
	changes  []string // pairs: places on the machine that the files name, and names in the folder of the test
	command  func(t *testing.T, config string) *exec.Cmd
	delay    time.Duration // how old a decision may be
	deaf     bool          // does not pass on the body of the gateway's answer
	nonsense int           // how it answers when the gateway's answer is none of those that there are
}

func proxyKinds() []proxyKind {
	nginxPlaces := []string{"/var/log/nginx", "log", "/var/cache/nginx-decisions", "decisions"}
	return []proxyKind{
		{name: "nginx", folder: "nginx", config: "nginx.conf", changes: nginxPlaces, command: nginx, deaf: true, nonsense: 503},
		{name: "nginx that remembers", folder: "nginx", config: "nginx-cached.conf", changes: nginxPlaces, command: nginx, deaf: true, nonsense: 503, delay: time.Second},
		{name: "haproxy", folder: "haproxy", config: "haproxy.cfg", changes: []string{"/etc/haproxy", "."}, command: haproxy, nonsense: 503},
		{name: "caddy", folder: "caddy", config: "Caddyfile", command: caddy, nonsense: http.StatusTeapot},
	}
}

// nginx runs as one process, so that nothing of it outlives the test.
func nginx(t *testing.T, config string) *exec.Cmd {
	t.Helper()
	folder := filepath.Dir(config)
	directives := "daemon off; master_process off; pid " + filepath.Join(folder, "pid") + ";"
	if os.Geteuid() == 0 {
		directives += " user root;" // the folder is nobody else's
	}
	return exec.Command(testbed.FindProgram(t, "nginx"), "-c", config, "-e", "stderr", "-g", directives)
}

func haproxy(t *testing.T, config string) *exec.Cmd {
	t.Helper()
	return exec.Command(testbed.FindProgram(t, "haproxy"), "-db", "-f", config)
}

func caddy(t *testing.T, config string) *exec.Cmd {
	t.Helper()
	return exec.Command(testbed.FindProgram(t, "caddy"), "run", "--adapter", "caddyfile", "--config", config)
}

// asker is a running proxy.
type asker struct {
	proxyKind

	URL  string
	Addr string
	out  *output
	work string // the folder that it runs in
}

// start runs the program with the files of deploy/ as they are, but for addresses and places.
func (k proxyKind) start(t *testing.T, gateway, service string) *asker {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"log", "decisions", "temp"} {
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	entry, asking := up.Address(testbed.FreePort(t)), up.Address(testbed.FreePort(t))
	changes := []string{deployedAsking, asking, deployedGateway, gateway, deployedService, service}
	// All addresses of the machine are more than a test needs.
	changes = append(changes, "bind "+deployedEntry, "bind "+entry, "listen 8080", "listen "+entry, "\n"+deployedEntry+" {", "\n"+strings.TrimPrefix(entry, "127.0.0.1")+" {\n\tbind 127.0.0.1")
	for i := 0; i < len(k.changes); i += 2 {
		changes = append(changes, k.changes[i], filepath.Join(folder, k.changes[i+1]))
	}
	changes = append(changes, "\nhttp {", "\nhttp {"+nginxTemporary(folder)) // where an ordinary user may write
	k.copyFiles(t, folder, strings.NewReplacer(changes...))

	a := &asker{proxyKind: k, URL: "http://" + entry, Addr: entry}
	a.run(t, k.command(t, filepath.Join(folder, k.config)), folder)
	return a
}

// run starts the program in folder and waits until it accepts connections.
func (a *asker) run(t *testing.T, command *exec.Cmd, folder string) {
	t.Helper()
	a.out, a.work = &output{}, folder
	command.Dir = folder
	command.Env = append(outerEnvironment(folder), "XDG_DATA_HOME="+filepath.Join(folder, "temp"))
	command.Stdout, command.Stderr = a.out, a.out
	running := testbed.StartProgram(t, command)
	t.Cleanup(func() {
		if t.Failed() {
			text := a.out.String()
			t.Logf("%s printed:\n%s", command.Path, text[max(0, len(text)-maxShown):])
		}
	})
	testbed.Wait(t, startWithin, func() error {
		select {
		case <-running.Gone():
			return fmt.Errorf("%s ended", command.Path)
		default:
			return accepts(t.Context(), a.Addr)
		}
	})
}

// copyFiles copies the folder of deploy/ with changes, each of which must be in it.
func (k proxyKind) copyFiles(t *testing.T, folder string, changes *strings.Replacer) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "deploy", k.folder, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(errors.Join(err, errors.New("there are no files of "+k.folder)))
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(file)), []byte(changes.Replace(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, address := range []string{deployedGateway, deployedService} {
		if !strings.Contains(all.String(), address) {
			t.Fatalf("the files of %s do not name %s", k.folder, address)
		}
	}
}

func nginxTemporary(folder string) (directives string) {
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		directives += "\n    " + kind + "_temp_path " + filepath.Join(folder, "temp", kind) + ";"
	}
	return directives
}

func accepts(ctx context.Context, address string) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
