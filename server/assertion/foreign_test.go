package assertion_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/server/assertion"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/remotekeys"
)

type keysFunc func(kid string) (*jose.Key, error)

func (f keysFunc) Key(_ context.Context, _ remotekeys.Source, kid string, _ jose.Algorithm) (*jose.Key, error) {
	return f(kid)
}

var _ auth.Assertions = (*assertion.Verifier)(nil)

const (
	cluster = "https://kubernetes.default.svc.cluster.local"
	forge   = "https://token.actions.githubusercontent.com"
	domain  = "spiffe://example.org"
)

// trust adds a trusted issuer, by key.
func (w *world) trust(name string, key signer, change func(*auth.TrustedIssuer)) *auth.TrustedIssuer {
	w.Helper()
	i := &auth.TrustedIssuer{ID: auth.NewTrustedIssuerID(start()), Issuer: name, Trust: auth.Trust{
		Kind: auth.OIDCIssuer, JWKS: set(key.jwk(w, nil)), Algorithms: []string{"ES256"}, MaxLifetime: time.Hour, Replay: auth.Reusable, Status: auth.Active,
	}}
	if change != nil {
		change(i)
	}
	w.trusted[i.ID] = i
	return i
}

func (w *world) rule(i *auth.TrustedIssuer, claims ...auth.ClaimMatch) {
	w.client.Proofs.Federation = append(w.client.Proofs.Federation, auth.FederationRule{Issuer: i.ID, Claims: claims})
}

func equals(value string, path ...string) auth.ClaimMatch {
	return auth.ClaimMatch{Path: path, Equals: value}
}

func begins(prefix string, path ...string) auth.ClaimMatch {
	return auth.ClaimMatch{Path: path, Prefix: prefix}
}

// ofCluster are the claims of a projected token of a Kubernetes service account.
func ofCluster() members {
	return members{
		"aud": []string{issuer}, "exp": start().Add(time.Hour).Unix(), "iat": start().Unix(), "nbf": start().Unix(), "iss": cluster,
		"jti": "0e0f6b3e-0d0c-4b5e-9b76-1f0b4a6c3c39", "sub": "system:serviceaccount:shop:orders",
		"kubernetes.io": members{"namespace": "shop", "serviceaccount": members{"name": "orders", "uid": "a087"}, "warnafter": 1},
	}
}

func newCluster(t testing.TB) (*world, signer) {
	t.Helper()
	w, key := newWorld(t, auth.FederatedJWT), newSigner(t, "cluster-1")
	w.rule(w.trust(cluster, key, nil), equals("shop", "kubernetes.io", "namespace"), equals("orders", "kubernetes.io", "serviceaccount", "name"))
	return w, key
}

func TestKubernetes(t *testing.T) {
	account := func(namespace, name any) members {
		return members{"namespace": namespace, "serviceaccount": members{"name": name}}
	}
	for _, tt := range []struct {
		name           string
		header, claims members
		reason, detail string
	}{
		{name: "the workload"},
		{name: "another namespace", claims: members{"kubernetes.io": account("shop2", "orders")}, reason: auth.NoRuleMatches},
		{name: "another account", claims: members{"kubernetes.io": account("shop", "admin")}, reason: auth.NoRuleMatches},
		{name: "namespace in other case", claims: members{"kubernetes.io": account("Shop", "orders")}, reason: auth.NoRuleMatches},
		{name: "namespace is an array", claims: members{"kubernetes.io": account([]string{"shop"}, "orders")}, reason: auth.NoRuleMatches},
		{name: "names with a dot are not a path", claims: members{"kubernetes.io": nil, "kubernetes.io.namespace": "shop"}, reason: auth.NoRuleMatches},
		{name: "an object of other depth", claims: members{"kubernetes.io": nil, "kubernetes": members{"io": account("shop", "orders")}}, reason: auth.NoRuleMatches},
		{name: "no such claims", claims: members{"kubernetes.io": nil}, reason: auth.NoRuleMatches},
		{name: "another cluster", claims: members{"iss": cluster + "/"}, reason: auth.BadAssertion, detail: "iss: none"},
		{name: "no iss", claims: members{"iss": nil}, reason: auth.BadAssertion, detail: "iss: missing"},
		{name: "no sub", claims: members{"sub": nil}, reason: auth.BadAssertion, detail: "sub: missing"},
		{name: "for the API server", claims: members{"aud": cluster}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "for the API server, too", claims: members{"aud": []string{issuer, cluster}}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "over", claims: members{"exp": start().Add(-time.Hour).Unix()}, reason: auth.ExpiredAssertion, detail: "exp: "},
		{name: "extended to a year", claims: members{"exp": start().Add(365 * 24 * time.Hour).Unix()}, reason: auth.ExpiredAssertion, detail: "exp: more than 1h0m0s ahead"},
		{name: "extended to a year, at its end", claims: members{"iat": start().Add(-365 * 24 * time.Hour).Unix()}, reason: auth.ExpiredAssertion, detail: "iat: "},
		{name: "no exp", claims: members{"exp": nil}, reason: auth.BadAssertion, detail: "exp: "},
		{name: "no jti, and none is needed", claims: members{"jti": nil}},
		{name: "typ JWT", header: members{"typ": "JWT"}},
		{name: "attack 18: access token", header: members{"typ": "at+jwt"}, reason: auth.BadAssertion, detail: "typ: "},
		{name: "unknown kid", header: members{"kid": "cluster-2"}, reason: auth.BadAssertion, detail: "kid: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, key := newCluster(t)
			w.judge(auth.JWTBearer, key.sign(t, tt.header, ofCluster().with(tt.claims)), tt.reason, tt.detail)
		})
	}
}

func TestFederationByAttackers(t *testing.T) {
	w, key := newCluster(t)
	other := newSigner(t, "cluster-1")
	w.judge(auth.JWTBearer, other.sign(t, nil, ofCluster()), auth.BadAssertion, "the signature")

	// Another issuer that is trusted, but not for this client, or for other claims.
	evil := w.trust("https://evil.example", other, nil)
	w.judge(auth.JWTBearer, other.sign(t, nil, ofCluster().with(members{"iss": evil.Issuer})), auth.BadAssertion, "iss: none")
	w.rule(evil, equals("someone", "sub"))
	w.judge(auth.JWTBearer, other.sign(t, nil, ofCluster().with(members{"iss": evil.Issuer})), auth.NoRuleMatches, "")
	w.judge(auth.JWTBearer, other.sign(t, nil, ofCluster().with(members{"iss": evil.Issuer, "sub": "someone"})), "", "")
	w.judge(auth.JWTBearer, other.sign(t, nil, ofCluster()), auth.BadAssertion, "the signature") // in the cluster's name

	// The client cannot sign for itself.
	w.client.Proofs.JWKS = set(other.jwk(t, nil))
	w.judge(auth.JWTBearer, other.sign(t, nil, ofCluster().with(members{"iss": w.id(), "sub": w.id()})), auth.BadAssertion, "iss: none")
	w.judge(auth.SPIFFEBearer, key.sign(t, nil, ofCluster()), auth.WrongMethod, "client_assertion_type: ")
}

func TestTrustedIssuerSettings(t *testing.T) {
	for _, tt := range []struct {
		name           string
		change         func(*auth.TrustedIssuer)
		claims         members
		reason, detail string
	}{
		{name: "disabled", change: func(i *auth.TrustedIssuer) { i.Status = auth.Disabled }, reason: auth.BadAssertion, detail: "iss: none"},
		{name: "of another kind", change: func(i *auth.TrustedIssuer) { i.Kind = auth.SPIFFEIssuer }, reason: auth.BadAssertion, detail: "iss: none"},
		{name: "algorithm that is not its own", change: func(i *auth.TrustedIssuer) { i.Algorithms = []string{"RS256"} }, reason: auth.BadAssertion, detail: "alg: "},
		{name: "audience of its own", change: func(i *auth.TrustedIssuer) { i.Audience = "sts" }, claims: members{"aud": "sts"}},
		{name: "audience of its own takes the place of ours", change: func(i *auth.TrustedIssuer) { i.Audience = "sts" }, reason: auth.WrongAudience, detail: "aud: "},
		{name: "longer life", change: func(i *auth.TrustedIssuer) { i.MaxLifetime = 24 * time.Hour }, claims: members{"exp": start().Add(24 * time.Hour).Unix()}},
		{name: "shorter life", change: func(i *auth.TrustedIssuer) { i.MaxLifetime = 5 * time.Minute }, reason: auth.ExpiredAssertion, detail: "exp: more than 5m0s ahead"},
		{name: "once, without jti", change: func(i *auth.TrustedIssuer) { i.Replay = auth.Once }, claims: members{"jti": nil}, reason: auth.BadAssertion, detail: "jti: "},
		{name: "once", change: func(i *auth.TrustedIssuer) { i.Replay = auth.Once }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, key := newCluster(t)
			trusted := w.trusted[w.client.Proofs.Federation[0].Issuer]
			tt.change(trusted)
			text := key.sign(t, nil, ofCluster().with(tt.claims))
			w.judge(auth.JWTBearer, text, tt.reason, tt.detail)
			if proven, err := w.check(auth.JWTBearer, text); err == nil && ((proven.Use != nil) != (trusted.Replay == auth.Once) || proven.Issuer != trusted) {
				t.Errorf("proves %+v", proven)
			}
		})
	}
}

// The claims are those that GitHub documents for a job.
func TestForge(t *testing.T) {
	w, key := newWorld(t, auth.FederatedJWT), newSigner(t, "forge-1")
	trusted := w.trust(forge, key, func(i *auth.TrustedIssuer) { i.Replay = auth.Once })
	w.rule(trusted, equals("example/shop", "repository"), begins("refs/heads/release/", "ref"))
	w.rule(trusted, equals("repo:example/shop:environment:production", "sub"))
	job := members{
		"iss": forge, "aud": issuer, "sub": "repo:example/shop:ref:refs/heads/release/1", "ref": "refs/heads/release/1", "repository": "example/shop",
		"repository_owner": "example", "jti": "j1", "exp": start().Add(5 * time.Minute).Unix(), "iat": start().Unix(), "nbf": start().Add(-5 * time.Minute).Unix(),
	}
	for _, tt := range []struct {
		name   string
		claims members
		reason string
	}{
		{name: "by the first rule"},
		{name: "by the second rule", claims: members{"sub": "repo:example/shop:environment:production", "ref": "refs/heads/x"}},
		{name: "another branch", claims: members{"ref": "refs/heads/main"}, reason: auth.NoRuleMatches},
		{name: "the prefix within", claims: members{"ref": "x/refs/heads/release/1"}, reason: auth.NoRuleMatches},
		{name: "another repository", claims: members{"repository": "example/shop-fork"}, reason: auth.NoRuleMatches},
		{name: "half of each rule", claims: members{"repository": "evil/shop", "sub": "repo:example/shop:environment:production2"}, reason: auth.NoRuleMatches},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.judge(auth.JWTBearer, key.sign(t, members{"typ": "JWT", "x5t": "e30"}, job.with(tt.claims)), tt.reason, "")
		})
	}
	use := func(claims members) auth.ProofUse {
		proven, err := w.check(auth.JWTBearer, key.sign(t, nil, job.with(claims)))
		if err != nil || proven.Use == nil || proven.Issuer != trusted {
			t.Fatalf("%+v, %v", proven, err)
		}
		return *proven.Use
	}
	first := use(nil)
	if use(members{"ref": "refs/heads/release/2"}) != first || use(members{"jti": "j2"}).Key == first.Key {
		t.Error("a use is not told by the jti")
	}
}

func TestSPIFFE(t *testing.T) {
	const id = domain + "/ns/shop/sa/orders"
	for _, tt := range []struct {
		name           string
		header, claims members
		reason, detail string
	}{
		{name: "the workload"},
		{name: "typ JOSE", header: members{"typ": "JOSE"}},
		{name: "typ JWT", header: members{"typ": "JWT"}},
		{name: "with iss, jti and iat", claims: members{"iss": "https://spire.example.org", "jti": "1", "iat": start().Unix()}},
		{name: "typ of an assertion", header: members{"typ": "client-authentication+jwt"}, reason: auth.BadAssertion, detail: "typ: "},
		{name: "another workload", claims: members{"sub": domain + "/ns/shop/sa/admin"}, reason: auth.NoRuleMatches},
		{name: "another trust domain", claims: members{"sub": "spiffe://example.com/ns/shop/sa/orders"}, reason: auth.BadAssertion, detail: "sub: its trust domain"},
		{name: "trust domain that begins alike", claims: members{"sub": "spiffe://example.org.evil.com/ns/shop/sa/orders"}, reason: auth.BadAssertion, detail: "sub: its trust domain"},
		{name: "the trust domain itself", claims: members{"sub": domain}, reason: auth.BadAssertion, detail: "sub: must be"},
		{name: "no sub", claims: members{"sub": nil}, reason: auth.BadAssertion, detail: "sub: must be"},
		{name: "no kid", header: members{"kid": nil}, reason: auth.BadAssertion, detail: "kid: missing"},
		{name: "key for X.509", header: members{"kid": "x509"}, reason: auth.BadAssertion, detail: "kid: "},
		{name: "for another server", claims: members{"aud": "https://other.example"}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "for another server, too", claims: members{"aud": []string{issuer, "https://other.example"}}, reason: auth.WrongAudience, detail: "aud: "},
		{name: "over", claims: members{"exp": start().Add(-2 * time.Minute).Unix()}, reason: auth.ExpiredAssertion, detail: "exp: "},
		{name: "no exp", claims: members{"exp": nil}, reason: auth.BadAssertion, detail: "exp: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, key := newWorld(t, auth.SPIFFEJWT), newSigner(t, "svid-1")
			w.rule(w.trust(domain, key, func(i *auth.TrustedIssuer) {
				i.Kind = auth.SPIFFEIssuer
				i.JWKS = set(key.jwk(t, members{"use": "jwt-svid"}), signer{key.key, key.alg, "x509"}.jwk(t, members{"use": "x509-svid"}))
			}), equals(id, "sub"))
			claims := members{"sub": id, "aud": []string{issuer}, "exp": start().Add(5 * time.Minute).Unix()}.with(tt.claims)
			w.judge(auth.SPIFFEBearer, key.sign(t, tt.header, claims), tt.reason, tt.detail)
		})
	}
}

// Where the keys are to be had is the issuer's setting.
func TestSources(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*auth.TrustedIssuer)
		want   remotekeys.Source
	}{
		{"inline", func(i *auth.TrustedIssuer) { i.JWKS = []byte("{}") }, remotekeys.Source{Inline: "{}"}},
		{"address", func(i *auth.TrustedIssuer) { i.JWKSURI = "https://a.example/" }, remotekeys.Source{URL: "https://a.example/"}},
		{"discovery", func(*auth.TrustedIssuer) {}, remotekeys.Source{Kind: remotekeys.Discovery, URL: cluster}},
		{"bundle", func(i *auth.TrustedIssuer) { i.Kind, i.JWKS = auth.SPIFFEIssuer, []byte("{}") }, remotekeys.Source{Kind: remotekeys.Bundle, Inline: "{}"}},
		{"bundle endpoint", func(i *auth.TrustedIssuer) { i.Kind, i.JWKSURI = auth.SPIFFEIssuer, "https://a.example/" }, remotekeys.Source{Kind: remotekeys.Bundle, URL: "https://a.example/"}},
	} {
		trusted := &auth.TrustedIssuer{Issuer: cluster, Trust: auth.Trust{Kind: auth.OIDCIssuer}}
		tt.change(trusted)
		if got := assertion.Source(trusted); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// A key that the issuer has no more, or keys that cannot be had, are told apart.
func TestFederationWithoutKeys(t *testing.T) {
	w, key := newCluster(t)
	text := key.sign(t, nil, ofCluster())
	w.keys = keysFunc(func(string) (*jose.Key, error) { return nil, jwks.ErrUnknownKey })
	w.verifier = w.newVerifier()
	w.judge(auth.JWTBearer, text, auth.BadAssertion, "kid: ")
	w.keys = keysFunc(func(string) (*jose.Key, error) { return nil, jwks.ErrUnavailable })
	w.verifier = w.newVerifier()
	_, err := w.check(auth.JWTBearer, text)
	if _, refused := errors.AsType[*auth.Refusal](err); err == nil || refused {
		t.Errorf("got %v", err)
	}
}
