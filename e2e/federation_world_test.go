package e2e

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// federated is a server of two with clients whose proofs others make.
type federated struct {
	*pair
}

// startFederated starts servers that believe what issuers of tests publish, on what was registered before.
func startFederated(t *testing.T, s *seeded) *federated {
	t.Helper()
	settings := append(believing(t), "failure-limit=0")
	return &federated{&pair{s, startInstance(t, s, settings...), startInstance(t, s, settings...)}}
}

// believing are the settings by which a server fetches from servers of tests on this machine. All of httptest have one certificate.
func believing(t *testing.T) []string {
	t.Helper()
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"outbound-allow=127.0.0.1", "outbound-ca=" + file}
}

// Trust makes a trusted issuer.
func (s *seeded) Trust(t *testing.T, i auth.TrustedIssuer) *auth.TrustedIssuer {
	t.Helper()
	if i.Name == "" {
		i.Name = i.Issuer
	}
	made, err := s.Registry.CreateIssuer(t.Context(), s.Actor, i)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// workload is a client by what others say of it.
type workload struct {
	credential

	kind string // client_assertion_type
}

// Workload makes a client that is granted "read write" on the APIs of tests, and authenticates by this method, whoever matches one of the rules.
func (s *seeded) Workload(t *testing.T, name string, method auth.Method, rules ...auth.FederationRule) workload {
	t.Helper()
	made, err := s.Registry.CreateClient(t.Context(), s.Actor, auth.Client{Name: name, AuthMethod: method, Proofs: auth.Proofs{Federation: rules}})
	if err != nil {
		t.Fatal(err)
	}
	c := workload{credential{ID: made.ID.String()}, auth.JWTBearer}
	if method == auth.SPIFFEJWT {
		c.kind = auth.SPIFFEBearer
	}
	for _, api := range []string{jwtAPI, opaqueAPI} {
		s.Grant(t, c.credential, api, "read", "write")
	}
	return c
}

func ruleOf(i *auth.TrustedIssuer, claims ...auth.ClaimMatch) auth.FederationRule {
	return auth.FederationRule{Issuer: i.ID, Claims: claims}
}

func equals(value string, path ...string) auth.ClaimMatch {
	return auth.ClaimMatch{Path: path, Equals: value}
}

func begins(value string, path ...string) auth.ClaimMatch {
	return auth.ClaimMatch{Path: path, Prefix: value}
}

// present asks for a token by an assertion. It is for any goroutine.
func present(ctx context.Context, s *serverProcess, c workload, assertion string) (answer, error) {
	return post(ctx, s.URL+"/oauth2/token", credential{}, url.Values{
		"grant_type": {"client_credentials"}, "resource": {jwtAPI}, "client_id": {c.ID}, "client_assertion_type": {c.kind}, "client_assertion": {assertion},
	})
}

// admitted expects a token for an assertion, and returns it.
func admitted(t *testing.T, s *serverProcess, c workload, assertion string) string {
	t.Helper()
	got, err := present(t.Context(), s, c, assertion)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusOK || got.Text("access_token") == "" {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	return got.Text("access_token")
}

// coolDown is how long a server does not ask again for keys after it did.
const coolDown = 10 * time.Second

// soonAdmitted expects a token for an assertion as soon as the server has asked for keys again.
func soonAdmitted(t *testing.T, s *serverProcess, c workload, assertion string) {
	t.Helper()
	soon(t, func() error {
		got, err := present(t.Context(), s, c, assertion)
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("%d %s", got.Status, got.Body)
		}
		return err
	})
}

// soon tries a few times a second, until the server must have asked for keys again.
func soon(t *testing.T, try func() error) {
	t.Helper()
	deadline, again := time.NewTimer(2*coolDown), time.NewTicker(250*time.Millisecond)
	defer deadline.Stop()
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatal(err)
		}
	}
}

// turnedAway expects that an assertion is refused, and that the server's log says why: a reason, and a detail that begins like this. Neither says anything of the assertion.
func turnedAway(t *testing.T, s *serverProcess, c workload, assertion string, want why) {
	t.Helper()
	got, err := present(t.Context(), s, c, assertion)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusUnauthorized || got.Text("error") != "invalid_client" || got.Text("error_description") != "client authentication failed" {
		t.Errorf("got %d %s", got.Status, got.Body)
	}
	said := s.line(t, got.Header.Get("X-Request-Id"))
	if said.Reason != want.Reason || !strings.HasPrefix(said.Detail, want.Detail) {
		t.Errorf("the log says %+v, want %+v", said, want)
	}
}

// why is what the log says of a refused request.
type why struct {
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// line waits for the line of a request in the log of the server.
func (s *serverProcess) line(t *testing.T, request string) (found why) {
	t.Helper()
	testbed.Wait(t, promptly, func() error {
		for text := range strings.Lines(s.out.String()) {
			if strings.Contains(text, `"request_id":"`+request+`"`) && json.Unmarshal([]byte(text), &found) == nil {
				return nil
			}
		}
		return fmt.Errorf("no line of request %q", request)
	})
	return found
}

// workloads is an issuer of tokens for workloads, on go-jose, that publishes metadata and keys as the API server of Kubernetes does.
type workloads struct {
	*httptest.Server

	path string // of the issuer

	mu      sync.Mutex
	signing jose.JSONWebKey
	former  []jose.JSONWebKey
	waiting int           // who waits for an answer
	held    chan struct{} // answers wait until it is closed; nil: they do not
	status  int           // of answers, if not 200
}

// newWorkloads starts one whose issuer has this path, "" for none.
func newWorkloads(t *testing.T, path string) *workloads {
	t.Helper()
	w := &workloads{path: path}
	w.Rotate(t)
	mux := http.NewServeMux()
	prefix := strings.TrimSuffix(path, "/")
	mux.HandleFunc("GET "+prefix+"/.well-known/openid-configuration", func(rw http.ResponseWriter, r *http.Request) {
		w.answer(rw, r, "application/json", map[string]any{
			"issuer": w.Issuer(), "jwks_uri": w.URL + prefix + "/openid/v1/jwks", "response_types_supported": []string{"id_token"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("GET "+prefix+"/openid/v1/jwks", func(rw http.ResponseWriter, r *http.Request) {
		w.answer(rw, r, "application/jwk-set+json", w.published())
	})
	w.Server = httptest.NewTLSServer(mux)
	t.Cleanup(func() { w.CloseClientConnections(); w.Close() })
	return w
}

// Issuer is the iss of its tokens.
func (w *workloads) Issuer() string { return w.URL + w.path }

// Rotate begins to sign by a new key. Those before are still published.
func (w *workloads) Rotate(t *testing.T) {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, Algorithm: string(jose.RS256), Use: "sig"}
	thumbprint, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	key.KeyID = fmt.Sprintf("%x", thumbprint[:8])
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.signing.Key != nil {
		w.former = append(w.former, w.signing)
	}
	w.signing = key
}

func (w *workloads) published() (set jose.JSONWebKeySet) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, key := range append(slices.Clone(w.former), w.signing) {
		set.Keys = append(set.Keys, key.Public())
	}
	return set
}

func (w *workloads) answer(rw http.ResponseWriter, r *http.Request, mediaType string, document any) {
	w.mu.Lock()
	held, status := w.held, w.status
	if held != nil {
		w.waiting++
	}
	w.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	}
	rw.Header().Set("Content-Type", mediaType)
	if status != 0 {
		rw.WriteHeader(status)
		return
	}
	_ = json.NewEncoder(rw).Encode(document) // who has gone cannot be told
}

// Hold lets nobody have an answer until the function that it returns is called.
func (w *workloads) Hold() (release func()) {
	held := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held = held
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.held = nil
		close(held)
	}
}

// awaitQuestion returns when somebody waits for an answer.
func (w *workloads) awaitQuestion(t *testing.T) {
	t.Helper()
	testbed.Wait(t, startWithin, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.waiting == 0 {
			return errors.New("nobody asks")
		}
		return nil
	})
}

// Break makes the status of all answers this one; 0 mends it.
func (w *workloads) Break(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = status
}

// Sign returns a token with these claims.
func (w *workloads) Sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	w.mu.Lock()
	key := w.signing
	w.mu.Unlock()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// changed returns claims with others in their place. Nil takes one away.
func changed(claims map[string]any, changes map[string]any) map[string]any {
	all := maps.Clone(claims)
	for name, value := range changes {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return all
}

func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }
