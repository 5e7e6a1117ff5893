package sdk_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/sdk"
)

const (
	testClient = "cl_05gLuJsxsKBVB3UjnWB7o3"
	testSecret = "cs_secret_FTnbmgZimBYovJMWJspQsq8srhNP04x4UUPqYZ187b14VOzTG"
)

// wire is an authorization server of one scripted answer that takes down what it is sent.
type wire struct {
	*httptest.Server
	mu      sync.Mutex
	methods string // JSON array for the metadata's methods
	lacks   string // the endpoint that the metadata does not name
	answer  http.HandlerFunc
	seen    []string // method, path, the headers that matter, and the form, in order
	log     bytes.Buffer
}

func newWire(t *testing.T, answer http.HandlerFunc) *wire {
	t.Helper()
	w := &wire{answer: answer, methods: `["client_secret_basic","client_secret_post"]`}
	w.Server = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.Close)
	return w
}

func (w *wire) serve(rw http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/.well-known/") {
		text := fmt.Sprintf(`{"issuer":"%[1]s","token_endpoint":"%[1]s/token","token_endpoint_auth_methods_supported":%[2]s,
			"introspection_endpoint":"%[1]s/introspect","introspection_endpoint_auth_methods_supported":%[2]s,
			"revocation_endpoint":"%[1]s/revoke","revocation_endpoint_auth_methods_supported":%[2]s,
			"jwks_uri":"%[1]s/jwks","dpop_signing_alg_values_supported":["ES256"],"countersign_revocation_endpoint":"%[1]s/feed"}`, w.URL, w.methods)
		if w.lacks != "" {
			text = strings.Replace(text, `"`+w.lacks+`"`, `"x"`, 1)
		}
		_, _ = io.WriteString(rw, text)
		return
	}
	line := r.Method + " " + r.URL.RequestURI()
	for _, name := range []string{"Authorization", "Accept", "Content-Type", "Accept-Encoding"} {
		if value := r.Header.Get(name); value != "" && value != "gzip" {
			line += "\n" + name + ": " + value
		}
	}
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if form, err := url.ParseQuery(string(body)); err == nil && len(form) > 0 {
		line += "\n" + form.Encode()
	}
	w.mu.Lock()
	w.seen = append(w.seen, line)
	w.mu.Unlock()
	w.answer(rw, r)
}

// authority returns one for testClient.
func (w *wire) authority(t *testing.T, auth sdk.ClientAuth, opts ...sdk.Option) *sdk.Authority {
	t.Helper()
	opts = append([]sdk.Option{sdk.WithLogger(slog.New(slog.NewTextHandler(w, nil)))}, opts...)
	a, err := sdk.NewAuthority(w.URL, testClient, auth, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// Write is the log.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

func (w *wire) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// last is the last request that was seen.
func (w *wire) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.seen) == 0 {
		return ""
	}
	return w.seen[len(w.seen)-1]
}

func answers(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}
