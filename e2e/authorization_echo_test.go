package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// echo is a service that keeps what it was sent.
type echo struct {
	addr string

	mu   sync.Mutex
	seen []sighting
}

// sighting is a request as a service saw it.
type sighting struct {
	Method, URI, Body string
	Header            http.Header
}

func startEcho(t *testing.T) *echo {
	t.Helper()
	e := &echo{}
	server := httptest.NewServer(e)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	e.addr = server.Listener.Addr().String()
	return e
}

func (e *echo) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, sighting{r.Method, r.RequestURI, string(body), r.Header})
}

// one returns the only request since the service was last asked for what it saw.
func (e *echo) one(t *testing.T) sighting {
	t.Helper()
	seen := e.take()
	if len(seen) != 1 {
		t.Fatalf("the service saw %d requests, want 1", len(seen))
	}
	return seen[0]
}

func (e *echo) none(t *testing.T) {
	t.Helper()
	if seen := e.take(); len(seen) != 0 {
		t.Errorf("the service saw %+v", seen)
	}
}

func (e *echo) take() (seen []sighting) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seen, e.seen = e.seen, nil
	return seen
}

// identityNames are the headers that only a gateway may set.
func identityNames() []string {
	return []string{"X-Client-Id", "X-Client-Subject", "X-Client-Scope", "X-Client-Issuer", "X-Token-Id"}
}

// expectIdentity checks that the service sees these headers of identity and no others, in whatever spelling.
func (s sighting) expectIdentity(t *testing.T, want http.Header) {
	t.Helper()
	identity, got := http.Header{}, http.Header{}
	for _, name := range identityNames() {
		if values, ok := want[name]; ok {
			identity[name] = values
		}
	}
	for name, values := range s.Header {
		for _, ours := range identityNames() {
			if strings.EqualFold(plainName(name), plainName(ours)) {
				got[name] = values
			}
		}
		if name == "Connection" && strings.Contains(strings.ToLower(strings.Join(values, ",")), "x-") {
			t.Errorf("Connection: %q: the next proxy would take headers away", values)
		}
	}
	if diff := cmp.Diff(identity, got); diff != "" {
		t.Errorf("identity as the service sees it (-want +got):\n%s", diff)
	}
	if id := s.Header["X-Request-Id"]; len(id) != 1 || id[0] == "" || strings.Contains(id[0], spoofed) {
		t.Errorf("X-Request-Id %q", id)
	}
}

// plainName is a header's name as a server sees it for which every mark is the same.
func plainName(name string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_.~!#$%&'*+^`|", r) {
			return '-'
		}
		return r
	}, name)
}

const spoofed = "somebody-else"

// send sends a request with a body, and with every header by which one could pass for somebody else.
func (a *asker) send(t *testing.T, method, uri, authorization, body string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, a.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.URL.Opaque = uri // goes onto the wire as it is
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	for _, name := range identityNames() {
		for _, mark := range []string{"-", "_", "."} {
			request.Header[strings.ReplaceAll(name, "-", mark)] = []string{spoofed}
		}
		request.Header[strings.Replace(strings.ToLower(name), "-", "_", 1)] = []string{spoofed}
		request.Header[strings.ToUpper(strings.Replace(name, "-", "_", 2))] = []string{spoofed}
	}
	for _, name := range []string{"X-Request-Id", "X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host", "X_Forwarded_Uri"} {
		request.Header[name] = []string{spoofed}
	}
	request.Header.Set("Connection", strings.Join(append(identityNames(), "X-Forwarded-Uri", "X-Forwarded-Method"), ", "))
	got, err := do(request)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
