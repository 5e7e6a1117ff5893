package e2e

import (
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// script is a gateway that answers as the token says, and keeps what it was asked.
type script struct {
	addr string
	stop func()

	mu          sync.Mutex
	asked       []question
	connections int
}

// question is what a proxy asked.
type question struct {
	Path, Method, URI, Host string
	Authorization           []string
	Body                    string
}

func startScript(t *testing.T) *script {
	t.Helper()
	s := &script{}
	server := httptest.NewUnstartedServer(s)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.connections++
		}
	}
	server.Start()
	s.stop = sync.OnceFunc(func() { server.CloseClientConnections(); server.Close() })
	t.Cleanup(s.stop)
	s.addr = server.Listener.Addr().String()
	return s
}

// scripted are the answers by token. What else there is for a token is an answer that no gateway gives.
func scripted(token string) (status int, header http.Header) {
	switch token {
	case "known":
		return http.StatusOK, http.Header{
			"X-Client-Id": {"cl_1"}, "X-Client-Subject": {"cl_1"}, "X-Client-Scope": {"read write"}, "X-Client-Issuer": {"https://issuer.test"},
			"X-Token-Id": {"t1"}, "X-Request-Id": {"r1"},
		}
	case "anybody":
		return http.StatusOK, http.Header{"X-Request-Id": {"r1"}}
	case "ambiguous":
		return http.StatusBadRequest, nil
	case "invalid":
		return http.StatusUnauthorized, http.Header{"Www-Authenticate": {`Bearer realm="api", error="invalid_token"`}}
	case "narrow":
		return http.StatusForbidden, http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope", scope="a b"`}}
	case "wrong":
		return http.StatusMethodNotAllowed, http.Header{"Allow": {"GET, HEAD"}}
	case "hasty":
		return http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}
	case "untold":
		return http.StatusServiceUnavailable, http.Header{"Retry-After": {"3"}}
	}
	return http.StatusTeapot, nil
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	s.mu.Lock()
	s.asked = append(s.asked, question{
		Path: r.URL.Path, Method: r.Header.Get("X-Forwarded-Method"), URI: r.Header.Get("X-Forwarded-Uri"),
		Host: r.Header.Get("X-Forwarded-Host"), Authorization: r.Header["Authorization"], Body: string(body),
	})
	s.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch token {
	case "silence":
		<-r.Context().Done()
		return
	case "break":
		panic(http.ErrAbortHandler)
	}
	status, header := scripted(token)
	maps.Copy(w.Header(), header)
	if status != http.StatusOK {
		w.Header().Set("Content-Type", "application/problem+json")
	}
	w.WriteHeader(status)
	if status != http.StatusOK {
		_, _ = io.WriteString(w, `{"detail":"as scripted"}`)
	}
}

// take returns what was asked since it was last called, and how many connections were made in all.
func (s *script) take() (asked []question, connections int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, s.asked = s.asked, nil
	return asked, s.connections
}

// TestProxiesKeepToTheAnswer has every proxy ask a gateway that gives every answer there is, and some that there are not.
func TestProxiesKeepToTheAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range proxyKinds() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			gateway, service := startScript(t), startEcho(t)
			proxy := kind.start(t, gateway.addr, service.addr)
			for _, token := range []string{"known", "anybody", "ambiguous", "invalid", "narrow", "wrong", "hasty", "untold"} {
				t.Run(token, func(t *testing.T) { keepsToTheAnswer(t, proxy, gateway, service, token) })
			}
			if _, connections := gateway.take(); connections > 2 {
				t.Errorf("%d connections for questions one after the other", connections)
			}
			for token, want := range map[string]int{"silence": 503, "break": 503, "nonsense": kind.nonsense} {
				t.Run(token, func(t *testing.T) { undecided(t, proxy, service, token, want) })
			}
			gateway.stop()
			t.Run("gone", func(t *testing.T) { undecided(t, proxy, service, "known", 503) })
		})
	}
}

func keepsToTheAnswer(t *testing.T, proxy *asker, gateway *script, service *echo, token string) {
	t.Helper()
	const uri, body = "/orders/7%20x?q=a%2Fb&r=/../", "what only the service may see"
	got := proxy.send(t, http.MethodPut, uri, "Bearer "+token, body)
	host, _, _ := net.SplitHostPort(proxy.Addr)
	asked, _ := gateway.take()
	for i := range asked {
		asked[i].Host = strings.TrimSuffix(asked[i].Host, strings.TrimPrefix(proxy.Addr, host)) // with the port or without
	}
	if diff := cmp.Diff([]question{{"/authorize", http.MethodPut, uri, host, []string{"Bearer " + token}, ""}}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	status, header := scripted(token)
	if status == http.StatusOK {
		seen := service.one(t)
		if got.Status != http.StatusOK || seen.Method != http.MethodPut || seen.URI != uri || seen.Body != body {
			t.Errorf("answer %d, the service saw %+v", got.Status, seen)
		}
		seen.expectIdentity(t, header)
		return
	}
	service.none(t)
	if got.Status != status {
		t.Errorf("answer %d, want %d", got.Status, status)
	}
	for _, name := range []string{"Www-Authenticate", "Allow", "Retry-After"} {
		if diff := cmp.Diff(header[name], got.Header[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if said := strings.Contains(string(got.Body), "as scripted"); !said && !proxy.deaf {
		t.Errorf("body %q", got.Body)
	}
}

// undecided expects that nobody is let in, and that the client is told to come again.
func undecided(t *testing.T, proxy *asker, service *echo, token string, want int) {
	t.Helper()
	got := proxy.send(t, http.MethodPost, "/orders", "Bearer "+token, "body")
	service.none(t)
	if got.Status != want || want == http.StatusServiceUnavailable && got.Header.Get("Retry-After") != "1" {
		t.Errorf("answer %d %v, want %d", got.Status, got.Header, want)
	}
}

// TestNginxRemembers counts questions. What differs in anything that a decision depends on is asked, and so is what was refused.
func TestNginxRemembers(t *testing.T) {
	t.Parallel()
	gateway, service := startScript(t), startEcho(t)
	var proxy *asker
	for _, kind := range proxyKinds() {
		if kind.delay > 0 {
			proxy = kind.start(t, gateway.addr, service.addr)
		}
	}
	began := time.Now()
	for i := range 50 {
		if got := proxy.send(t, http.MethodGet, "/orders?n="+strconv.Itoa(i), "Bearer known", ""); got.Status != http.StatusOK {
			t.Fatalf("answer %d", got.Status)
		}
	}
	asked, _ := gateway.take()
	if most := int(time.Since(began)/time.Second) + 2; len(asked) > most {
		t.Errorf("asked %d times for 50 requests, want at most %d", len(asked), most)
	}
	for _, seen := range service.take() {
		_, header := scripted("known")
		seen.expectIdentity(t, header)
	}
	for _, other := range []struct{ method, uri, token string }{
		{http.MethodPost, "/orders", "known"},
		{http.MethodGet, "/orders/", "known"},
		{http.MethodGet, "/orders", "anybody"},
		{http.MethodGet, "/orders", "invalid"},
		{http.MethodGet, "/orders", "invalid"},
		{http.MethodGet, "/orders", "narrow"},
		{http.MethodGet, "/orders", "narrow"},
	} {
		proxy.send(t, other.method, other.uri, "Bearer "+other.token, "")
		if asked, _ := gateway.take(); len(asked) != 1 {
			t.Errorf("%+v: asked %d times", other, len(asked))
		}
	}
}
