package certificate

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// trust makes a client for workloads of the domain example.test whose authority is ca.
func trust(t *testing.T, ca *authority, claims ...auth.ClaimMatch) (*world, *auth.TrustedIssuer) {
	t.Helper()
	domain := &auth.TrustedIssuer{ID: auth.NewTrustedIssuerID(time.Now()), Issuer: "spiffe://example.test", Trust: auth.Trust{
		Kind: auth.SPIFFEIssuer, Status: auth.Active, JWKS: set(t, `,"use":"x509-svid"`, true, ca.Certificate),
	}}
	w := newWorld(auth.SPIFFEX509, auth.Proofs{Federation: []auth.FederationRule{{Issuer: domain.ID, Claims: claims}}})
	w.issuers[domain.ID] = domain
	return w, domain
}

func svid(t *testing.T, ca *authority, names string) *x509.Certificate {
	t.Helper()
	return ca.issue(t, "/O=SPIRE", "subjectAltName="+names+"\nkeyUsage=critical,digitalSignature\nbasicConstraints=critical,CA:FALSE"+forClients, "1")
}

func exactly(id string) auth.ClaimMatch { return auth.ClaimMatch{Path: []string{"sub"}, Equals: id} }

func TestWorkloads(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	const id = "spiffe://example.test/orders"
	good := svid(t, ca, "URI:"+id)
	w, domain := trust(t, ca, exactly(id))
	if proven := w.judge(t, "", "", good); proven.Issuer != domain || proven.Use != nil {
		t.Errorf("proves %+v", proven)
	}
	between := ca.under(t)
	w.judge(t, "", "", svid(t, between, "URI:"+id), between.Certificate)
	w.judge(t, "", "", svid(t, ca, "URI:"+id+",DNS:orders.test"))
	prefix, _ := trust(t, ca, auth.ClaimMatch{Path: []string{"sub"}, Prefix: "spiffe://example.test/or"})
	prefix.judge(t, "", "", good)
	for _, bad := range []struct {
		name, reason, detail string
		leaf                 *x509.Certificate
	}{
		{"another workload", auth.NoRuleMatches, "", svid(t, ca, "URI:spiffe://example.test/payments")},
		{"another domain", auth.NoRuleMatches, "", svid(t, ca, "URI:spiffe://other.test/orders")},
		{"a domain that begins the same", auth.NoRuleMatches, "", svid(t, ca, "URI:spiffe://example.test.evil/orders")},
		{"another authority", auth.BadCertificate, "its authority", svid(t, other, "URI:"+id)},
		{"no URI", auth.BadCertificate, "its SPIFFE ID", svid(t, ca, "DNS:orders.test")},
		{"two URIs", auth.BadCertificate, "its SPIFFE ID", svid(t, ca, "URI:"+id+",URI:https://x.test/")},
		{"https", auth.BadCertificate, "its SPIFFE ID", svid(t, ca, "URI:https://example.test/orders")},
		{"no path", auth.BadCertificate, "its SPIFFE ID", svid(t, ca, "URI:spiffe://example.test")},
		{"a query", auth.BadCertificate, "its SPIFFE ID", svid(t, ca, "URI:"+id+"?a=b")},
		{"a port", auth.BadCertificate, "its SPIFFE ID", svid(t, ca, "URI:spiffe://example.test:1/orders")},
		{"a user", auth.BadCertificate, "its SPIFFE ID", svid(t, ca, "URI:spiffe://a@example.test/orders")},
		{"an authority", auth.BadCertificate, "its SPIFFE ID", ca.issue(t, "/O=SPIRE", "subjectAltName=URI:"+id+"\nkeyUsage=digitalSignature,keyCertSign\nbasicConstraints=critical,CA:TRUE\n", "1")},
		{"no key usage", auth.BadCertificate, "its SPIFFE ID", ca.issue(t, "/O=SPIRE", "subjectAltName=URI:"+id+forClients, "1")},
		{"expired", auth.BadCertificate, "its validity", ca.issue(t, "/O=SPIRE", "subjectAltName=URI:"+id+"\nkeyUsage=digitalSignature"+forClients, "-1")},
	} {
		t.Run(bad.name, func(t *testing.T) { w.judge(t, bad.reason, bad.detail, bad.leaf) })
	}
}

// An authority that the bundle has anew is looked for in a newer one; one that it has lost is unknown once that is held.
func TestRotatedAuthority(t *testing.T) {
	before, after, never := newAuthority(t), newAuthority(t), newAuthority(t)
	const id = "spiffe://example.test/orders"
	w, _ := trust(t, before, exactly(id))
	w.newer = set(t, `,"use":"x509-svid"`, true, after.Certificate)
	w.judge(t, "", "", svid(t, before, "URI:"+id)) // as long as the old one is held
	w.judge(t, "", "", svid(t, after, "URI:"+id))
	w.judge(t, auth.BadCertificate, "its authority", svid(t, never, "URI:"+id))
}

// Paths have one spelling: what some other reader takes for the same ID is another one, or none.
func TestWorkloadsBySpelling(t *testing.T) {
	ca := newAuthority(t)
	for _, id := range []string{
		"spiffe://example.test/orders/", "spiffe://example.test//orders", "spiffe://example.test/./orders", "spiffe://example.test/a/../orders",
		"spiffe://example.test/%6frders", "spiffe://EXAMPLE.test/orders",
	} {
		w, _ := trust(t, ca, auth.ClaimMatch{Path: []string{"sub"}, Prefix: "spiffe://example.test/"})
		_, err := w.Check(t.Context(), &auth.ClientRecord{Client: &w.client}, []*x509.Certificate{svid(t, ca, "URI:"+id)})
		if _, refused := errors.AsType[*auth.Refusal](err); !refused {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestTrustOfDomains(t *testing.T) {
	ca := newAuthority(t)
	good := svid(t, ca, "URI:spiffe://example.test/orders")
	for name, change := range map[string]func(*world, *auth.TrustedIssuer){
		"gone":           func(w *world, d *auth.TrustedIssuer) { delete(w.issuers, d.ID) },
		"disabled":       func(_ *world, d *auth.TrustedIssuer) { d.Status = auth.Disabled },
		"another kind":   func(_ *world, d *auth.TrustedIssuer) { d.Kind = auth.OIDCIssuer },
		"another domain": func(_ *world, d *auth.TrustedIssuer) { d.Issuer = "spiffe://example" },
		"no rule":        func(w *world, _ *auth.TrustedIssuer) { w.client.Proofs.Federation = nil },
		"another claim":  func(w *world, _ *auth.TrustedIssuer) { w.client.Proofs.Federation[0].Claims[0].Path = []string{"x"} },
		"one claim too many": func(w *world, _ *auth.TrustedIssuer) {
			rule := &w.client.Proofs.Federation[0]
			rule.Claims = append(rule.Claims, exactly("spiffe://example.test/x"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, domain := trust(t, ca, exactly("spiffe://example.test/orders"))
			change(w, domain)
			w.judge(t, auth.NoRuleMatches, "", good)
		})
	}
	for name, bundle := range map[string]json.RawMessage{
		"for JWT-SVIDs": set(t, `,"use":"jwt-svid"`, true, ca.Certificate), "without use": set(t, "", true, ca.Certificate), "without certificate": set(t, `,"use":"x509-svid"`, false, ca.Certificate),
	} {
		t.Run("a bundle "+name, func(t *testing.T) {
			w, domain := trust(t, ca, exactly("spiffe://example.test/orders"))
			domain.JWKS = bundle
			w.judge(t, auth.BadCertificate, "its authority", good)
		})
	}
	w, domain := trust(t, ca, exactly("spiffe://example.test/orders"))
	domain.JWKS = []byte("{}")
	w.judge(t, auth.BadCertificate, "the trust bundle", good)
	w.down = errors.New("down")
	if _, err := w.Check(t.Context(), &auth.ClientRecord{Client: &w.client}, []*x509.Certificate{good}); !errors.Is(err, fault.Unavailable) {
		t.Errorf("without the bundle: %v", err)
	}
}
