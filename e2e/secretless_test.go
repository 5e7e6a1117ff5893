package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/server/auth"
)

// Clients without secret call a service and through a gateway that take bound tokens only, whatever the form of the tokens and the mode of the route.
func TestStrongClients(t *testing.T) {
	t.Parallel()
	w := newStrongWorld(t)
	t.Run("private key", w.privateKey)
	t.Run("registered certificate", w.registeredCertificate)
	t.Run("certificate of an authority", w.certificateOfAnAuthority)
	t.Run("secret and DPoP", w.secretAndDPoP)
	t.Run("the service asks by a token", w.serviceAsksByToken)
}

// A key is replaced while clients that are new all the time ask for tokens and call. No call fails.
func (w *strongWorld) privateKey(t *testing.T) {
	file := w.path("caller.pem")
	current := writeNewKey(t, file)
	c := w.strongClient(t, auth.Client{Name: "by key", AuthMethod: auth.PrivateKeyJWT, Proofs: auth.Proofs{JWKS: publicKeys(t, current), DPoPBound: true}})
	client := w.client(t, c, sdk.PrivateKeyFile(file), sdk.WithDPoP(nil))
	w.visit(t, client, w.trusting(nil), c.ID)

	const callers, rotations, between = 4, 4, 24
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	calls, base := make(chan error), w.trusting(nil)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				err := w.callOnce(ctx, c, sdk.PrivateKeyFile(file), base, n)
				select {
				case calls <- err:
				case <-ctx.Done():
				}
			}
		})
	}
	await := func() {
		t.Helper()
		for range between {
			if err := <-calls; err != nil {
				t.Error(err)
			}
		}
	}
	for range rotations {
		await()
		fresh := newPrivateKey(t)
		w.reprove(t, c, func(p *auth.Proofs) { p.JWKS = publicKeys(t, current, fresh) })
		key, err := proof.NewKey(fresh, proof.KeyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.admits(t, c, sdk.PrivateKey(key))
		writeKey(t, file, fresh)
		await() // the calls that read the old key have ended
		w.reprove(t, c, func(p *auth.Proofs) { p.JWKS = publicKeys(t, fresh) })
		current = fresh
	}
	await()
	stop()
	running.Wait()
	w.visit(t, client, w.trusting(nil), c.ID)

	writeKey(t, file, newPrivateKey(t)) // that nobody registered
	if _, err := w.client(t, c, sdk.PrivateKeyFile(file), sdk.WithDPoP(nil)).TokenSource(jwtAPI).Token(t.Context()); err == nil {
		t.Error("a key that is not the client's gets a token")
	}
}

// admits waits until the server, which reads the change log a few times a second, knows a client by what was registered.
func (w *strongWorld) admits(t *testing.T, c credential, by sdk.ClientAuth) {
	t.Helper()
	testbed.Wait(t, promptly, func() error {
		_, err := w.client(t, c, by, sdk.WithDPoP(nil)).TokenSource(jwtAPI).Token(t.Context())
		return err //nolint:wrapcheck // told as it is
	})
}

// callOnce calls a door as a client that is new, and so needs a token.
func (w *strongWorld) callOnce(ctx context.Context, c credential, by sdk.ClientAuth, base *http.Transport, n int) error {
	client, err := sdk.New(w.issuer, c.ID, by, sdk.WithDPoP(nil), sdk.WithHTTPClient(&http.Client{Transport: base}))
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	origins := []string{w.gateway, w.service}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, origins[n%2]+"/strict/jwt", http.NoBody)
	if err != nil {
		return err
	}
	got, err := doBy(&http.Client{Transport: client.Transport(base, jwtAPI, "read")}, request)
	if ctx.Err() == nil && err == nil && got.Status != http.StatusOK {
		err = fmt.Errorf("%d %s", got.Status, got.Body)
	}
	if ctx.Err() != nil {
		return nil // the test is over
	}
	return err
}

// A certificate that is registered itself is replaced by another that was registered beside it.
func (w *strongWorld) registeredCertificate(t *testing.T) {
	certificate, key := w.path("self.crt"), w.path("self.key")
	writePair(t, certificate, key, "caller")
	first := certificateIn(t, certificate)
	c := w.strongClient(t, auth.Client{Name: "by certificate", AuthMethod: auth.SelfSignedTLS, Proofs: auth.Proofs{JWKS: publicKeys(t, first), CertificateBound: true}})
	by := sdk.ClientCertificate(certificate, key)
	w.visit(t, w.client(t, c, by), w.trusting(by.GetClientCertificate), c.ID)

	writePair(t, certificate, key, "caller")
	second := certificateIn(t, certificate)
	w.reprove(t, c, func(p *auth.Proofs) { p.JWKS = publicKeys(t, first, second) })
	w.admits(t, c, by)
	w.visit(t, w.client(t, c, by), w.trusting(by.GetClientCertificate), c.ID)
	w.reprove(t, c, func(p *auth.Proofs) { p.JWKS = publicKeys(t, second) })
	w.visit(t, w.client(t, c, by), w.trusting(by.GetClientCertificate), c.ID)

	writePair(t, certificate, key, "caller") // the same name, and registered nowhere
	if _, err := w.client(t, c, by).TokenSource(jwtAPI).Token(t.Context()); err == nil {
		t.Error("a certificate of nobody's gets a token")
	}
}

// A certificate of an authority is renewed, and nothing has to be registered anew. The client that runs on takes it up.
func (w *strongWorld) certificateOfAnAuthority(t *testing.T) {
	certificate, key := w.path("orders.crt"), w.path("orders.key")
	w.authority.issue(t, certificate, key, "orders.test.internal")
	c := w.strongClient(t, auth.Client{Name: "by authority", AuthMethod: auth.TLSClientAuth, Proofs: auth.Proofs{
		Certificate: &auth.CertificateName{Field: auth.SANDNS, Value: "orders.test.internal"}, CertificateBound: true,
	}})
	by := sdk.ClientCertificate(certificate, key)
	client := w.client(t, c, by)
	w.visit(t, client, w.trusting(by.GetClientCertificate), c.ID)
	w.authority.issue(t, certificate, key, "orders.test.internal")
	for _, api := range []string{jwtAPI, opaqueAPI} { // its tokens are of the old certificate
		held, err := client.TokenSource(api, "read").Token(t.Context())
		if err == nil {
			_, err = client.TokenSource(api, "read").Refresh(t.Context(), held)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.visit(t, client, w.trusting(by.GetClientCertificate), c.ID)

	w.authority.issue(t, certificate, key, "billing.test.internal")
	if _, err := w.client(t, c, by).TokenSource(jwtAPI).Token(t.Context()); err == nil {
		t.Error("a certificate of another name gets a token")
	}
}

func (w *strongWorld) secretAndDPoP(t *testing.T) {
	c := w.Client(t, "by secret", []string{jwtAPI, opaqueAPI}, nil)
	w.visit(t, w.client(t, c, sdk.Secret(c.Secret), sdk.WithDPoP(nil)), w.trusting(nil), c.ID)
}

// Whoever authenticates by assertions gets one token for the server itself, by which it polls, opens streams and introspects.
func (w *strongWorld) serviceAsksByToken(t *testing.T) {
	testbed.Wait(t, startWithin, func() error {
		if tokens, _ := w.asked.count("/oauth2/revocations"); tokens < 20 {
			return fmt.Errorf("%d polls", tokens)
		}
		return nil
	})
	_, byAssertion := w.asked.count("/oauth2/token")
	introspections, others := w.asked.count("/oauth2/introspect")
	_, polls := w.asked.count("/oauth2/revocations")
	if byAssertion != 1 || introspections == 0 || others != 0 || polls != 0 {
		t.Errorf("%d requests for a token, %d introspections by it and %d without, %d polls without", byAssertion, introspections, others, polls)
	}
}

// Attack 30: a token that is bound to somebody's key or certificate is of no use to whoever takes it, not even together with a proof that was seen.
func TestAttackByStolenBoundTokens(t *testing.T) {
	t.Parallel()
	w := newStrongWorld(t)
	for kind, audience := range map[string]string{"JWT": jwtAPI, "opaque": opaqueAPI} {
		t.Run(kind+", bound to a key", func(t *testing.T) { w.stealsFromKey(t, audience) })
		t.Run(kind+", bound to a certificate", func(t *testing.T) { w.stealsFromCertificate(t, audience) })
	}
}

// knock sends a token, behind its scheme, to a door.
func knock(t *testing.T, base http.RoundTripper, door, credentials string, proofs ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, door, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", credentials)
	request.Header["Dpop"] = proofs
	got, err := doBy(&http.Client{Transport: base}, request)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// proofFor is a proof of a key for a request to a door.
func proofFor(t *testing.T, key *proof.Key, door, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, door, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	text, err := key.DPoP(proof.Use{Method: http.MethodGet, URL: request.URL, AccessToken: token})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (w *strongWorld) stealsFromKey(t *testing.T, audience string) {
	owner, thief := newDPoPKey(t), newDPoPKey(t)
	token, err := w.client(t, w.Caller, sdk.Secret(w.Caller.Secret), sdk.WithDPoP(owner)).TokenSource(audience, "read").Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stolen, base := token.AccessToken(), w.trusting(nil)
	doors := w.doorsOf(audience)
	for n, door := range doors {
		seen := proofFor(t, owner, door, stolen)
		if got := knock(t, base, door, "DPoP "+stolen, seen); got.Status != http.StatusOK {
			t.Errorf("%s: its owner: %d %v", door, got.Status, got.Header)
		}
		for how, got := range map[string]answer{
			"as a bearer":                 knock(t, base, door, "Bearer "+stolen),
			"as a bearer, with a proof":   knock(t, base, door, "Bearer "+stolen, proofFor(t, thief, door, stolen)),
			"without proof":               knock(t, base, door, "DPoP "+stolen),
			"by another key":              knock(t, base, door, "DPoP "+stolen, proofFor(t, thief, door, stolen)),
			"with a proof that was used":  knock(t, base, door, "DPoP "+stolen, seen),
			"with a proof for another":    knock(t, base, door, "DPoP "+stolen, proofFor(t, owner, doors[(n+1)%len(doors)], stolen)),
			"with a proof of other token": knock(t, base, door, "DPoP "+stolen, proofFor(t, owner, door, "another")),
		} {
			if got.Status != http.StatusUnauthorized && got.Status != http.StatusBadRequest {
				t.Errorf("%s, %s: %d %s", door, how, got.Status, got.Body)
			}
		}
	}
}

func (w *strongWorld) stealsFromCertificate(t *testing.T, audience string) {
	certificate, key := w.path("owner.crt"), w.path("owner.key")
	writePair(t, certificate, key, "owner")
	c := w.strongClient(t, auth.Client{
		Name: "owner for " + audience, AuthMethod: auth.SelfSignedTLS,
		Proofs: auth.Proofs{JWKS: publicKeys(t, certificateIn(t, certificate)), CertificateBound: true},
	})
	by := sdk.ClientCertificate(certificate, key)
	stolen := granted(t, w.client(t, c, by), audience)
	writePair(t, w.path("thief.crt"), w.path("thief.key"), "owner")
	forged := newDPoPKey(t)
	withOwn := w.trusting(sdk.ClientCertificate(w.path("thief.crt"), w.path("thief.key")).GetClientCertificate)
	withTheirs := w.trusting(func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { // the certificate is public, its key is not
		pair, err := tls.LoadX509KeyPair(w.path("thief.crt"), w.path("thief.key"))
		pair.Certificate, pair.Leaf = [][]byte{certificateIn(t, certificate).Raw}, nil
		return &pair, err
	})
	for _, door := range w.doorsOf(audience) {
		if got := knock(t, w.trusting(by.GetClientCertificate), door, "Bearer "+stolen); got.Status != http.StatusOK {
			t.Errorf("%s: its owner: %d %v", door, got.Status, got.Header)
		}
		for how, got := range map[string]answer{
			"without certificate":      knock(t, w.trusting(nil), door, "Bearer "+stolen),
			"with another certificate": knock(t, withOwn, door, "Bearer "+stolen),
			"by a key":                 knock(t, w.trusting(nil), door, "DPoP "+stolen, proofFor(t, forged, door, stolen)),
		} {
			if got.Status != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d %s", door, how, got.Status, got.Body)
			}
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, door, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := doBy(&http.Client{Transport: withTheirs}, request); err == nil {
			t.Errorf("%s: a handshake with a certificate whose key is another: %d", door, got.Status)
		}
	}
}

func newDPoPKey(t *testing.T) *proof.Key {
	t.Helper()
	key, err := proof.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
