package sdkotel_test

import (
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkotel"
	"github.com/countersign/countersign/sdk/sdktest"
)

func newClient(t *testing.T, issuer *sdktest.Issuer) *sdk.Client {
	t.Helper()
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), sdk.Secret(issuer.ClientSecret()), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func newVerifier(t *testing.T, issuer *sdktest.Issuer, opts ...sdk.VerifierOption) *sdk.Verifier {
	t.Helper()
	verifier, err := sdk.NewVerifier(issuer.URL(), audience, append(opts, sdk.WithHTTPClient(issuer.Client()),
		sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		verifier.Close()
		issuer.Close()
	})
	return verifier
}

func mustStop(t *testing.T, stop func() error, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestObserveClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New(sdktest.WithLifetime(100 * time.Second))
		client, meters := newClient(t, issuer), newMeters()
		stop, err := sdkotel.ObserveClient(meters, client)
		mustStop(t, stop, err)
		if got := meters.read(t); len(got) != 0 {
			t.Errorf("without a token there is %v", got)
		}

		source := client.TokenSource(audience, "write", "read")
		token, err := source.Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			_, _ = source.Token(t.Context())
		}
		if _, err := source.Refresh(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		issuer.Fail(sdktest.Failure{Status: http.StatusBadRequest}, sdktest.TokenEndpoint)
		_, _ = client.TokenSource("https://other.test").Token(t.Context())
		time.Sleep(time.Minute)

		of := " " + audience + " "
		got := meters.read(t)
		got.expect(t, reading{
			"countersign.sdk.token.hits" + of + "read write":             3,
			"countersign.sdk.token.refreshes" + of + "ok read write":     2,
			"countersign.sdk.token.refreshes" + of + "failed read write": 0,
			"countersign.sdk.token.forced_refreshes" + of + "read write": 1,
			"countersign.sdk.token.time_to_expiry" + of + "read write":   40,
			"countersign.sdk.token.refreshes https://other.test failed":  1,
			"countersign.sdk.token.hits https://other.test":              0,
		})
		if _, ok := got["countersign.sdk.token.time_to_expiry https://other.test"]; ok {
			t.Error("a token that there never was expires")
		}
		time.Sleep(time.Minute)
		meters.read(t).expect(t, reading{"countersign.sdk.token.time_to_expiry" + of + "read write": 0})
	})
}

func TestObserveVerifier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New(sdktest.WithTokenStore())
		verifier, meters := newVerifier(t, issuer, sdk.WithTokenStore(issuer.Records(), sdktest.APIID(audience)), sdk.WithCacheSize(64)), newMeters()
		stop, err := sdkotel.ObserveVerifier(meters, verifier)
		mustStop(t, stop, err)
		before := meters.read(t)
		before.expect(t, reading{"countersign.sdk.verifications checked ok": 0, "countersign.sdk.revocation.lease": 0, "countersign.sdk.keys.held": 0})
		for _, name := range []string{"countersign.sdk.revocation.age", "countersign.sdk.keys.age"} {
			if _, ok := before[name]; ok {
				t.Errorf("%s of nothing", name)
			}
		}

		jwt := issuer.Token(audience, "read")
		opaque := issuer.MintOpaque(sdktest.Claims{Audience: []string{audience}})
		other := issuer.MintOpaque(sdktest.Claims{Audience: []string{"https://other.test"}})
		for _, token := range []string{jwt, jwt, jwt, opaque, other, "garbage"} {
			_, _ = verifier.Verify(t.Context(), token, sdk.Policy{})
		}
		_, _ = verifier.Verify(t.Context(), jwt, sdk.RequireScope("write"))
		_, _ = verifier.Verify(t.Context(), jwt, sdk.Policy{}.From("cl_another"))
		issuer.RevokeClient("cl_gone")
		synctest.Wait()
		meters.read(t).expect(t, reading{
			"countersign.sdk.verifications memory ok":                  2,
			"countersign.sdk.verifications checked ok":                 2,
			"countersign.sdk.verifications checked invalid_token":      2,
			"countersign.sdk.verifications checked insufficient_scope": 1,
			"countersign.sdk.verifications checked forbidden":          1,
			"countersign.sdk.verifications checked unavailable":        0,
			"countersign.sdk.checks signature":                         1,
			"countersign.sdk.checks token_store":                       1,
			"countersign.sdk.checks introspection":                     1,
			"countersign.sdk.cache.entries":                            2,
			"countersign.sdk.cache.limit":                              64,
			"countersign.sdk.cache.evictions":                          0,
			"countersign.sdk.token_store.lookups hit":                  1,
			"countersign.sdk.token_store.lookups miss":                 1,
			"countersign.sdk.token_store.lookups failed":               0,
			"countersign.sdk.keys.held":                                1,
			"countersign.sdk.keys.fetches ok":                          1,
			"countersign.sdk.keys.fetches failed":                      0,
			"countersign.sdk.revocation.entries client":                1,
			"countersign.sdk.revocation.connected":                     1,
			"countersign.sdk.revocation.streams":                       1,
			"countersign.sdk.revocation.lease":                         1,
			"countersign.sdk.revocation.age":                           0,
			"countersign.sdk.revocation.polls failed":                  0,
		})
	})
}

// Cut off from the issuer, metrics say so.
func TestObserveVerifier_Outage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		verifier, meters := newVerifier(t, issuer), newMeters()
		stop, err := sdkotel.ObserveVerifier(meters, verifier)
		mustStop(t, stop, err)
		token := issuer.Token(audience)
		if _, err := verifier.Verify(t.Context(), token, sdk.Policy{}); err != nil {
			t.Fatal(err)
		}
		issuer.Down(true)
		time.Sleep(time.Hour)
		_, _ = verifier.Verify(t.Context(), token, sdk.Policy{}.Strict())
		got := meters.read(t)
		got.expect(t, reading{
			"countersign.sdk.revocation.lease":                  0,
			"countersign.sdk.revocation.connected":              0,
			"countersign.sdk.verifications checked unavailable": 1,
		})
		least := reading{
			"countersign.sdk.revocation.age":          3599,
			"countersign.sdk.keys.age":                3599,
			"countersign.sdk.revocation.polls failed": 10,
			"countersign.sdk.keys.fetches failed":     10,
			"countersign.sdk.revocation.polls ok":     1,
		}
		for name := range least {
			if got[name] < least[name] {
				t.Errorf("%s is %v", name, got[name])
			}
		}
	})
}

// Without a feed to follow there is no alarm that it is not followed.
func TestObserveVerifier_NoFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New(sdktest.WithoutFeed())
		verifier, meters := newVerifier(t, issuer), newMeters()
		stop, err := sdkotel.ObserveVerifier(meters, verifier)
		mustStop(t, stop, err)
		if _, err := verifier.Verify(t.Context(), issuer.Token(audience), sdk.Policy{}); err != nil {
			t.Fatal(err)
		}
		for name := range meters.read(t) {
			if strings.Contains(name, ".revocation.") || strings.Contains(name, ".token_store.") {
				t.Errorf("there is %s", name)
			}
		}
	})
}

// The documentation names what there is and nothing else, each has a unit and a description, and each point says what it is about.
func TestMetrics_Documented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New(sdktest.WithTokenStore())
		client, meters := newClient(t, issuer), newMeters()
		verifier := newVerifier(t, issuer, sdk.WithTokenStore(issuer.Records(), sdktest.APIID(audience)))
		stop, err := sdkotel.ObserveClient(meters, client)
		mustStop(t, stop, err)
		stop, err = sdkotel.ObserveVerifier(meters, verifier)
		mustStop(t, stop, err)
		token, err := client.TokenSource(audience).Token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := verifier.Verify(t.Context(), token.AccessToken(), sdk.Policy{}); err != nil {
			t.Fatal(err)
		}

		text, err := os.ReadFile("doc.go")
		if err != nil {
			t.Fatal(err)
		}
		documented := map[string]bool{}
		for _, name := range regexp.MustCompile(`(?m)^//\t(countersign\.sdk\.\S+)`).FindAllSubmatch(text, -1) {
			documented[string(name[1])] = true
		}
		found := map[string]bool{}
		for _, m := range meters.collect(t) {
			found[m.Name] = true
			if m.Unit == "" || m.Description == "" {
				t.Errorf("%s: unit %q, description %q", m.Name, m.Unit, m.Description)
			}
			if _, gauge := m.Data.(metricdata.Gauge[float64]); gauge != (m.Unit == "s") {
				t.Errorf("%s: unit %q of a %T", m.Name, m.Unit, m.Data)
			}
			for _, p := range points(t, m) {
				whose, _ := p.all.Value("countersign.audience")
				if strings.HasPrefix(m.Name, "countersign.sdk.token.") {
					whose, _ = p.all.Value("countersign.client_id")
				}
				if of, _ := p.all.Value("countersign.issuer"); of.AsString() != issuer.URL() || whose.AsString() == "" {
					t.Errorf("%s: attributes %v", m.Name, p.all.ToSlice())
				}
			}
		}
		if got, want := slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(documented)); !slices.Equal(got, want) {
			t.Errorf("there is  %q\ndoc.go has %q", got, want)
		}
	})
}

func TestObserve_Stop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New()
		meters := newMeters()
		stopClient, err := sdkotel.ObserveClient(meters, newClient(t, issuer))
		if err != nil {
			t.Fatal(err)
		}
		stopVerifier, err := sdkotel.ObserveVerifier(meters, newVerifier(t, issuer))
		if err != nil {
			t.Fatal(err)
		}
		if len(meters.read(t)) == 0 {
			t.Error("nothing is observed")
		}
		for _, stop := range []func() error{stopClient, stopVerifier} {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}
		if got := meters.read(t); len(got) != 0 {
			t.Errorf("still observed: %v", got)
		}
	})
}

// Clients that have the same name are one in the metrics.
func TestObserveClient_Twins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer, meters := sdktest.New(), newMeters()
		for range 2 {
			client := newClient(t, issuer)
			stop, err := sdkotel.ObserveClient(meters, client)
			mustStop(t, stop, err)
			if _, err := client.TokenSource(audience).Token(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		meters.read(t).expect(t, reading{"countersign.sdk.token.refreshes " + audience + " ok": 2})
	})
}

func TestObserve_Nothing(t *testing.T) {
	if _, err := sdkotel.ObserveClient(newMeters(), nil); err == nil {
		t.Error("no client is observed")
	}
	if _, err := sdkotel.ObserveVerifier(newMeters(), nil); err == nil {
		t.Error("no verifier is observed")
	}
	issuer := sdktest.New()
	if _, err := sdkotel.ObserveClient(nil, newClient(t, issuer)); err == nil {
		t.Error("a client is observed for nobody")
	}
	if _, err := sdkotel.ObserveVerifier(nil, newVerifier(t, issuer)); err == nil {
		t.Error("a verifier is observed for nobody")
	}
}
