package sdk_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// resource is a transport to a service in memory. Requests are kept; answer answers them.
type resource struct {
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	answer   func(n int, r *http.Request) *http.Response
	idle     int
}

func (s *resource) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.bodies = append(s.bodies, string(body))
	n, answer := len(s.requests), s.answer
	s.mu.Unlock()
	if answer == nil {
		answer = func(int, *http.Request) *http.Response { return reply(200) }
	}
	resp := answer(n, r)
	if resp == nil {
		return nil, errors.New("connection reset")
	}
	resp.Request = r
	return resp, nil
}

func (s *resource) CloseIdleConnections() { s.idle++ }

func reply(status int, header ...string) *http.Response {
	h := http.Header{}
	for n := 0; n < len(header); n += 2 {
		h.Add(header[n], header[n+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("answer"))}
}

// refuse answers the first request with 401.
func refuse(header ...string) func(int, *http.Request) *http.Response {
	return func(n int, _ *http.Request) *http.Response {
		if n == 1 {
			return reply(401, header...)
		}
		return reply(200)
	}
}

// closing is a body that remembers whether it was closed.
type closing struct {
	io.Reader
	closed bool
}

func (b *closing) Close() error {
	b.closed = true
	return nil
}

func TestTransport_AddsTheToken(t *testing.T) {
	service := &resource{}
	client := newClient(t, sdktest.New(), nil)
	rt := client.Transport(service, warehouse, "read")
	r, _ := http.NewRequestWithContext(t.Context(), "POST", warehouse, strings.NewReader("hello"))
	r.Header.Set("Accept", "text/plain")
	resp, err := rt.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	sent := service.requests[0]
	token := tokenOf(t, client.TokenSource(warehouse, "read"))
	if sent.Header.Get("Authorization") != "Bearer "+token.AccessToken() || sent.Header.Get("Accept") != "text/plain" || service.bodies[0] != "hello" {
		t.Error("what was sent is not the request with the token")
	}
	if r.Header.Get("Authorization") != "" || resp.Request != r {
		t.Error("the caller's request was changed, or the answer leads to the token")
	}
}

func TestTransport_LeavesOtherCredentialsAlone(t *testing.T) {
	for _, name := range []string{"Authorization", "authorization", "AUTHORIZATION"} {
		issuer := sdktest.New()
		service := &resource{answer: refuse()}
		r, _ := http.NewRequestWithContext(t.Context(), "GET", warehouse, nil)
		r.Header[name] = []string{"Basic eDp5"}
		resp, err := newClient(t, issuer, nil).Transport(service, warehouse).RoundTrip(r)
		if err != nil || resp.StatusCode != 401 {
			t.Fatalf("%v, %v", resp, err)
		}
		if len(service.requests) != 1 || service.requests[0] != r || issuer.Requests(sdktest.TokenEndpoint) != 0 {
			t.Errorf("%s: the request was not left as it is", name)
		}
	}
}

func TestTransport_RequestWithoutHeader(t *testing.T) {
	service := &resource{}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", warehouse, nil)
	r.Header = nil
	if _, err := newClient(t, sdktest.New(), nil).Transport(service, warehouse).RoundTrip(r); err != nil {
		t.Fatal(err)
	}
}

func TestTransport_After401(t *testing.T) {
	once := func() io.Reader { return io.MultiReader(strings.NewReader("hello")) } // net/http cannot get it again
	for _, tt := range []struct {
		name     string
		body     func() io.Reader
		answer   func(int, *http.Request) *http.Response
		requests int
		status   int
	}{
		{"without a body", nil, refuse(), 2, 200},
		{"an empty body", func() io.Reader { return http.NoBody }, refuse(), 2, 200},
		{"a body that can be had again", func() io.Reader { return strings.NewReader("hello") }, refuse(), 2, 200},
		{"a body that cannot", once, refuse(), 1, 401},
		{"invalid_token", nil, refuse("WWW-Authenticate", `Bearer realm="x", error="invalid_token"`), 2, 200},
		{"insufficient_scope", nil, refuse("WWW-Authenticate", `Bearer error="insufficient_scope", scope="write"`), 1, 401},
		{"insufficient_scope, unquoted, second challenge", nil, refuse("WWW-Authenticate", "Basic", "WWW-Authenticate", "bearer Error=insufficient_scope"), 1, 401},
		{"refused again", nil, func(int, *http.Request) *http.Response { return reply(401) }, 2, 401},
		{"403", nil, func(int, *http.Request) *http.Response { return reply(403) }, 1, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			issuer := sdktest.New()
			service := &resource{answer: tt.answer}
			var body io.Reader
			if tt.body != nil {
				body = tt.body()
			}
			r, _ := http.NewRequestWithContext(t.Context(), "POST", warehouse, body)
			resp, err := newClient(t, issuer, nil).Transport(service, warehouse).RoundTrip(r)
			if err != nil || resp.StatusCode != tt.status {
				t.Fatalf("%v, %v; want status %d", resp, err, tt.status)
			}
			if text, _ := io.ReadAll(resp.Body); string(text) != "answer" {
				t.Errorf("body %q", text)
			}
			if len(service.requests) != tt.requests || issuer.Requests(sdktest.TokenEndpoint) != tt.requests {
				t.Fatalf("%d requests, %d for tokens; want %d", len(service.requests), issuer.Requests(sdktest.TokenEndpoint), tt.requests)
			}
			if tt.requests == 2 {
				first, second := service.requests[0].Header.Get("Authorization"), service.requests[1].Header.Get("Authorization")
				if first == second || service.bodies[0] != service.bodies[1] {
					t.Errorf("the same token, or bodies %q", service.bodies)
				}
			}
		})
	}
}

func TestTransport_RefusalStands(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*sdktest.Issuer, *http.Request)
	}{
		{"issuer is down", func(i *sdktest.Issuer, _ *http.Request) { i.Down(true) }},
		{"secret is refused", func(i *sdktest.Issuer, _ *http.Request) { i.RotateSecret(i.ClientID(), "other") }},
		{"no body again", func(_ *sdktest.Issuer, r *http.Request) {
			r.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		}},
		{"the same token again", func(i *sdktest.Issuer, _ *http.Request) {
			i.Alter(sdktest.TokenEndpoint, func(answer map[string]any) { answer["access_token"] = "first" })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				issuer := sdktest.New()
				issuer.Alter(sdktest.TokenEndpoint, func(answer map[string]any) { answer["access_token"] = "first" })
				client := newClient(t, issuer, nil)
				tokenOf(t, client.TokenSource(warehouse))
				service := &resource{answer: refuse()}
				r, _ := http.NewRequestWithContext(t.Context(), "POST", warehouse, strings.NewReader("hello"))
				tt.change(issuer, r)
				resp, err := client.Transport(service, warehouse).RoundTrip(r)
				if err != nil || resp.StatusCode != 401 || len(service.requests) != 1 {
					t.Fatalf("%v, %v after %d requests; want the 401", resp, err, len(service.requests))
				}
				if text, _ := io.ReadAll(resp.Body); string(text) != "answer" {
					t.Errorf("body %q: it was drained", text)
				}
			})
		})
	}
}

func TestTransport_RefusalsAreRationed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		service := &resource{answer: func(int, *http.Request) *http.Response { return reply(401) }}
		client := &http.Client{Transport: newClient(t, issuer, nil).Transport(service, warehouse)}
		began := time.Now()
		for time.Since(began) < time.Minute {
			resp, err := client.Get(warehouse)
			if err != nil || resp.StatusCode != 401 {
				t.Fatalf("%v, %v", resp, err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if n := issuer.Requests(sdktest.TokenEndpoint); n > 10 {
			t.Errorf("%d requests for tokens in a minute of 401s", n)
		}
	})
}

func TestTransport_BurstOf401MakesOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		client := newClient(t, issuer, nil)
		old := tokenOf(t, client.TokenSource(warehouse))
		issuer.Slow(50*time.Millisecond, sdktest.TokenEndpoint)
		service := &resource{answer: func(_ int, r *http.Request) *http.Response {
			if strings.HasSuffix(r.Header.Get("Authorization"), old.AccessToken()) {
				return reply(401)
			}
			return reply(200)
		}}
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				r, _ := http.NewRequestWithContext(t.Context(), "GET", warehouse, nil)
				if resp, err := client.Transport(service, warehouse).RoundTrip(r); err != nil || resp.StatusCode != 200 {
					t.Errorf("%v, %v", resp, err)
				}
			})
		}
		all.Wait()
		if n := issuer.Requests(sdktest.TokenEndpoint); n != 2 {
			t.Errorf("%d requests for tokens, want 2", n)
		}
	})
}

func TestTransport_DrainsAndClosesTheFirstAnswer(t *testing.T) {
	large := &closing{Reader: bytes.NewReader(make([]byte, 1<<20))}
	service := &resource{answer: func(n int, _ *http.Request) *http.Response {
		resp := reply(200)
		if n == 1 {
			resp = reply(401)
			resp.Body = large
		}
		return resp
	}}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", warehouse, nil)
	if _, err := newClient(t, sdktest.New(), nil).Transport(service, warehouse).RoundTrip(r); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(large)
	if read := 1<<20 - len(rest); read != 64<<10 || !large.closed {
		t.Errorf("read %d bytes, closed %v; want 64 KiB, closed", read, large.closed)
	}
}

// pending is a body that does not come until it is closed.
type pending struct{ closed chan struct{} }

func (p *pending) Read([]byte) (int, error) {
	<-p.closed
	return 0, errors.New("closed")
}

func (p *pending) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func TestTransport_FirstAnswerThatDoesNotEndHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		service := &resource{answer: func(n int, _ *http.Request) *http.Response {
			resp := reply(200)
			if n == 1 {
				resp = reply(401)
				resp.Body = &pending{make(chan struct{})}
			}
			return resp
		}}
		r, _ := http.NewRequestWithContext(t.Context(), "GET", warehouse, nil)
		began := time.Now()
		resp, err := newClient(t, sdktest.New(), nil).Transport(service, warehouse).RoundTrip(r)
		if err != nil || resp.StatusCode != 200 || time.Since(began) > 100*time.Millisecond {
			t.Errorf("%v, %v after %v", resp, err, time.Since(began))
		}
	})
}

func TestTransport_ClosesTheBodyWithoutAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		issuer.RotateSecret(issuer.ClientID(), "other")
		body := &closing{Reader: strings.NewReader("hello")}
		service := &resource{}
		r, _ := http.NewRequestWithContext(t.Context(), "POST", warehouse, body)
		var e *sdk.TokenError
		if _, err := newClient(t, issuer, nil).Transport(service, warehouse).RoundTrip(r); !errors.As(err, &e) || e.Code != "invalid_client" {
			t.Errorf("error %v, want invalid_client", err)
		}
		if !body.closed || len(service.requests) > 0 {
			t.Errorf("body closed: %v; %d requests without a token", body.closed, len(service.requests))
		}
	})
}

func TestTransport_FailureOfTheServiceIsPassedOn(t *testing.T) {
	service := &resource{answer: func(int, *http.Request) *http.Response { return nil }}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", warehouse, nil)
	if _, err := newClient(t, sdktest.New(), nil).Transport(service, warehouse).RoundTrip(r); err == nil || len(service.requests) != 1 {
		t.Errorf("error %v after %d requests", err, len(service.requests))
	}
}

func TestTransport_CloseIdleConnections(t *testing.T) {
	service := &resource{}
	client := newClient(t, sdktest.New(), nil)
	(&http.Client{Transport: client.Transport(service, warehouse)}).CloseIdleConnections()
	if service.idle != 1 {
		t.Error("it did not reach the transport beneath")
	}
	client.HTTPClient(warehouse).CloseIdleConnections()
}
