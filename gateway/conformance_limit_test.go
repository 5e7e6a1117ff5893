package gateway_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/countersign/countersign/sdk/sdktest"
)

// Attack 22, H11: who asks too often is told so, and nobody else is.
func TestConformanceOfLimits(t *testing.T) {
	w := startWireOf(t, newIssuer(t), `
routes:
  - name: limited
    match: {path: /limited}
    authentication: jwt
    audience: https://inventory.test
    pool: echo
    rate_limit: {requests: 2, per: 2s, by: client}
  - {name: open, match: {prefix: /open}, authentication: none, pool: echo, rate_limit: {requests: 3, per: 1h, by: address}}
  - {name: other, match: {prefix: /}, authentication: none, pool: echo}
`, nil)
	of := func(client string, key *sdktest.Key) string {
		return bearer(w.issuer.Mint(sdktest.Claims{ClientID: client, Audience: []string{api}, Key: key}))
	}
	stranger := sdktest.NewKey(sdktest.ES256, w.issuer.Key().ID())
	limited := func(got answer) bool {
		seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
		return got.status == http.StatusTooManyRequests && err == nil && seconds >= 1 && got.problem(t).Code == "too_many_requests"
	}
	t.Run("attack 22 forgeries cost their victim nothing", func(t *testing.T) {
		for range 10 {
			if got := w.ask(t, "GET", "/limited", of("cl_victim", stranger)); got.status != http.StatusUnauthorized {
				t.Errorf("%+v", got)
			}
		}
		for range 2 {
			if got := w.ask(t, "GET", "/limited", of("cl_victim", nil)); got.status != http.StatusOK {
				t.Errorf("%+v", got)
			}
		}
	})
	t.Run("H11 too many requests", func(t *testing.T) {
		var got answer
		await(t, "429", func() bool { got = w.ask(t, "GET", "/limited", of("cl_a", nil)); return got.status != http.StatusOK })
		if !limited(got) {
			t.Errorf("%+v", got)
		}
		if got := w.ask(t, "GET", "/limited", of("cl_a", nil), "X-Forwarded-For: 192.0.2.1", "X-Client-Id: cl_b"); got.status != http.StatusTooManyRequests {
			t.Errorf("by other headers: %+v", got)
		}
		if got := w.ask(t, "GET", "/limited", of("cl_b", nil)); got.status != http.StatusOK {
			t.Errorf("another client: %+v", got)
		}
		await(t, "end of the limit", func() bool { return w.ask(t, "GET", "/limited", of("cl_a", nil)).status == http.StatusOK })
	})
	t.Run("attack 22 an address is limited on the route alone, under any name", func(t *testing.T) {
		for n := range 3 {
			if got := w.ask(t, "GET", "/open", "X-Forwarded-For: 192.0.2."+strconv.Itoa(n)); got.status != http.StatusOK {
				t.Errorf("%+v", got)
			}
		}
		for _, target := range []string{"/open", "/open/x", "//%6fpen", "/open?x"} {
			if got := w.ask(t, "GET", target, "X-Forwarded-For: 192.0.2.9", "Forwarded: for=192.0.2.9"); !limited(got) {
				t.Errorf("%s: %+v", target, got)
			}
		}
		if got := w.ask(t, "GET", "/other"); got.status != http.StatusOK {
			t.Errorf("%+v", got)
		}
	})
}
