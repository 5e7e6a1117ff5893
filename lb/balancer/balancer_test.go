package balancer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/lb/balancer"
)

// running is a load balancer as the program runs it.
type running struct {
	t       *testing.T
	path    string // of its document
	log     *logBook
	changes chan []listeners.Status
	reload  chan os.Signal
	stop    func() error // begins the end and waits for it
	begin   func()       // begins the end
}

// run serves a document until the test ends.
func run(t *testing.T, text string) *running {
	t.Helper()
	r := &running{
		t: t, path: filepath.Join(t.TempDir(), "lb.yaml"), log: new(logBook), changes: make(chan []listeners.Status, 100), reload: make(chan os.Signal),
	}
	r.write(text)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- balancer.Run(ctx, balancer.Config{
			Path: r.path, Reload: r.reload, Stderr: r.log, Environ: os.Environ(), Version: "test", Now: time.Now,
			Listening: func(all []listeners.Status) { r.changes <- all },
		})
	}()
	r.begin, r.stop = cancel, sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("ended with %v", err)
		}
	})
	select {
	case all := <-r.changes:
		r.changes <- all
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return r
}

func (r *running) write(text string) {
	r.t.Helper()
	if err := os.WriteFile(r.path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// change writes another document and waits until the log speaks of it.
func (r *running) change(text, says string) {
	r.t.Helper()
	before := strings.Count(r.log.String(), says)
	r.write(text)
	select {
	case r.reload <- syscall.SIGHUP:
	case <-time.After(10 * time.Second):
		r.t.Fatal("nobody takes the signal")
	}
	await(r.t, "word of the configuration", func() bool { return strings.Count(r.log.String(), says) > before })
}

const (
	taken   = "configuration reloaded"
	refused = "the new configuration is refused"
)

// url returns where a listener is.
func (r *running) url(name string) string {
	r.t.Helper()
	for all := range drain(r.changes) {
		for _, l := range all {
			if l.Name == name {
				return "http://" + l.Address
			}
		}
	}
	r.t.Fatalf("there is no listener %s", name)
	return ""
}

// drain yields the newest value of a channel, which stays in it.
func drain(changes chan []listeners.Status) func(func([]listeners.Status) bool) {
	return func(yield func([]listeners.Status) bool) {
		newest := <-changes
		for len(changes) > 0 {
			newest = <-changes
		}
		changes <- newest
		yield(newest)
	}
}

// admin asks the port for operators.
func (r *running) admin(path string) (int, string) {
	r.t.Helper()
	status, text, err := fetch(r.url("admin-port")+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return status, text
}

// process is what /status says of the process.
func (r *running) process() map[string]any {
	r.t.Helper()
	_, text := r.admin("/status")
	var all struct{ Process map[string]any }
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		r.t.Fatalf("%v: %s", err, text)
	}
	return all.Process
}

// fetch asks on a connection of its own.
func fetch(url string, header http.Header) (int, string, error) {
	transport := &http.Transport{DisableKeepAlives: true}
	request, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	maps.Copy(request.Header, header)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// upstream answers with its name and the request's path, and returns its address.
func upstream(t *testing.T, name string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Seen-Id", r.Header.Get("X-Request-Id"))
		_, _ = io.WriteString(w, name+r.URL.Path)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// await waits until something that has no event of its own has happened.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	testbed.Wait(t, 10*time.Second, func() error {
		if !done() {
			return errors.New("waited in vain until " + what)
		}
		return nil
	})
}

// logBook collects log lines.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
