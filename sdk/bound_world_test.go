package sdk_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/proof"
	"github.com/countersign/countersign/sdk/sdktest"
)

// orders is the URL at which bound tokens are presented in tests.
const orders = "https://orders.test/orders/7"

// holder has a key and a certificate.
type holder struct {
	t           testing.TB
	key         *proof.Key
	certificate tls.Certificate
}

func newHolder(t testing.TB) *holder {
	t.Helper()
	key, err := proof.GenerateKey(jose.ES256)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "orders"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{t, key, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}}
}

// cnf are the members of a token's cnf.
func (h *holder) cnf(key, certificate bool) map[string]any {
	cnf := map[string]any{}
	if key {
		cnf["jkt"] = h.key.Thumbprint()
	}
	if certificate {
		hash := proof.CertificateThumbprint(h.certificate.Leaf)
		cnf["x5t#S256"] = encoded(hash[:])
	}
	return cnf
}

// mint returns a JWT that is bound to the key, the certificate, or both.
func (h *holder) mint(i *sdktest.Issuer, key, certificate bool) string {
	return i.Mint(sdktest.Claims{Members: map[string]any{"cnf": h.cnf(key, certificate)}})
}

// proof returns one for a request with the token.
func (h *holder) proof(method, uri, token, nonce string) string {
	h.t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		h.t.Fatal(err)
	}
	text, err := h.key.DPoP(proof.Use{Method: method, URL: u, AccessToken: token, Nonce: nonce})
	if err != nil {
		h.t.Fatal(err)
	}
	return text
}

// request returns one for orders, with the token and a proof for it.
func (h *holder) request(token, nonce string) *http.Request {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodGet, orders, nil)
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", h.proof(http.MethodGet, orders, token, nonce))
	return r
}

// over has the request come over TLS with the holder's certificate.
func (h *holder) over(r *http.Request) *http.Request {
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{h.certificate.Leaf}}
	return r
}

// header is the certificate as a proxy passes it on.
func (h *holder) header() string {
	return ":" + base64.StdEncoding.EncodeToString(h.certificate.Certificate[0]) + ":"
}
