package certificate

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

const forClients = "\nextendedKeyUsage=clientAuth\n"

func byName(field auth.CertificateField, value string) auth.Proofs {
	return auth.Proofs{Certificate: &auth.CertificateName{Field: field, Value: value}}
}

// RFC 8705 §2.1.2: each field names certificates, and no field passes for another.
func TestNamedCertificates(t *testing.T) {
	ca := newAuthority(t)
	one := ca.issue(t, "/DC=test/O=Example/CN=orders.test",
		"subjectAltName=DNS:Orders.example.test,DNS:*.wild.test,URI:https://example.test/a%2Fb,IP:192.0.2.7,IP:2001:db8::7,email:orders@example.test"+forClients, "1")
	for _, tt := range []struct {
		field auth.CertificateField
		value string
		good  bool
	}{
		{auth.SubjectDN, "CN=orders.test,O=Example,DC=test", true},
		{auth.SubjectDN, "cn=orders.test, o=Example, dc=test", true},
		{auth.SubjectDN, "CN=orders.test", false},
		{auth.SubjectDN, "CN=orders.test,O=example,DC=test", false},
		{auth.SubjectDN, "DC=test,O=Example,CN=orders.test", false},
		{auth.SANDNS, "orders.example.test", true},
		{auth.SANDNS, "ORDERS.EXAMPLE.TEST", true},
		{auth.SANDNS, "orders.test", false},
		{auth.SANDNS, "example.test", false},
		{auth.SANDNS, "a.wild.test", false},
		{auth.SANURI, "https://example.test/a%2Fb", true},
		{auth.SANURI, "https://example.test/a/b", false},
		{auth.SANURI, "https://EXAMPLE.test/a%2Fb", false},
		{auth.SANIP, "192.0.2.7", true},
		{auth.SANIP, "::ffff:192.0.2.7", true},
		{auth.SANIP, "2001:db8:0::7", true},
		{auth.SANIP, "192.0.2.8", false},
		{auth.SANEmail, "orders@example.test", true},
		{auth.SANEmail, "Orders@example.test", false},
		{auth.SANDNS, "192.0.2.7", false},
		{auth.SANEmail, "orders.example.test", false},
		{"other", "orders.example.test", false},
	} {
		w := newWorld(auth.TLSClientAuth, byName(tt.field, tt.value), ca)
		t.Run("A44 A45 "+string(tt.field)+" "+tt.value, func(t *testing.T) {
			if tt.good {
				w.judge(t, "", "", one)
			} else {
				w.judge(t, auth.BadCertificate, "its name", one)
			}
		})
	}
}

func TestChains(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	const its = "subjectAltName=DNS:orders.test"
	between := ca.under(t)
	good, below := ca.issue(t, "/CN=a", its+forClients, "1"), between.issue(t, "/CN=a", its+forClients, "1")
	self := other.issue(t, "/CN=a", its+forClients, "1")
	w := newWorld(auth.TLSClientAuth, byName(auth.SANDNS, "orders.test"), ca)
	w.judge(t, "", "", good)
	w.judge(t, "", "", ca.issue(t, "/CN=a", its, "1")) // for any use
	w.judge(t, "", "", below, between.Certificate)
	w.judge(t, "", "", below, other.Certificate, between.Certificate)
	w.judge(t, auth.BadCertificate, "its authority", below)
	w.judge(t, auth.BadCertificate, "its authority", self)
	w.judge(t, auth.BadCertificate, "its authority", self, other.Certificate) // nobody brings his own root along
	w.judge(t, auth.BadCertificate, "its validity", ca.issue(t, "/CN=a", its+forClients, "-1"))
	w.judge(t, auth.BadCertificate, "its extended key usage", ca.issue(t, "/CN=a", its+"\nextendedKeyUsage=serverAuth\n", "1"))
	w.judge(t, auth.BadCertificate, "the number", slices.Repeat([]*x509.Certificate{good}, maxChain+1)...)
	w.judge(t, auth.BadCertificate, "the number")
	for _, key := range []*rsa.PublicKey{{N: new(big.Int).Lsh(big.NewInt(1), 4096), E: 65537}, {N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65539}} {
		costly := *between.Certificate
		costly.PublicKey = key
		w.judge(t, auth.BadCertificate, "a key of its chain", good, &costly)
	}
	w.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
	w.judge(t, auth.BadCertificate, "its validity", good)
	newWorld(auth.TLSClientAuth, byName(auth.SANDNS, "orders.test")).judge(t, auth.BadCertificate, "its authority: no authorities", good)
	newWorld(auth.TLSClientAuth, auth.Proofs{}, ca).judge(t, auth.BadCertificate, "its name", good)
	for _, method := range []auth.Method{auth.SecretBasic, auth.SecretPost, auth.PrivateKeyJWT, auth.FederatedJWT, auth.SPIFFEJWT} {
		newWorld(method, byName(auth.SANDNS, "orders.test"), ca).judge(t, auth.BadCertificate, "the method", good)
	}
	_, err := w.Check(t.Context(), nil, []*x509.Certificate{good})
	if refusal, ok := errors.AsType[*auth.Refusal](err); !ok || refusal.Reason != auth.UnknownClient {
		t.Errorf("nobody's: %v", err)
	}
}

// RFC 8705 §2.2: who signed a certificate that is registered itself does not matter.
func TestRegisteredCertificates(t *testing.T) {
	ca := newAuthority(t)
	own, renewed, other := ca.issue(t, "/CN=a", "", "1"), ca.issue(t, "/CN=a", "", "1"), ca.issue(t, "/CN=a", "", "1")
	for _, withChain := range []bool{true, false} {
		w := newWorld(auth.SelfSignedTLS, auth.Proofs{JWKS: set(t, "", withChain, own, renewed)})
		w.judge(t, "", "", own)
		w.judge(t, "", "", renewed)
		w.judge(t, "", "", own, other)
		w.judge(t, auth.BadCertificate, "its key", other)
		w.judge(t, auth.BadCertificate, "its key", other, own) // only the first is the client's
		w.Now = func() time.Time { return time.Now().Add(48 * time.Hour) }
		w.judge(t, auth.BadCertificate, "its validity", own)
		w.Now = func() time.Time { return time.Now().Add(-48 * time.Hour) }
		w.judge(t, auth.BadCertificate, "its validity", own)
	}
	for _, text := range []string{"", "x", "{}", `{"keys":1}`, `{"keys":[],"keys":[]}`, `{"keys":[1]}`} {
		newWorld(auth.SelfSignedTLS, auth.Proofs{JWKS: []byte(text)}).judge(t, auth.BadCertificate, "the client's key set", own)
	}
	registered := set(t, "", true, own)
	for _, text := range []string{`{"kty":"EC"}`, `{}`, `{"x5c":["!"]}`, `{"x5c":["AAAA"]}`, `{"x5c":"AAAA"}`} { // one key that cannot be used takes no other along
		beside := strings.Replace(string(registered), "[", "["+text+",", 1)
		newWorld(auth.SelfSignedTLS, auth.Proofs{JWKS: []byte(`{"keys":[` + text + `]}`)}).judge(t, auth.BadCertificate, "its key", own)
		newWorld(auth.SelfSignedTLS, auth.Proofs{JWKS: []byte(beside)}).judge(t, "", "", own)
	}
	w := newWorld(auth.SelfSignedTLS, auth.Proofs{JWKSURI: "https://client.test/jwks"})
	w.down = errors.New("down")
	if _, err := w.Check(t.Context(), &auth.ClientRecord{Client: &w.client}, []*x509.Certificate{own}); !errors.Is(err, fault.Unavailable) || w.asked[0].URL != w.client.Proofs.JWKSURI {
		t.Errorf("without its keys: %v, asked for %v", err, w.asked)
	}
}

// All kinds of keys are known again without a certificate in the set.
func TestRegisteredKeys(t *testing.T) {
	folder := newAuthority(t)
	for name, args := range map[string][]string{
		"P-256": {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"}, "P-384": {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"},
		"P-521": {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"}, "RSA": {"-newkey", "rsa:2048"}, "Ed25519": {"-newkey", "ed25519"},
	} {
		t.Run(name, func(t *testing.T) {
			var made [2]*x509.Certificate
			for i := range made {
				openssl(t, append([]string{"req", "-x509", "-nodes", "-days", "1", "-subj", "/CN=self", "-keyout", folder.in("key"), "-out", folder.in("pem")}, args...)...)
				made[i] = readCertificate(t, folder.in("pem"))
			}
			w := newWorld(auth.SelfSignedTLS, auth.Proofs{JWKS: set(t, "", false, made[0])})
			w.judge(t, "", "", made[0])
			w.judge(t, auth.BadCertificate, "its key", made[1])
		})
	}
}
