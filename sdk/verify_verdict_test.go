package sdk_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// column is under which circumstances a token is presented.
type column struct {
	mode   sdk.Mode
	cutOff bool // neither introspection nor the key set can be had
}

func (c column) String() string {
	if c.cutOff {
		return c.mode.String() + ", cut off"
	}
	return c.mode.String() + ", only the feed fails"
}

func columns() [4]column {
	return [4]column{{mode: sdk.Available}, {mode: sdk.Available, cutOff: true}, {mode: sdk.Strict}, {mode: sdk.Strict, cutOff: true}}
}

// verdicts are what comes of a token under columns(), in their order.
type verdicts = [4]string

// setting is a state of what is known of revocations, and what then comes of tokens.
type setting struct {
	name    string
	foreign bool                                                             // the issuer has no feed
	pass    func(t *testing.T, s *service) *service                          // brings the state about, after tokens were seen
	begin   func(t *testing.T, issuer *sdktest.Issuer, path string) *service // where it is the start that makes the state
	want    map[string]verdicts
}

const (
	cachedJWT    = "JWT seen before"
	newJWT       = "new JWT, known key"
	unknownKey   = "new JWT, unknown key"
	cachedOpaque = "opaque token seen before"
	unseenOpaque = "opaque token never seen"
	revokedJWT   = "revoked JWT"
	revokedOld   = "revoked opaque token seen before"
)

// alwaysRefused are tokens that are refused whatever is known.
func alwaysRefused(i *sdktest.Issuer) map[string]string {
	return map[string]string{
		"bad signature":       i.Mint(sdktest.Claims{Sign: sdktest.NewKey(sdktest.ES256, "x").Sign}),
		"expired JWT":         i.Mint(sdktest.Claims{Lifetime: -2 * time.Minute}),
		"wrong audience":      i.Mint(sdktest.Claims{Audience: []string{"https://other.test"}}),
		"wrong issuer":        i.Mint(sdktest.Claims{Members: map[string]any{"iss": "https://evil.test"}}),
		"garbage":             "garb age",
		"JWT that is garbage": "eyJhbGciOiJFUzI1NiJ9.e30",
	}
}

func cutFeed(d time.Duration) func(*testing.T, *service) *service {
	return func(_ *testing.T, s *service) *service {
		s.issuer.CutFeed(true)
		time.Sleep(d)
		return s
	}
}

func neverASnapshot(t *testing.T, issuer *sdktest.Issuer, _ string) *service {
	issuer.CutFeed(true)
	return startedService(t, issuer)
}

// restarted runs a verifier with a state file, and then, age later, another with the same.
func restarted(age time.Duration) func(*testing.T, *sdktest.Issuer, string) *service {
	return func(t *testing.T, issuer *sdktest.Issuer, path string) *service {
		before := startedService(t, issuer, sdk.WithStateFile(path))
		time.Sleep(time.Minute)
		_ = before.Close()
		issuer.CutFeed(true)
		time.Sleep(age)
		return startedService(t, issuer, sdk.WithStateFile(path))
	}
}

func startedService(t *testing.T, issuer *sdktest.Issuer, opts ...sdk.VerifierOption) *service {
	s := serviceOf(t, issuer, opts...)
	_ = s.Ready(t.Context())
	time.Sleep(15 * time.Second) // beyond the cool-down of the first fetch of keys
	return s
}

func settings() []setting {
	unsaid := verdicts{"503", "503", "503", "503"}
	key := verdicts{"401", "503", "401", "503"}
	seldom := verdicts{"ok", "503", "ok", "503"}
	refused := verdicts{"401", "401", "401", "401"}
	return []setting{
		{
			name: "lease fresh",
			pass: func(_ *testing.T, s *service) *service { return s },
			want: map[string]verdicts{
				cachedJWT: {"ok", "ok", "ok", "ok"}, newJWT: {"ok", "ok", "ok", "ok"}, unknownKey: key,
				cachedOpaque: {"ok", "ok", "ok", "ok"}, unseenOpaque: seldom, revokedJWT: refused, revokedOld: refused,
			},
		},
		{
			name: "lease lapsed", pass: cutFeed(14 * time.Minute),
			want: map[string]verdicts{
				cachedJWT: {"ok", "ok", "ok", "503"}, newJWT: {"ok", "ok", "ok", "503"}, unknownKey: key,
				cachedOpaque: {"ok", "ok", "ok", "503"}, unseenOpaque: seldom, revokedJWT: refused, revokedOld: refused,
			},
		},
		{
			name: "beyond the grace", pass: cutFeed(16 * time.Minute),
			want: map[string]verdicts{
				cachedJWT: seldom, newJWT: seldom, unknownKey: key,
				cachedOpaque: seldom, unseenOpaque: seldom, revokedJWT: refused, revokedOld: refused,
			},
		},
		{
			name: "never a snapshot", begin: neverASnapshot,
			want: map[string]verdicts{newJWT: unsaid, unknownKey: key, unseenOpaque: unsaid, revokedJWT: unsaid},
		},
		{
			name: "restored within the grace", begin: restarted(10 * time.Minute),
			want: map[string]verdicts{newJWT: {"ok", "ok", "ok", "503"}, unknownKey: key, unseenOpaque: seldom, revokedJWT: refused},
		},
		{
			name: "restored beyond the grace", begin: restarted(16 * time.Minute),
			want: map[string]verdicts{newJWT: unsaid, unknownKey: key, unseenOpaque: unsaid, revokedJWT: unsaid},
		},
		{
			name: "no feed", foreign: true, pass: cutFeed(time.Minute),
			want: map[string]verdicts{
				cachedJWT: {"ok", "ok", "ok", "503"}, newJWT: {"ok", "ok", "ok", "503"}, unknownKey: key,
				cachedOpaque: {"ok", "ok", "ok", "503"}, unseenOpaque: seldom,
				revokedJWT: {"ok", "ok", "401", "503"}, revokedOld: {"401", "ok", "401", "503"},
			},
		},
		{
			name: "no feed, beyond the grace", foreign: true, pass: cutFeed(16 * time.Minute),
			want: map[string]verdicts{
				cachedJWT: {"ok", "ok", "ok", "503"}, newJWT: {"ok", "ok", "ok", "503"}, unknownKey: key,
				cachedOpaque: seldom, unseenOpaque: seldom, revokedJWT: {"ok", "ok", "401", "503"}, revokedOld: key,
			},
		},
	}
}

// TestVerdicts is the table of verdicts of DESIGN.md, "Revocation".
func TestVerdicts(t *testing.T) {
	for _, setting := range settings() {
		for at, column := range columns() {
			t.Run(setting.name+"/"+column.String(), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "state.json")
				synctest.Test(t, func(t *testing.T) { tryColumn(t, &setting, at, path) })
			})
		}
	}
}

func tryColumn(t *testing.T, setting *setting, at int, path string) {
	var opts []sdktest.Option
	if setting.foreign {
		opts = append(opts, sdktest.WithoutFeed())
	}
	issuer := sdktest.New(opts...)
	tokens := map[string]string{
		newJWT: issuer.Mint(sdktest.Claims{}), unseenOpaque: issuer.MintOpaque(sdktest.Claims{}),
		unknownKey: issuer.Mint(sdktest.Claims{Key: sdktest.NewKey(sdktest.ES256, "")}),
		cachedJWT:  issuer.Mint(sdktest.Claims{}), cachedOpaque: issuer.MintOpaque(sdktest.Claims{}),
		revokedJWT: issuer.Mint(sdktest.Claims{}), revokedOld: issuer.MintOpaque(sdktest.Claims{}),
	}
	var s *service
	if setting.begin != nil {
		issuer.Revoke(tokens[revokedJWT])
		s = setting.begin(t, issuer, path)
	} else {
		s = startedService(t, issuer)
		for _, name := range []string{cachedJWT, cachedOpaque, revokedJWT, revokedOld} {
			s.expect(t, name, "ok", tokens[name], sdk.Policy{})
		}
		issuer.Revoke(tokens[revokedJWT])
		issuer.Revoke(tokens[revokedOld])
		time.Sleep(time.Second)
		s = setting.pass(t, s)
	}
	if columns()[at].cutOff {
		issuer.Fail(sdktest.Failure{}, sdktest.IntrospectionEndpoint, sdktest.JWKSEndpoint)
		time.Sleep(11 * time.Second) // beyond the cool-down of a fetch of keys just before
	}
	policy := sdk.Policy{Mode: columns()[at].mode}
	for name, want := range setting.want {
		s.expect(t, name, want[at], tokens[name], policy)
		s.expect(t, name+", again", want[at], tokens[name], policy)
	}
	for name, token := range alwaysRefused(issuer) {
		s.expect(t, name, "401", token, policy)
	}
}

// expect verifies a token and compares the outcome.
func (s *service) expect(t *testing.T, name, want, token string, p sdk.Policy) {
	t.Helper()
	i, err := s.Verify(t.Context(), token, p)
	if got := outcome(err); got != want {
		t.Errorf("%s: %s (%v), want %s", name, got, err, want)
	}
	if (i == nil) != (err != nil) {
		t.Errorf("%s: identity %v with error %v", name, i, err)
	}
}
