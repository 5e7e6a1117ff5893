package assertion_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	foreign "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/federation"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/outbound"
	"github.com/countersign/countersign/server/remotekeys"
)

// fetching lets the world fetch from a server, which is believed by its certificate, by the real clock.
func (w *world) fetching(t *testing.T, server *httptest.Server) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	client, err := outbound.New(outbound.Config{Allow: []string{"127.0.0.1"}, CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := remotekeys.New(remotekeys.Config{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { keys.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	w.keys, w.now = keys, time.Now()
	w.verifier = w.newVerifier()
}

// mint has go-jose sign claims, as Kubernetes and SPIRE do.
func mint(t *testing.T, alg foreign.SignatureAlgorithm, key crypto.Signer, kid string, claims ...any) string {
	t.Helper()
	signer, err := foreign.NewSigner(foreign.SigningKey{Algorithm: alg, Key: foreign.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	builder := jwt.Signed(signer)
	for _, some := range claims {
		builder = builder.Claims(some)
	}
	text, err := builder.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A cluster of Kubernetes publishes its metadata and keys as its API server does.
func TestKubernetesByGoJOSE(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(members{
			"issuer": server.URL, "jwks_uri": server.URL + "/openid/v1/jwks", "response_types_supported": []string{"id_token"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
		})
	})
	mux.HandleFunc("/openid/v1/jwks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_ = json.NewEncoder(w).Encode(foreign.JSONWebKeySet{Keys: []foreign.JSONWebKey{{Key: key.Public(), KeyID: "c1", Algorithm: "RS256", Use: "sig"}}})
	})
	w := newWorld(t, auth.FederatedJWT)
	w.fetching(t, server)
	trusted := w.trust(server.URL, newSigner(t, ""), func(i *auth.TrustedIssuer) { i.JWKS, i.Algorithms = nil, []string{"RS256"} })
	w.rule(trusted, equals("system:serviceaccount:shop:orders", "sub"), equals("shop", "kubernetes.io", "namespace"))

	registered := jwt.Claims{
		Issuer: server.URL, Subject: "system:serviceaccount:shop:orders", Audience: jwt.Audience{issuer}, ID: "1",
		Expiry: jwt.NewNumericDate(w.now.Add(time.Hour)), IssuedAt: jwt.NewNumericDate(w.now), NotBefore: jwt.NewNumericDate(w.now),
	}
	private := map[string]any{"kubernetes.io": members{"namespace": "shop", "serviceaccount": members{"name": "orders", "uid": "u"}, "pod": members{"name": "p"}}}
	w.judge(auth.JWTBearer, mint(t, foreign.RS256, key, "c1", registered, private), "", "")
	w.judge(auth.JWTBearer, mint(t, foreign.RS256, key, "c2", registered, private), auth.BadAssertion, "kid: ")
	w.judge(auth.JWTBearer, mint(t, foreign.PS256, key, "c1", registered, private), auth.BadAssertion, "alg: ")
	registered.Subject = "system:serviceaccount:shop:admin"
	w.judge(auth.JWTBearer, mint(t, foreign.RS256, key, "c1", registered, private), auth.NoRuleMatches, "")
}

// A trust domain publishes its bundle by go-spiffe, which takes the tokens that are taken here.
func TestSPIFFEByGoSPIFFE(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	trustDomain := spiffeid.RequireTrustDomainFromString("example.org")
	bundle := spiffebundle.New(trustDomain)
	bundle.AddX509Authority(authority(t))
	if err := bundle.AddJWTAuthority("authority-1", key.Public()); err != nil {
		t.Fatal(err)
	}
	bundle.SetRefreshHint(5 * time.Minute)
	handler, err := federation.NewHandler(trustDomain, bundle)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(handler)
	defer server.Close()
	inline, err := bundle.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	const id = "spiffe://example.org/ns/shop/sa/orders"
	for name, change := range map[string]func(*auth.TrustedIssuer){
		"bundle endpoint": func(i *auth.TrustedIssuer) { i.JWKSURI = server.URL },
		"bundle":          func(i *auth.TrustedIssuer) { i.JWKS = inline },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, auth.SPIFFEJWT)
			w.fetching(t, server)
			trusted := w.trust("spiffe://example.org", newSigner(t, ""), func(i *auth.TrustedIssuer) {
				i.Kind, i.JWKS = auth.SPIFFEIssuer, nil
				change(i)
			})
			w.rule(trusted, begins("spiffe://example.org/ns/shop/", "sub"))
			claims := jwt.Claims{Subject: id, Audience: jwt.Audience{issuer}, Expiry: jwt.NewNumericDate(w.now.Add(5 * time.Minute)), IssuedAt: jwt.NewNumericDate(w.now)}
			text := mint(t, foreign.ES256, key, "authority-1", claims)
			if svid, err := jwtsvid.ParseAndValidate(text, bundle.JWTBundle(), []string{issuer}); err != nil || svid.ID.String() != id {
				t.Fatalf("go-spiffe: %v", err)
			}
			w.judge(auth.SPIFFEBearer, text, "", "")
			w.judge(auth.SPIFFEBearer, mint(t, foreign.ES256, key, "authority-2", claims), auth.BadAssertion, "kid: ")
			claims.Subject = "spiffe://example.org/ns/bank/sa/orders"
			w.judge(auth.SPIFFEBearer, mint(t, foreign.ES256, key, "authority-1", claims), auth.NoRuleMatches, "")
		})
	}
}

// authority is a certificate of the trust domain, which is in its bundle beside the keys for tokens.
func authority(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
