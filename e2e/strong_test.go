package e2e

import (
	"bytes"
	"crypto/tls"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/auth"
)

// strong are two instances on one database, with clients that authenticate by keys and certificates. one ends TLS itself, and has a second
// address for clients with certificates. other is plain HTTP behind a proxy on this machine, whose Client-Cert header it believes, and takes
// DPoP proofs with nonces only.
type strong struct {
	*pair

	mtls     string         // one's second address
	database *testbed.Proxy // between other and MariaDB; nil: SQLite
	keys     *keyServer
	ca       *opensslCA // of clients
	plain    *http.Client

	bySet, byURL, byPS256 keyClient
	badKeys               map[string]keyClient // by what their jwks_uri leads to
	byCertificate         map[auth.CertificateField]certified
	bySelf, byBareKey     certified
	bound                 credential // its tokens are bound to its certificate
	boundOperator         credential // and this one's are, too, which are good for the server's own endpoints
	dpopOnly              credential // its tokens are bound to a DPoP key

	mu   sync.Mutex
	sent []string // assertions, proofs and certificates
}

// keyClient is a client with its private key.
type keyClient struct {
	ID  string
	key *testKey
}

// startStrong registers everybody and starts the instances.
func startStrong(t *testing.T, kind string) *strong {
	t.Helper()
	w := &strong{pair: &pair{seeded: newSeeded(t, kind)}, ca: newOpensslCA(t, "clients"), keys: startKeyServer(t)}
	servers := newOpensslCA(t, "servers")
	own := servers.Issue(t, "server", "/CN=server", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n", "1")
	w.registerKeys(t)
	w.registerCertificates(t)
	common := []string{
		"log-level=debug", "failure-limit=0", "tls-client-ca=" + w.ca.File, "outbound-allow=127.0.0.1", "outbound-ca=" + w.keys.ca, "database-timeout=1s",
	}
	second := up.Address(testbed.FreePort(t))
	w.mtls = "https://" + second
	w.one = startInstance(t, w.seeded, append(common, "tls-cert="+own.File, "tls-key="+own.Key, "mtls-listen="+second, "mtls-url="+w.mtls)...)
	w.one.URL = strings.Replace(w.one.URL, "http://", "https://", 1)
	plain := append(common, "client-cert-from=127.0.0.1", "dpop-nonce-required=true")
	if kind == "mariadb" {
		w.database = testbed.StartProxy(t, hostOf(t, w.Database))
		plain = append(plain, "database="+through(t, w.Database, w.database.Addr()))
	}
	w.other = startInstance(t, w.seeded, plain...)
	w.plain = trusting(t, servers.File)
	return w
}

// showing is a client of HTTP that has this certificate.
func (w *strong) showing(t *testing.T, c certificate) *http.Client {
	t.Helper()
	if c == (certificate{}) {
		return w.plain
	}
	pair, err := tls.LoadX509KeyPair(c.File, c.Key)
	if err != nil {
		t.Fatal(err)
	}
	trusting, _ := w.plain.Transport.(*http.Transport)
	transport := trusting.Clone()
	transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: endWithin}
}

// shot is a POST.
type shot struct {
	to     string // a server's address
	path   string // empty: the token endpoint
	by     *http.Client
	form   url.Values // grant_type is added for the token endpoint
	header http.Header
}

func (w *strong) send(t *testing.T, s shot) answer {
	t.Helper()
	if s.path == "" {
		s.path = tokenPath
	}
	form := url.Values{}
	if s.path == tokenPath {
		form.Set("grant_type", "client_credentials")
	}
	maps.Copy(form, s.form)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.to+s.path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range s.header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w.remember(form.Get("client_assertion"), request.Header.Get("DPoP"), request.Header.Get("Client-Cert"))
	if s.by == nil {
		s.by = w.plain
	}
	got, err := doBy(s.by, request)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

const (
	tokenPath      = "/oauth2/token"
	introspectPath = "/oauth2/introspect"
	revokePath     = "/oauth2/revoke"
	feedPath       = "/oauth2/revocations"
)

// remember takes down what must not be printed.
func (w *strong) remember(values ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, value := range values {
		if len(value) > 40 {
			w.sent = append(w.sent, value)
		}
	}
}

// printedNothing looks for what was sent in what the servers print at the level debug.
func (w *strong) printedNothing(t *testing.T) {
	for _, s := range w.both() {
		text := s.out.String()
		if !strings.Contains(text, `"invalid_client"`) || !strings.Contains(text, `"invalid_dpop_proof"`) || len(w.sent) < 100 {
			t.Errorf("there is nothing to look at: %d values were sent", len(w.sent))
		}
		for _, value := range w.sent {
			// The last part of a token is its signature, the end of a certificate its.
			if strings.Contains(text, value) || strings.Contains(text, value[len(value)-40:]) {
				t.Fatalf("printed: %s", value)
			}
		}
	}
}

func basic(c credential) http.Header {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(c.ID, c.Secret)
	return r.Header
}

// refused expects the very answer that a wrong secret gets (A02).
func (w *strong) refused(t *testing.T, got answer) {
	t.Helper()
	wrong := w.send(t, shot{to: w.one.URL, header: basic(credential{w.Caller.ID, w.Stranger.Secret})})
	if wrong.Status != http.StatusUnauthorized || wrong.Text("error") != "invalid_client" {
		t.Fatalf("A02: %d %s", wrong.Status, wrong.Body)
	}
	w.same(t, got, wrong)
}

// same expects two answers that cannot be told apart.
func (*strong) same(t *testing.T, got, want answer) {
	t.Helper()
	if got.Status != want.Status || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("got %d %s, want %d %s", got.Status, got.Body, want.Status, want.Body)
	}
	for _, name := range []string{"WWW-Authenticate", "Cache-Control", "Content-Type"} {
		if got.Header.Get(name) != want.Header.Get(name) {
			t.Errorf("%s: got %q, want %q", name, got.Header.Get(name), want.Header.Get(name))
		}
	}
}

// expect wants a status and, unless it is 200, an error.
func (*strong) expect(t *testing.T, got answer, status int, code string) {
	t.Helper()
	if got.Status != status || got.Text("error") != code || status == http.StatusOK && got.Text("access_token") == "" {
		t.Errorf("got %d %s, want %d %s", got.Status, got.Body, status, code)
	}
}

// TestStrongAuthentication is the sections A17 to A49, B and D of the checklist.
func TestStrongAuthentication(t *testing.T) {
	t.Parallel()
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := startStrong(t, kind)
			t.Run("assertions", w.assertions)
			t.Run("attackers' assertions", w.forgedAssertions)
			t.Run("assertions are good for once", w.assertionsOnce)
			t.Run("key sets by address", w.fetchedKeys)
			t.Run("certificates", w.certificates)
			t.Run("certificates in headers", w.forwardedCertificates)
			t.Run("several ways at once", w.severalWays)
			t.Run("bound to certificates", w.boundToCertificates)
			t.Run("proofs", w.proofs)
			t.Run("nonces", w.nonces)
			t.Run("bound to keys", w.boundToKeys)
			t.Run("metadata", w.metadata)
			t.Run("A50", w.disabled)
			t.Run("A30 D09 after a restart", w.afterRestart)
			if w.database != nil {
				t.Run("without the database", w.withoutDatabase)
			}
			t.Run("logs", w.printedNothing)
		})
	}
}

// disabled is A50, for secrets and for what takes their place: who is gone looks like who never was.
func (w *strong) disabled(t *testing.T) {
	key := newTestKey(t, "k1")
	id := w.register(t, "to be disabled", auth.PrivateKeyJWT, auth.Proofs{JWKS: setOf(t, key)})
	withSecret := w.Client(t, "secret to be disabled", []string{jwtAPI}, nil)
	assertion := func() shot { return shot{to: w.one.URL, form: asserted(key.assertion(t, id, nil, nil))} }
	secret := shot{to: w.one.URL, header: basic(withSecret)}
	w.expect(t, w.send(t, assertion()), http.StatusOK, "")
	w.expect(t, w.send(t, secret), http.StatusOK, "")
	secrets, err := w.Registry.ListSecrets(t.Context(), w.Actor, clientID(t, withSecret))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Registry.DisableSecret(t.Context(), w.Actor, secrets[0].ID, false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Registry.SetClientStatus(t.Context(), w.Actor, clientID(t, credential{ID: id}), auth.Disabled); err != nil {
		t.Fatal(err)
	}
	for _, next := range []func() shot{assertion, func() shot { return secret }} {
		var got answer
		testbed.Wait(t, promptly, func() error {
			if got = w.send(t, next()); got.Status == http.StatusOK {
				return errors.New("still let in")
			}
			return nil
		})
		w.refused(t, got)
	}
}

// afterRestart has what was used before used again when an instance is back that was killed.
func (w *strong) afterRestart(t *testing.T) {
	assertion := w.bySet.key.assertion(t, w.bySet.ID, nil, nil)
	used := newProof(t, nil, nil)
	twice := shot{to: w.one.URL, form: asserted(assertion), header: http.Header{"Dpop": {used}}}
	w.expect(t, w.send(t, twice), http.StatusOK, "")
	w.one.Signal(t, syscall.SIGKILL)
	w.one.Exit(t, endWithin)
	w.one.Start(t)
	w.plain.CloseIdleConnections()
	w.refused(t, w.send(t, twice))
	twice.form = asserted(w.bySet.key.assertion(t, w.bySet.ID, nil, nil))
	w.expect(t, w.send(t, twice), http.StatusBadRequest, "invalid_dpop_proof")
}

// withoutDatabase takes the database from the other instance: nobody is told that he is not who he is.
func (w *strong) withoutDatabase(t *testing.T) {
	presented := token(t, w.other.URL, w.Caller, asking(jwtAPI, "read"))
	w.database.Refuse()
	defer w.database.Pass()
	// Until it notices, an instance may refuse whom it knew not to be a client.
	testbed.Wait(t, startWithin, func() error { return unready(t.Context(), w.other) })
	attacker := newTestKey(t, "k1")
	for name, assertion := range map[string]func() string{
		"good":        func() string { return w.bySet.key.assertion(t, w.bySet.ID, nil, nil) },
		"forged":      func() string { return attacker.assertion(t, w.bySet.ID, nil, nil) },
		"unknown":     func() string { return attacker.assertion(t, auth.NewClientID(time.Now()).String(), nil, nil) },
		"unknown kid": func() string { return w.bySet.key.assertion(t, w.bySet.ID, members{"kid": "k9"}, nil) },
	} {
		for path, form := range authenticated(presented) {
			maps.Copy(form, asserted(assertion()))
			got := w.send(t, shot{to: w.other.URL, path: path, form: form})
			if got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
				t.Errorf("%s at %s: %d %s", name, path, got.Status, got.Body)
			}
		}
	}
}
