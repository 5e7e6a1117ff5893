package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority writes its certificate.
func newAuthority(t *testing.T, file string) *authority {
	t.Helper()
	a := &authority{key: newPrivateKey(t)}
	a.certificate = a.sign(t, file, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, a.key)
	return a
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// issue writes a new key, and a certificate for a name or address.
func (a *authority) issue(t *testing.T, certificate, key, name string) {
	t.Helper()
	private := writeNewKey(t, key)
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if address := net.ParseIP(name); address != nil {
		template.IPAddresses = append(template.IPAddresses, address)
	} else {
		template.DNSNames = []string{name}
	}
	a.sign(t, certificate, template, private)
}

func (a *authority) sign(t *testing.T, file string, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.certificate
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	writeBlock(t, file, "CERTIFICATE", der)
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func newPrivateKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// writeNewKey writes a new private key in place of what the file has.
func writeNewKey(t *testing.T, file string) *ecdsa.PrivateKey {
	t.Helper()
	key := newPrivateKey(t)
	writeKey(t, file, key)
	return key
}

func writeKey(t *testing.T, file string, key *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writeBlock(t, file, "PRIVATE KEY", der)
}

// writeBlock replaces a file at once: whoever reads it finds the old content or the new.
func writeBlock(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	aside := file + ".aside"
	err := os.WriteFile(aside, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	if err == nil {
		err = os.Rename(aside, file)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// publicKeys is the JWK set of keys or certificates.
func publicKeys(t *testing.T, all ...any) json.RawMessage {
	t.Helper()
	var set jose.JSONWebKeySet
	for n, one := range all {
		key := jose.JSONWebKey{KeyID: fmt.Sprint("key ", n)}
		switch one := one.(type) {
		case *ecdsa.PrivateKey:
			key.Key, key.Algorithm, key.Use = one.Public(), "ES256", "sig"
			thumbprint, err := key.Thumbprint(crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			key.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
		case *x509.Certificate:
			key.Key, key.Certificates = one.PublicKey, []*x509.Certificate{one}
		}
		set.Keys = append(set.Keys, key)
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// certificateIn reads a certificate.
func certificateIn(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s has no PEM", file)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
