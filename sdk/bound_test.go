package sdk_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// boundOutcome is like outcome, and tells proofs apart.
func boundOutcome(err error) string {
	for name, kind := range map[string]error{
		"invalid_dpop_proof": sdk.ErrInvalidProof, "use_dpop_nonce": sdk.ErrUseNonce, "400": sdk.ErrInvalidRequest, "no token": sdk.ErrNoToken,
	} {
		if errors.Is(err, kind) {
			return name
		}
	}
	return outcome(err)
}

func TestDPoP(t *testing.T) {
	h, thief := newHolder(t), newHolder(t)
	s := newService(t)
	bound, plain := h.mint(s.issuer, true, false), s.issuer.Mint(sdktest.Claims{})
	opaque := s.issuer.MintOpaque(sdktest.Claims{Members: map[string]any{"cnf": h.cnf(true, false), "token_type": "DPoP"}})
	set := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
	}
	for _, tt := range []struct {
		name  string
		token string
		alter func(*http.Request)
		want  string
	}{
		{"D01: a proof by the token's key", bound, nil, "ok"},
		{"D01: of an opaque token", opaque, nil, "ok"},
		{"D04: with a query", bound, func(r *http.Request) { r.RequestURI += "?q=1" }, "ok"},
		{"S12: scheme in small letters", bound, set("Authorization", "dpop "+bound), "ok"},
		{"D03: for another URI", bound, set("DPoP", h.proof("GET", "https://orders.test/orders/8", bound, "")), "invalid_dpop_proof"},
		{"D03: for another host", bound, set("DPoP", h.proof("GET", "https://evil.test/orders/7", bound, "")), "invalid_dpop_proof"},
		{"D05: for another method", bound, set("DPoP", h.proof("POST", orders, bound, "")), "invalid_dpop_proof"},
		{"D12: two proofs", bound, set("DPoP", h.proof("GET", orders, bound, ""), h.proof("GET", orders, bound, "")), "invalid_dpop_proof"},
		{"D15: without ath", bound, set("DPoP", h.proof("GET", orders, "", "")), "invalid_dpop_proof"},
		{"D15: for another token", bound, set("DPoP", h.proof("GET", orders, plain, "")), "invalid_dpop_proof"},
		{"D15: no proof", bound, func(r *http.Request) { r.Header.Del("DPoP") }, "invalid_dpop_proof"},
		{"D16: as a bearer token", bound, set("Authorization", "Bearer "+bound), "401"},
		{"D16: as a bearer token without proof", bound, func(r *http.Request) { r.Header = bearer(bound) }, "401"},
		{"D16: an opaque one", opaque, set("Authorization", "Bearer "+opaque), "401"},
		{"D17: a proof by another key", bound, set("DPoP", thief.proof("GET", orders, bound, "")), "401"},
		{"D18: a bearer token under DPoP", plain, nil, "401"},
		{"D18: and without proof", plain, func(r *http.Request) { r.Header.Del("DPoP") }, "401"},
		{"D19: two Authorization headers", bound, set("Authorization", "Bearer "+bound, "DPoP "+bound), "400"},
		{"D19: both in one", bound, set("Authorization", "DPoP "+bound+", Bearer "+bound), "400"},
		{"D19: a token in the query, too", bound, func(r *http.Request) { r.URL.RawQuery = "access_token=x" }, "400"},
		{"no token after the scheme", bound, set("Authorization", "DPoP"), "400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := h.request(tt.token, "")
			if tt.alter != nil {
				tt.alter(r)
			}
			verified, err := s.VerifyRequest(r, sdk.Policy{})
			if got := boundOutcome(err); got != tt.want {
				t.Fatalf("got %s (%v), want %s", got, err, tt.want)
			}
			if err != nil {
				if strings.Contains(err.Error(), tt.token) || strings.Contains(err.Error(), "eyJ") {
					t.Errorf("%q holds a token or a proof", err)
				}
				return
			}
			if i, ok := sdk.FromContext(verified.Context()); !ok || !i.Bound() {
				t.Errorf("the identity is %v", i)
			}
		})
	}
}

// What is remembered is the token: every request needs a proof of its own (D09, attack 29).
func TestEveryRequestNeedsAProof(t *testing.T) {
	h, s := newHolder(t), newService(t)
	for _, token := range []string{h.mint(s.issuer, true, false), s.issuer.MintOpaque(sdktest.Claims{Members: map[string]any{"cnf": h.cnf(true, false)}})} {
		t.Run("D09", func(t *testing.T) {
			for range 3 {
				r := h.request(token, "")
				if _, err := s.VerifyRequest(r, sdk.Policy{}); err != nil {
					t.Fatal(err)
				}
				if _, err := s.VerifyRequest(r, sdk.Policy{}); boundOutcome(err) != "invalid_dpop_proof" {
					t.Errorf("again: %v", err)
				}
				if _, err := s.Verify(t.Context(), token, sdk.Policy{}); boundOutcome(err) != "401" {
					t.Errorf("attack 30: a token that was accepted before, without proof: %v", err)
				}
			}
		})
	}
	if state := s.Describe(); state.Tokens.FromMemory != 0 || state.Tokens.Signatures != 1 || state.Tokens.Introspections != 1 {
		t.Errorf("%+v: want each token judged once, and no request answered without proof", state.Tokens)
	}
}

func TestCertificateBoundTokens(t *testing.T) {
	h, thief := newHolder(t), newHolder(t)
	proxy := netip.MustParsePrefix("192.0.2.0/24") // where httptest's requests are from
	s, behind := newService(t), newService(t, sdk.WithClientCertFrom(proxy))
	type change = func(r *http.Request)
	over := func(of *holder) change { return func(r *http.Request) { of.over(r) } }
	from := func(of *holder, peer string) change {
		return func(r *http.Request) {
			r.Header.Set("Client-Cert", of.header())
			r.RemoteAddr = peer
		}
	}
	both := func(changes ...change) change {
		return func(r *http.Request) {
			for _, c := range changes {
				c(r)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		at    *service
		alter change
		want  string
	}{
		{"B01: the right certificate", s, over(h), "ok"},
		{"B02: another one", s, over(thief), "401"},
		{"B03: none", s, func(*http.Request) {}, "401"},
		{"B03: TLS without", s, func(r *http.Request) { r.TLS = httptest.NewRequest("GET", orders, nil).TLS }, "401"},
		{"attack 31: in a header, and nobody is a proxy", s, from(h, "192.0.2.1:1"), "401"},
		{"attack 31: in a header, from somebody else", behind, from(h, "198.51.100.1:1"), "401"},
		{"attack 31: in a header, beside the thief's own", behind, both(from(h, "198.51.100.1:1"), over(thief)), "401"},
		{"attack 31: from an address that is none", behind, from(h, "@"), "401"},
		{"B01: in a proxy's header", behind, from(h, "192.0.2.1:1"), "ok"},
		{"B01: in a proxy's header, IPv4 in IPv6", behind, from(h, "[::ffff:192.0.2.1]:1"), "ok"},
		{"B01: in a proxy's header, beside the proxy's own", behind, both(from(h, "192.0.2.1:1"), over(thief)), "ok"},
		{"B01: without a proxy, where there are some", behind, both(over(h), func(r *http.Request) { r.RemoteAddr = "198.51.100.1:1" }), "ok"},
		{"B02: another one in a proxy's header", behind, from(thief, "192.0.2.1:1"), "401"},
		{"B03: a proxy's own counts for nobody", behind, over(h), "401"},
		{"two headers from a proxy", behind, both(from(h, "192.0.2.1:1"), func(r *http.Request) { r.Header.Add("Client-Cert", h.header()) }), "400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, orders, nil)
			r.Header = bearer(h.mint(tt.at.issuer, false, true))
			tt.alter(r)
			for range 2 { // a certificate is no proof that wears out
				if _, err := tt.at.VerifyRequest(r, sdk.Policy{}); boundOutcome(err) != tt.want {
					t.Fatalf("got %v, want %s", err, tt.want)
				}
			}
		})
	}
	t.Run("D18: under the scheme DPoP", func(t *testing.T) {
		token := h.mint(s.issuer, false, true)
		if _, err := s.VerifyRequest(h.over(h.request(token, "")), sdk.Policy{}); boundOutcome(err) != "401" {
			t.Error(err)
		}
	})
	t.Run("B01: an opaque token", func(t *testing.T) {
		token := s.issuer.MintOpaque(sdktest.Claims{Members: map[string]any{"cnf": h.cnf(false, true)}})
		shown := sdk.Presented{Token: token, Certificate: h.certificate.Leaf}
		if _, err := s.VerifyPresented(t.Context(), shown, sdk.Policy{}); err != nil {
			t.Error(err)
		}
		if _, err := s.Verify(t.Context(), token, sdk.Policy{}); boundOutcome(err) != "401" {
			t.Error(err)
		}
	})
}

// A token that is bound to both is good for whoever has both.
func TestBoundToBoth(t *testing.T) {
	h, thief, s := newHolder(t), newHolder(t), newService(t)
	token := h.mint(s.issuer, true, true)
	for name, tt := range map[string]struct {
		request *http.Request
		want    string
	}{
		"both":               {h.over(h.request(token, "")), "ok"},
		"D16: bearer":        {h.over(bearing(token)), "401"},
		"B03: key alone":     {h.request(token, ""), "401"},
		"B02: another's":     {thief.over(h.request(token, "")), "401"},
		"D17: another's key": {h.over(thief.request(token, "")), "401"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.VerifyRequest(tt.request, sdk.Policy{}); boundOutcome(err) != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func bearing(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, orders, nil)
	r.Header = bearer(token)
	return r
}

// Who asks for more than can be checked is refused, however the token is presented.
func TestUnknownBindings(t *testing.T) {
	h, s := newHolder(t), newService(t)
	with := func(name string, value any) map[string]any {
		cnf := h.cnf(true, true)
		cnf[name] = value
		return cnf
	}
	for name, cnf := range map[string]any{
		"another member": with("jwk", map[string]any{}), "nothing": map[string]any{}, "text": "x", "list": []string{},
		"jkt is a number": with("jkt", 1), "jkt is short": with("jkt", "AAAA"), "jkt in another spelling": with("jkt", h.key.Thumbprint()+"="),
		"x5t#S256 is no hash": with("x5t#S256", "x"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, token := range []string{
				s.issuer.Mint(sdktest.Claims{Members: map[string]any{"cnf": cnf}}), s.issuer.MintOpaque(sdktest.Claims{Members: map[string]any{"cnf": cnf}}),
			} {
				for _, r := range []*http.Request{h.over(h.request(token, "")), h.over(bearing(token))} {
					if _, err := s.VerifyRequest(r, sdk.Policy{}); boundOutcome(err) != "401" {
						t.Errorf("%s: %v", r.Header.Get("Authorization")[:6], err)
					}
				}
			}
		})
	}
}

func TestBoundTokensOnly(t *testing.T) {
	h, open, closed := newHolder(t), newService(t), newService(t, sdk.WithBoundTokensOnly())
	for _, tt := range []struct {
		name   string
		at     *service
		policy sdk.Policy
		want   string
	}{
		{"by the route", open, sdk.Policy{}.RequireBound(), "401"},
		{"by the verifier", closed, sdk.Policy{}, "401"},
		{"neither", open, sdk.Policy{}, "ok"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plain := tt.at.issuer.Mint(sdktest.Claims{})
			for range 2 { // the second time it is remembered
				if _, err := tt.at.VerifyRequest(bearing(plain), tt.policy); boundOutcome(err) != tt.want {
					t.Errorf("a plain token: %v, want %s", err, tt.want)
				}
			}
			if _, err := tt.at.VerifyRequest(h.request(h.mint(tt.at.issuer, true, false), ""), tt.policy); err != nil {
				t.Error(err)
			}
			if _, err := tt.at.VerifyRequest(h.over(bearing(h.mint(tt.at.issuer, false, true))), tt.policy); err != nil {
				t.Error(err)
			}
		})
	}
}
