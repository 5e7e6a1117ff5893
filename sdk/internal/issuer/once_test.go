package issuer_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

// A kept connection that breaks makes net/http send a request again by itself. What a server takes one time must not be in there twice.
func TestWhatIsGoodForOnceIsNotSentTwice(t *testing.T) {
	for _, tt := range []struct {
		name string
		add  func(n string, h http.Header, form url.Values)
		said func(*http.Request) string
	}{
		{"assertion", func(n string, _ http.Header, form url.Values) { form.Set("client_assertion", n) }, func(r *http.Request) string { return r.PostFormValue("client_assertion") }},
		{"proof", func(n string, h http.Header, _ url.Values) { h.Set("DPoP", n) }, func(r *http.Request) string { return r.Header.Get("DPoP") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			var seen []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				seen = append(seen, tt.said(r))
				broken := len(seen) == 2
				mu.Unlock()
				if broken { // on a connection that was used before
					panic(http.ErrAbortHandler)
				}
				_, _ = io.WriteString(w, `{}`)
			}))
			defer server.Close()
			i, err := issuer.New(issuer.Config{Identifier: server.URL})
			if err != nil {
				t.Fatal(err)
			}
			defer i.Close()
			prepared := 0
			for range 2 {
				if _, err := i.Do(t.Context(), issuer.Request{
					Method: http.MethodPost, URL: server.URL + "/token", Limit: 1 << 10, Rounds: 2, Form: url.Values{},
					Prepare: func(_ context.Context, h http.Header, form url.Values) error {
						prepared++
						tt.add(strconv.Itoa(prepared), h, form)
						return nil
					},
				}); err != nil {
					t.Fatal(err)
				}
			}
			if len(seen) != 3 || seen[0] != "1" || seen[1] != "2" || seen[2] != "3" {
				t.Errorf("the server saw %v", seen)
			}
		})
	}
}

func TestMutualTLSAliases(t *testing.T) {
	const text = `{"issuer":"https://a.test","token_endpoint":"https://a.test/t","introspection_endpoint":"https://a.test/i","revocation_endpoint":"https://a.test/r",
		"countersign_revocation_endpoint":"https://a.test/f","mtls_endpoint_aliases":{"token_endpoint":"https://m.a.test/t","revocation_endpoint":"https://m.a.test/r",
		"countersign_revocation_endpoint":"https://m.a.test/f","other":1}}`
	m, err := issuer.ParseMetadata([]byte(text), "https://a.test")
	if err != nil {
		t.Fatal(err)
	}
	own := m.MutualTLS()
	if own.TokenEndpoint != "https://m.a.test/t" || own.IntrospectionEndpoint != "https://a.test/i" || own.RevocationEndpoint != "https://m.a.test/r" ||
		own.RevocationFeed != "https://m.a.test/f" || m.TokenEndpoint != "https://a.test/t" {
		t.Errorf("got %+v of %+v", own, m)
	}
	for _, wrong := range []string{`"http://m.a.test/t"`, `"x"`, `7`} {
		if _, err := issuer.ParseMetadata([]byte(`{"issuer":"https://a.test","mtls_endpoint_aliases":{"token_endpoint":`+wrong+`}}`), "https://a.test"); err == nil {
			t.Errorf("an alias %s was taken", wrong)
		}
	}
}
