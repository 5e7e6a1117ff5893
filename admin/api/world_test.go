package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

// world is a server instance on a database of its own, with one client that may do everything.
type world struct {
	testing.TB

	public, admin string
	master        seal.Key
	store         *sqlstore.Store
	registry      *registry.Registry // beside the instance, as the system
	root          seed.Credential
	token         string // of root, with every scope
	seen          *record
	stop          func() // ends the instance before the test does
	log           *logged
	client        http.Client
}

// logged is what the instance writes.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// find returns the first line that holds what.
func (l *logged) find(t testing.TB, what string) string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, what) {
			return line
		}
	}
	t.Fatalf("no line of the log has %s", what)
	return ""
}

// newWorld starts it until the test ends.
func newWorld(t testing.TB) *world {
	t.Helper()
	folder := t.TempDir()
	w := &world{TB: t, client: http.Client{Timeout: time.Minute}}
	settings := instance.DefaultSettings()
	settings.Listen, settings.AdminListen, settings.Issuer = "127.0.0.1:0", "127.0.0.1:0", "http://127.0.0.1"
	settings.Database, settings.MasterKeyFile = "sqlite:"+filepath.Join(folder, "db"), filepath.Join(folder, "master.key")
	var err error
	w.master, err = seal.CreateKeyFile(settings.MasterKeyFile)
	w.check(err)
	w.store, err = instance.OpenStore(t.Context(), settings, slog.New(slog.DiscardHandler), nil)
	w.check(err)
	t.Cleanup(func() { w.check(w.store.Close()) })
	w.registry, err = seed.System(t.Context(), w.store, w.master, time.Now)
	w.check(err)
	w.root, err = seed.Client(t.Context(), w.registry, seed.Admin())
	w.check(err)
	w.log = &logged{}
	w.run(instance.Config{Settings: settings, Version: "test", Logger: slog.New(slog.NewJSONHandler(w.log, nil)), Now: time.Now})
	w.token = w.ask(w.root, auth.AdminAPI, "")
	w.seen = newRecord(w)
	return w
}

func (w *world) run(c instance.Config) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan struct{}), make(chan error, 1)
	c.Listening = func(p, a net.Addr) {
		w.public, w.admin = "http://"+p.String(), "http://"+a.String()
		close(listening)
	}
	go func() { ended <- instance.Run(ctx, c) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(w.stop)
	select {
	case <-listening:
	case err := <-ended:
		ended <- nil
		w.Fatal(err)
	}
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// ask returns an access token. No scope asks for whatever is granted.
func (w *world) ask(client seed.Credential, resource, scope string) string {
	w.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {resource}}
	if scope != "" {
		form.Set("scope", scope)
	}
	request, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.public+"/oauth2/token", strings.NewReader(form.Encode()))
	w.check(err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(client.ID.String(), client.Secret.Reveal())
	response, err := w.client.Do(request)
	w.check(err)
	defer response.Body.Close()
	var got struct {
		Token string `json:"access_token"`
	}
	body, err := io.ReadAll(response.Body)
	w.check(err)
	if err := json.Unmarshal(body, &got); err != nil || got.Token == "" {
		w.Fatalf("token: %s %s", response.Status, body)
	}
	return got.Token
}

// call is a request below wire.Base.
type call struct {
	method, path string
	token        string // none: the world's
	body         any    // string: as it is; nil: none
	header       http.Header
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// do sends a call and holds the answer against the OpenAPI document.
func (w *world) do(c call) reply {
	w.Helper()
	got := w.send(c)
	w.seen.hold(c, got)
	return got
}

func (w *world) send(c call) (got reply) {
	w.Helper()
	for range 20 { // a machine that is busy with other things may say that it needs time
		if got = w.once(c); got.status != http.StatusServiceUnavailable {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return got
}

func (w *world) once(c call) reply {
	w.Helper()
	body := w.encoded(c.body)
	request, err := http.NewRequestWithContext(w.Context(), c.method, w.admin+wire.Base+c.path, strings.NewReader(body))
	w.check(err)
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token == "" {
		c.token = w.token
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	maps.Copy(request.Header, c.header)
	response, err := w.client.Do(request)
	w.check(err)
	defer response.Body.Close()
	got := reply{status: response.StatusCode, header: response.Header}
	got.body, err = io.ReadAll(response.Body)
	w.check(err)
	return got
}

// encoded is what is sent as a body.
func (w *world) encoded(body any) string {
	w.Helper()
	switch b := body.(type) {
	case nil:
		return ""
	case string:
		return b
	}
	text, err := json.Marshal(body)
	w.check(err)
	return string(text)
}

// want sends a call, which must be answered with status, and decodes the answer into T.
func want[T any](w *world, status int, c call) (T, reply) {
	w.Helper()
	got := w.do(c)
	if got.status != status {
		w.Fatalf("%s %s: %d, want %d: %s", c.method, c.path, got.status, status, got.body)
	}
	var out T
	if len(got.body) > 0 {
		w.check(json.Unmarshal(got.body, &out))
	}
	return out, got
}

// refused sends a call, which must be answered with a problem of this status and code.
func (w *world) refused(status int, code string, c call) wire.Problem {
	w.Helper()
	p, got := want[wire.Problem](w, status, c)
	if p.Code != code || p.Status != status || p.Request == "" || got.header.Get("Content-Type") != "application/problem+json" {
		w.Errorf("%s %s: %s", c.method, c.path, got.body)
	}
	return p
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h[http.CanonicalHeaderKey(pairs[i])] = []string{pairs[i+1]}
	}
	return h
}

func ifMatch(tag string) http.Header { return header("If-Match", tag) }
