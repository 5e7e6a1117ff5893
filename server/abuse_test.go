package server_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/abuse"
	"github.com/countersign/countersign/server/auth"
)

// from has a request come from an address: the test is a trusted proxy.
func from(address string) change { return with("X-Forwarded-For", address) }

func guarded(t testing.TB, limits abuse.Config) *world {
	t.Helper()
	return newWorldAt(t, issuer, &limits)
}

// token is a token request.
func (w *world) token(c credential, api string, changes ...change) answer {
	w.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {api}}
	return w.post("/oauth2/token", form.Encode(), append(changes, basic(c))...)
}

func guess(id auth.ClientID) credential { return credential{id: id, secret: auth.NewSecretValue()} }

// expectTooMany is H11, and RFC 6749 §5.2 as far as it knows 429.
func (w *world) expectTooMany(got answer, describes string) {
	w.Helper()
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	if got.status != http.StatusTooManyRequests || err != nil || seconds < 1 || got.header.Get("Cache-Control") != "no-store" {
		w.Errorf("answered %d, Retry-After %q, Cache-Control %q", got.status, got.header.Get("Retry-After"), got.header.Get("Cache-Control"))
	}
	description, _ := got.member(w.TB, "error_description").(string)
	if got.member(w.TB, "error") != "temporarily_unavailable" || !strings.Contains(description, describes) {
		w.Errorf("answered %s, want %q", got.body, describes)
	}
}

func (w *world) expectStatus(want int, got answer) {
	w.Helper()
	if got.status != want {
		w.Errorf("answered %d, want %d: %s", got.status, want, got.body)
	}
}

func (w *world) expectRefusals(reason string, want int) {
	w.Helper()
	const name = "countersign_abuse_refusals_total"
	families, err := w.metrics.Gather()
	w.check(err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && m.GetLabel()[0].GetValue() == reason && int(m.GetCounter().GetValue()) != want {
				w.Errorf("%v refused as %s, want %d", m.GetCounter().GetValue(), reason, want)
			}
		}
	}
	if n, err := testutil.GatherAndCount(w.metrics, name); err != nil || n != 4 {
		w.Errorf("%d reasons, %v", n, err)
	}
}

// Whoever guesses at a secret gets 429, and keeps nobody out: neither the client elsewhere, nor the client where the guesses come from.
func TestAttack22BruteForce(t *testing.T) {
	const flooder, elsewhere = "203.0.113.9", "198.51.100.1"
	w := guarded(t, abuse.Config{FailureLimit: 40})
	unknown := auth.NewClientID(time.Now())
	var ofKnown, ofUnknown []answer
	for range 10 {
		ofKnown = append(ofKnown, w.token(guess(w.caller.id), jwtAPI, from(flooder)))
		ofUnknown = append(ofUnknown, w.token(guess(unknown), jwtAPI, from(flooder)))
	}
	t.Run("H11", func(t *testing.T) {
		for i, got := range ofKnown {
			if i < 4 {
				w.expectStatus(http.StatusUnauthorized, got)
				continue
			}
			w.expectTooMany(got, "of this client from this address, see https://")
		}
	})
	t.Run("it does not tell whether a client exists", func(t *testing.T) {
		for i := range ofKnown {
			a, b := ofKnown[i], ofUnknown[i]
			a.header.Del("Date")
			b.header.Del("Date")
			if a.status != b.status || a.body != b.body || fmt.Sprint(a.header) != fmt.Sprint(b.header) {
				t.Errorf("guess %d: %d %s %v, of nobody %d %s %v", i, a.status, a.body, a.header, b.status, b.body, b.header)
			}
		}
	})
	t.Run("the client goes on", func(t *testing.T) {
		w.expectStatus(http.StatusOK, w.token(w.caller, jwtAPI, from(elsewhere)))
		w.expectStatus(http.StatusOK, w.token(w.caller, jwtAPI, from(flooder)))
	})
	t.Run("the whole address", func(t *testing.T) {
		for range 40 {
			w.token(guess(auth.NewClientID(time.Now())), jwtAPI, from(flooder))
		}
		w.expectTooMany(w.token(guess(auth.NewClientID(time.Now())), jwtAPI, from(flooder)), "from this address")
		w.expectTooMany(w.token(guess(w.resource.id), jwtAPI, from(flooder)), "from this address")
		w.expectTooMany(w.post("/oauth2/introspect", "token=x", from(flooder)), "from this address")
		w.expectTooMany(w.post("/oauth2/revoke", "token=x", from(flooder), with("Authorization", "Bearer x")), "from this address")
		w.expectStatus(http.StatusUnauthorized, w.token(guess(w.resource.id), jwtAPI, from(elsewhere)))
	})
	t.Run("a right secret still gets through", func(t *testing.T) {
		w.expectStatus(http.StatusOK, w.token(w.caller, jwtAPI, from(flooder)))
		w.expectStatus(http.StatusOK, w.introspect(w.resource, "x"))
	})
	t.Run("what costs more waits, but not for whom is known", func(t *testing.T) {
		before := w.directory.catchUps.Load()
		w.token(guess(w.trusted.id), jwtAPI, from(flooder))
		if w.directory.catchUps.Load() != before {
			t.Error("a guess from a flooding address makes the server read the change log")
		}
		w.token(guess(w.caller.id), jwtAPI, from(flooder))
		if w.directory.catchUps.Load() == before {
			t.Error("a client that was here before is not looked for in the change log")
		}
	})
	t.Run("it ends", func(t *testing.T) {
		w.offset.Add(int64(2 * time.Minute))
		w.expectStatus(http.StatusUnauthorized, w.token(guess(w.caller.id), jwtAPI, from(flooder)))
	})
	t.Run("all is on record", func(t *testing.T) {
		w.offset.Add(int64(time.Hour))
		var count int64
		for _, f := range w.failures() {
			if f.Client == w.caller.id {
				count += f.Count
			}
		}
		if count != 12 {
			t.Errorf("%d failures of the client are written", count)
		}
	})
}

// A client is never locked out by how many fail, as long as they come from elsewhere; addresses that one owner can take freely are one.
func TestAttack22FromManyAddresses(t *testing.T) {
	w := guarded(t, abuse.Config{FailureLimit: 40})
	for i := range 300 {
		w.expectStatus(http.StatusUnauthorized, w.token(guess(w.caller.id), jwtAPI, from(fmt.Sprintf("10.1.%d.%d", i/200, i%200))))
	}
	w.expectStatus(http.StatusOK, w.token(w.caller, jwtAPI, from("192.0.2.1")))
	w.expectRefusals("failures_client", 0)
	for i := range 10 {
		w.token(guess(w.caller.id), jwtAPI, from(fmt.Sprintf("2001:db8:0:1::%x", i+1)))
	}
	w.expectRefusals("failures_client", 6)
	w.expectStatus(http.StatusUnauthorized, w.token(guess(w.caller.id), jwtAPI, from("2001:db8:0:2::1")))
}

// Whoever asks about too many tokens that are none gets 429; live tokens go on being told, so that nobody can silence a resource server.
func TestAttack19TokenScanning(t *testing.T) {
	w := guarded(t, abuse.Config{ScanLimit: 20})
	good := w.issue(w.caller, jwtAPI, "")
	for range 20 {
		w.expectStatus(http.StatusOK, w.introspect(w.resource, "cs_at_nothing"))
	}
	t.Run("H11", func(t *testing.T) {
		w.expectTooMany(w.introspect(w.resource, "cs_at_nothing"), "find no live token, see https://")
	})
	if got := w.introspect(w.resource, good); got.member(t, "active") != true {
		t.Errorf("a live token: %d %s", got.status, got.body)
	}
	w.expectTooMany(w.introspect(w.resource, good[:len(good)-1]), "")
	if got := w.introspect(w.stranger, "cs_at_nothing"); got.member(t, "active") != false {
		t.Errorf("another client: %d %s", got.status, got.body)
	}
	w.expectRefusals("scanning", 2)
	records := w.failures()
	if len(records) != 2 || records[0].Reason != auth.Scanning || records[0].Client != w.resource.id {
		t.Errorf("on record: %+v", records)
	}
	if log := w.log.String(); !strings.Contains(log, `"reason":"scanning"`) || strings.Contains(log, "cs_at_nothing") {
		t.Errorf("log: %s", log)
	}
}

// A client that asks for a token with every call is told to keep it.
func TestRunaway(t *testing.T) {
	w := guarded(t, abuse.Config{TokenBudget: 50})
	passed := 0
	for range 100 {
		if got := w.token(w.caller, jwtAPI, from("192.0.2.1")); got.status == http.StatusOK {
			passed++
		}
	}
	if passed < 70 || passed > 75 { // twenty of the address besides, and what comes back meanwhile: a token a second
		t.Errorf("%d of 100 requests got a token", passed)
	}
	t.Run("H11", func(t *testing.T) {
		w.expectTooMany(w.token(w.caller, jwtAPI, from("192.0.2.1")), "request tokens once and cache them, see https://")
	})
	t.Run("others go on", func(t *testing.T) {
		w.expectStatus(http.StatusOK, w.token(w.caller, jwtAPI, from("192.0.2.2"))) // a replica that keeps its tokens
		w.expectStatus(http.StatusOK, w.token(w.caller, opaqueAPI, from("192.0.2.1")))
		w.expectStatus(http.StatusOK, w.token(w.trusted, auth.ServerAPI, from("192.0.2.1")))
	})
	t.Run("it is said", func(t *testing.T) {
		if n := strings.Count(w.log.String(), `"reason":"runaway"`); n != 1 || !strings.Contains(w.log.String(), `"client_id":"`+w.caller.id.String()) {
			t.Errorf("%d lines", n)
		}
		const name = "countersign_abuse_clients_over_budget"
		if err := testutil.GatherAndCompare(w.metrics, strings.NewReader(`
			# HELP `+name+` Clients that were refused a token within the last minute because of their number.
			# TYPE `+name+` gauge
			`+name+` 1
		`), name); err != nil {
			t.Error(err)
		}
		found := false
		for _, f := range w.failures() {
			found = found || f.Client == w.caller.id && f.Reason == auth.OverBudget && f.Source == "192.0.2.1"
		}
		if !found {
			t.Error("it is not on record")
		}
	})
	t.Run("it ends", func(t *testing.T) {
		w.offset.Add(int64(time.Minute))
		w.expectStatus(http.StatusOK, w.token(w.caller, jwtAPI, from("192.0.2.1")))
	})
}

// Nobody but the client itself uses up what it may have, and neither does a database that is down.
func TestOnlyTokensAreCounted(t *testing.T) {
	w := guarded(t, abuse.Config{TokenBudget: 1})
	for range 50 {
		w.expectStatus(http.StatusUnauthorized, w.token(guess(w.caller.id), jwtAPI))
		w.expectStatus(http.StatusBadRequest, w.token(w.caller, "https://nowhere.test"))
	}
	w.ledger.fail(fault.New(fault.Unavailable, "no database"))
	for range 50 {
		w.expectStatus(http.StatusServiceUnavailable, w.token(w.caller, jwtAPI))
	}
	w.ledger.fail(nil)
	for range 20 {
		w.expectStatus(http.StatusOK, w.token(w.caller, jwtAPI))
	}
}
