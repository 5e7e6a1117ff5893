package listeners_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/listeners"
)

// What changes under load costs no request: not with connections that are kept, nor when limits change, for which the connections
// have to be told to come anew.
func TestChangesUnderLoadLoseNothing(t *testing.T) {
	spec := listeners.Spec{Name: "a", Address: anywhere, Handler: saying("0")}
	set := newSet(t, spec)
	url := "http://" + address(t, set, "a")
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var answers atomic.Int64
	for client := range 6 {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(client%3 != 0)
		transport.Protocols.SetUnencryptedHTTP2(client%3 == 0)
		defer transport.CloseIdleConnections()
		clients.Go(func() {
			for ctx.Err() == nil {
				// net/http itself sends no POST again.
				request, _ := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, url, io.NopCloser(strings.NewReader("body")))
				response, err := transport.RoundTrip(request)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("status %d, %v", response.StatusCode, err)
				}
				_ = response.Body.Close()
				answers.Add(1)
			}
		})
	}
	for i := range 20 {
		before := answers.Load()
		spec.Handler = saying(strconv.Itoa(i))
		spec.Limits.Idle = time.Minute + time.Duration(i/2)*time.Second // every other time
		apply(t, set, spec)
		if d := dial(t, address(t, set, "a")); true {
			d.send(get)
			if got := d.answer(); got != strconv.Itoa(i) {
				t.Errorf("after change %d: %s", i, got)
			}
		}
		await(t, "the clients go on", func() bool { return answers.Load() > before+20 || t.Failed() })
	}
	cancel()
	clients.Wait()
}

func TestAConnectionOutlivesChanges(t *testing.T) {
	spec := listeners.Spec{Name: "a", Address: anywhere, Handler: saying("old")}
	set := newSet(t, spec)
	d := dial(t, address(t, set, "a"))
	step := func(want string) {
		t.Helper()
		d.send(get)
		if got := d.answer(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	step("old")
	spec.Handler = saying("new")
	apply(t, set, spec)
	step("new")
	spec.Handler, spec.Limits.Header = saying("newer"), time.Minute
	apply(t, set, spec)
	step("newer (last)") // its limits are the old ones, so the next connection is a new one
	if err := d.ends(); err != nil {
		t.Error(err)
	}
}

func TestARequestEndsWithTheHandlerItBeganWith(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	spec := listeners.Spec{Name: "a", Address: anywhere, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "old")
	})}
	set := newSet(t, spec)
	d := dial(t, address(t, set, "a"))
	d.send(get)
	<-entered
	spec.Handler = saying("new")
	apply(t, set, spec)
	close(release)
	if got := d.answer(); got != "old" {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsGoneIsDrained(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	a := listeners.Spec{Name: "a", Address: anywhere, Handler: saying("a")}
	b := listeners.Spec{Name: "b", Address: anywhere, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-release
		_, _ = io.WriteString(w, "b")
	})}
	set := newSet(t, a, b)
	at := address(t, set, "b")
	d := dial(t, at)
	d.send(get)
	<-entered
	apply(t, set, a)
	if len(set.Status()) != 1 {
		t.Errorf("got %v", set.Status())
	}
	apply(t, set, a, listeners.Spec{Name: "c", Address: at, Handler: saying("c")}) // the address is free at once
	again := dial(t, at)
	again.send(get)
	if got := again.answer(); got != "c" {
		t.Errorf("got %s", got)
	}
	close(release)
	if got := d.answer(); !strings.HasPrefix(got, "b") {
		t.Errorf("got %s", got)
	}
}

func TestARefusedSetChangesNothing(t *testing.T) {
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", anywhere)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	busy := taken.Addr().String()
	old := listeners.Spec{Name: "a", Address: anywhere, Handler: saying("old")}
	set := newSet(t, old)
	was := address(t, set, "a")
	next := old
	next.Handler = saying("new")
	files := pair(t, "a.test")
	for _, tt := range []struct {
		name string
		bad  listeners.Spec
		want []string
	}{
		{"an address that is taken", listeners.Spec{Name: "bad", Address: busy, Handler: saying("")}, []string{"bad", busy, "in use"}},
		{
			"a place to look at",
			listeners.Spec{Name: "bad", Place: "lb.yaml:3: listeners[1]", Address: busy, Handler: saying("")},
			[]string{"lb.yaml:3: listeners[1]: listener bad (" + busy + "): ", "in use"},
		},
		{"no address", listeners.Spec{Name: "bad", Address: "nowhere", Handler: saying("")}, []string{"bad", "nowhere", "want an address such as"}},
		{"no such port", listeners.Spec{Name: "bad", Address: "127.0.0.1:65536", Handler: saying("")}, []string{"bad", "port 65536: allowed is 0 to 65535"}},
		{"no name", listeners.Spec{Address: anywhere, Handler: saying("")}, []string{"name"}},
		{"a name twice", listeners.Spec{Name: "a", Address: busy, Handler: saying("")}, []string{"listener a", "same name"}},
		{"an address twice", listeners.Spec{Name: "a", Address: anywhere, Handler: saying("")}, []string{"same address"}},
		{"nothing to serve", listeners.Spec{Name: "bad", Address: busy}, []string{"bad", "handler"}},
		{"a limit below 0", listeners.Spec{Name: "bad", Address: busy, Handler: saying(""), MaxConnections: -1}, []string{"negative"}},
		{
			"no certificate",
			listeners.Spec{Name: "bad", Address: busy, Handler: saying(""), TLS: listeners.TLS{Certificate: filepath.Join(t.TempDir(), "none"), Key: files.Key}},
			[]string{"bad", busy, "none"},
		},
		{
			"a certificate of another key",
			listeners.Spec{Name: "bad", Address: busy, Handler: saying(""), TLS: listeners.TLS{Certificate: files.Certificate, Key: pair(t, "b.test").Key}},
			[]string{"bad", busy, files.Certificate},
		},
		{"half a pair", listeners.Spec{Name: "bad", Address: busy, Handler: saying(""), TLS: listeners.TLS{Key: files.Key}}, []string{"go together"}},
		{
			"TLS of a stream",
			listeners.Spec{Name: "bad", Address: busy, Stream: func(context.Context, net.Conn) {}, TLS: files},
			[]string{"stream"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			good := listeners.Spec{Name: "good", Address: anywhere, Handler: saying("")}
			if err := set.Apply(t.Context(), []listeners.Spec{next, good, tt.bad}); !contains(err, tt.want...) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			d := dial(t, was)
			d.send(get)
			if got := d.answer(); got != "old" || len(set.Status()) != 1 {
				t.Errorf("got %s, %v", got, set.Status())
			}
		})
	}
}

func TestCheckOpensNothing(t *testing.T) {
	set := newSet(t)
	spec := listeners.Spec{Name: "a", Address: anywhere, Handler: saying(""), TLS: pair(t, "a.test")}
	if err := set.Check([]listeners.Spec{spec}); err != nil || len(set.Status()) != 0 {
		t.Errorf("got %v, %v", err, set.Status())
	}
	spec.TLS.Key = spec.TLS.Certificate
	if err := set.Check([]listeners.Spec{spec}); !contains(err, "listener a", spec.TLS.Certificate) {
		t.Errorf("got %v", err)
	}
}

func TestAListenerCanChangeItsKind(t *testing.T) {
	spec := listeners.Spec{Name: "a", Address: anywhere, Handler: saying("plain")}
	set := newSet(t, spec)
	at := address(t, set, "a")
	kept := dial(t, at)
	kept.send(get)
	if got := kept.answer(); got != "plain" {
		t.Fatalf("got %s", got)
	}
	served := func() string {
		t.Helper()
		conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", at) // which one is served is what is tested
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	for _, name := range []string{"first.test", "second.test"} {
		spec.TLS = pair(t, name)
		apply(t, set, spec)
		if got := served(); got != name {
			t.Errorf("got %s, want %s", got, name)
		}
	}
	apply(t, set, listeners.Spec{Name: "a", Address: anywhere, Stream: func(_ context.Context, conn net.Conn) {
		_, _ = io.WriteString(conn, "stream")
	}})
	d := dial(t, at)
	if got, err := io.ReadAll(d.buf); string(got) != "stream" {
		t.Errorf("got %q, %v", got, err)
	}
	kept.send(get)
	if got := kept.answer(); got != "plain (last)" {
		t.Errorf("got %s", got)
	}
}

func TestAClosedSetStaysClosed(t *testing.T) {
	set := newSet(t)
	if err := set.Close(); err != nil {
		t.Fatal(err)
	}
	if err := set.Apply(t.Context(), []listeners.Spec{{Name: "a", Address: anywhere, Handler: saying("")}}); err == nil {
		t.Error("it was opened again")
	}
}

func TestClientsAreAskedForCertificates(t *testing.T) {
	spec := listeners.Spec{Name: "a", Address: anywhere, TLS: pair(t, "a.test"), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strconv.Itoa(len(r.TLS.PeerCertificates)))
	})}
	client := pair(t, "client.test")
	certificate, err := tls.LoadX509KeyPair(client.Certificate, client.Key)
	if err != nil {
		t.Fatal(err)
	}
	set := newSet(t, spec)
	for _, asked := range []bool{false, true} {
		spec.TLS.ClientCertificates = asked
		apply(t, set, spec)
		for _, shown := range [][]tls.Certificate{nil, {certificate}} {
			transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: shown}}
			resp, err := (&http.Client{Transport: transport}).Get("https://" + address(t, set, "a"))
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if want := map[bool]string{true: "1", false: "0"}[asked && shown != nil]; string(got) != want {
				t.Errorf("asked %v, shown %d: the handler sees %s", asked, len(shown), got)
			}
		}
	}
	spec.TLS = listeners.TLS{ClientCertificates: true}
	if err := set.Check([]listeners.Spec{spec}); !contains(err, "without tls") {
		t.Errorf("got %v", err)
	}
}
