package revocation_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// of makes an answer of a generation with entries for the tokens named, each at a sequence of its own: "a3".
func of(generation string, seq int, snapshot bool, age time.Duration, tokens ...string) string {
	entries := make([]string, len(tokens))
	for i, token := range tokens {
		entries[i] = fmt.Sprintf(`{"seq":%s,"kind":"token","jti":"%s","exp":1793621400}`, token[1:], token[:1])
	}
	return fmt.Sprintf(`{"generation":"%s","seq":%d,"age_ms":%d,"snapshot":%t,"entries":[%s]}`,
		generation, seq, age.Milliseconds(), snapshot, strings.Join(entries, ","))
}

// TestMerge: an answer on top of generation 5 up to 10 with a at 4 and b at 8.
func TestMerge(t *testing.T) {
	const snapshot = true
	for _, tt := range []struct {
		name    string
		answer  string
		at      string
		refused string // of a at 4 to f at 12, by their letters
		same    bool   // the version
		fails   bool
		stale   bool // no lease
	}{
		{name: "nothing new", answer: of("5", 10, false, 0), at: "5.10", refused: "ab", same: true},
		{name: "the log went on without revocations", answer: of("5", 14, false, 0), at: "5.14", refused: "ab", same: true},
		{name: "more", answer: of("5", 12, false, 0, "c12"), at: "5.12", refused: "abc"},
		{name: "the same again", answer: of("5", 12, false, 0, "a4", "b8"), at: "5.12", refused: "ab", same: true},
		{name: "later of the same", answer: of("5", 12, false, 0, "a12"), at: "5.12", refused: "aAb"},
		{name: "earlier of the same", answer: of("5", 12, false, 0, "b1"), at: "5.12", refused: "ab", same: true},
		{name: "earlier of the same, for longer", answer: strings.Replace(of("5", 12, false, 0, "a12", "a5"), `"a","exp":1793621400}]`, `"a","exp":1893621400}]`, 1), at: "5.12", refused: "aAb"},
		{name: "snapshot ahead replaces", answer: of("5", 12, snapshot, 0, "b8", "c12"), at: "5.12", refused: "bc"},
		{name: "snapshot level replaces", answer: of("5", 10, snapshot, 0, "b8"), at: "5.10", refused: "b", same: true},
		{name: "snapshot from behind is added", answer: of("5", 6, snapshot, 0, "a4", "c5"), at: "5.10", refused: "abc"},
		{name: "snapshot from behind forgets none", answer: of("5", 3, snapshot, 0), at: "5.10", refused: "ab", same: true},
		{name: "another generation replaces", answer: of("7", 2, snapshot, 0, "c1"), at: "7.2", refused: "c"},
		{name: "an empty other generation", answer: of("4", 0, snapshot, 0), at: "4.0"},
		{name: "another generation that is older", answer: of("4", 20, snapshot, time.Minute, "c1"), at: "5.10", refused: "ab", same: true, fails: true, stale: true},
		{name: "another generation without a snapshot", answer: of("7", 12, false, 0, "c1"), at: "5.10", refused: "ab", same: true, fails: true, stale: true},
		{name: "behind without a snapshot", answer: of("5", 9, false, 0, "c1"), at: "5.10", refused: "ab", same: true, fails: true, stale: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := new(issuer)
			i.answers(of("5", 10, snapshot, 0, "a4", "b8"), tt.answer)
			follow(t, i, func(t *testing.T, f *revocation.Follower) {
				version, changed, now := f.Version(), i.seen().changed, time.Now()
				for len(i.seen().polls) < 2 {
					time.Sleep(time.Millisecond)
				}
				s := f.Describe()
				if got := fmt.Sprintf("%s.%d", s.Generation, s.Sequence); got != tt.at || i.seen().cursors[1] != "5.10" {
					t.Errorf("at %s, asked from %s", got, i.seen().cursors[1])
				}
				if got := refused(f); got != tt.refused {
					t.Errorf("refused: %q, want %q", got, tt.refused)
				}
				if (f.Version() == version) != tt.same || (i.seen().changed == changed) != tt.same {
					t.Errorf("version %d, then %d", version, f.Version())
				}
				if (f.Err() != nil) != tt.fails || f.Lease(now.Add(bound)) == tt.stale {
					t.Errorf("%v, lease %v", f.Err(), s.Left)
				}
			})
		})
	}
	t.Run("the first answer is no snapshot", func(t *testing.T) {
		i := new(issuer)
		i.answers(of("5", 10, false, 0, "a4"))
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			if f.Err() == nil || f.Version() != 0 || f.Lease(time.Now()) {
				t.Errorf("%+v", f.Describe())
			}
		})
	})
}

// refused returns the tokens a to f that are refused, in capitals those that even at the revision 8 are.
func refused(f *revocation.Follower) (all string) {
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} {
		if f.Refuses(&revocation.Subject{TokenID: id}) {
			all += id
		}
		if id < "c" && f.Refuses(&revocation.Subject{TokenID: id, Revision: 8}) {
			all += strings.ToUpper(id)
		}
	}
	return all
}

func TestRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, entry string
		matches     bool
		always      bool // whatever the revision
	}{
		{name: "token", entry: `"kind":"token","jti":"jti"`, matches: true},
		{name: "another token", entry: `"kind":"token","jti":"jt"`},
		{name: "client", entry: `"kind":"client","client_id":"cl"`, matches: true},
		{name: "another client", entry: `"kind":"client","client_id":"CL"`},
		{name: "grant", entry: `"kind":"grant","client_id":"cl","api_id":"a","aud":"https://api"`, matches: true},
		{name: "grant for another API", entry: `"kind":"grant","client_id":"cl","aud":"https://api/"`},
		{name: "grant of another client", entry: `"kind":"grant","client_id":"c","aud":"https://api"`},
		{name: "grant cut elsewhere", entry: `"kind":"grant","client_id":"clh","aud":"ttps://api"`},
		{name: "API", entry: `"kind":"api","aud":"https://other"`, matches: true},
		{name: "another API", entry: `"kind":"api","aud":"https://third"`},
		{name: "credential", entry: `"kind":"credential","cs_sec":"sec"`, matches: true},
		{name: "another credential", entry: `"kind":"credential","cs_sec":"sec2"`},
		{name: "key", entry: `"kind":"key","kid":"kid"`, matches: true, always: true},
		{name: "another key", entry: `"kind":"key","kid":"jti"`},
		{name: "all", entry: `"kind":"all"`, matches: true},
		{name: "another kind's member", entry: `"kind":"client","client_id":"other","jti":"jti","aud":"https://api","kid":"kid"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := new(issuer)
			i.answers(`{"generation":"5","seq":9,"age_ms":0,"snapshot":true,"entries":[{"seq":7,"exp":1793621400,` + tt.entry + `}]}`)
			follow(t, i, func(t *testing.T, f *revocation.Follower) {
				if f.Refuses(token(0)) != tt.matches || f.Refuses(token(6)) != tt.matches {
					t.Errorf("refused: %v", !tt.matches)
				}
				if f.Refuses(token(7)) != tt.always || f.Refuses(token(1<<63)) != tt.always {
					t.Errorf("refused from its sequence on: %v", !tt.always)
				}
				if tt.name != "all" && f.Refuses(&revocation.Subject{Audience: []string{""}}) {
					t.Error("a token without anything is matched")
				}
			})
		})
	}
}

func TestForget(t *testing.T) {
	i := new(issuer)
	i.answers(`{"generation":"5","seq":9,"age_ms":0,"snapshot":true,"entries":[
		{"seq":1,"kind":"token","jti":"soon","exp":946684860},{"seq":2,"kind":"token","jti":"later","exp":946688400},
		{"seq":3,"kind":"token","jti":"never"},{"seq":4,"kind":"client","client_id":"twice","exp":946684860},
		{"seq":5,"kind":"client","client_id":"twice","exp":946688400}]}`, of("5", 9, false, 0))
	follow(t, i, func(t *testing.T, f *revocation.Follower) {
		refuses := func(id string) bool { return f.Refuses(&revocation.Subject{TokenID: id}) }
		time.Sleep(119 * time.Second) // a minute of leeway after a minute of life
		if !refuses("soon") {
			t.Error("forgotten within the leeway")
		}
		time.Sleep(61 * time.Second)
		if refuses("soon") || !refuses("later") || f.Describe().Entries["token"] != 2 {
			t.Errorf("%+v", f.Describe())
		}
		if version := f.Version(); version != 1 {
			t.Errorf("version %d: to forget refuses nothing", version)
		}
		if !f.Refuses(&revocation.Subject{ClientID: "twice", Revision: 4}) {
			t.Error("the later of two entries is forgotten with the earlier")
		}
		time.Sleep(2 * time.Hour)
		if refuses("later") || !refuses("never") {
			t.Errorf("%+v", f.Describe())
		}
	})
}

// Whoever holds the issuer's keys is told when one is taken back, and of nothing else.
func TestKeyRevocationsAreTold(t *testing.T) {
	i := new(issuer)
	i.answers(of("5", 3, true, 0))
	follow(t, i, func(t *testing.T, f *revocation.Follower) {
		for _, step := range []struct {
			answer string
			told   int
		}{
			{of("5", 4, false, 0, "a4"), 0},
			{`{"generation":"5","seq":5,"age_ms":0,"entries":[{"seq":5,"kind":"key","kid":"k1"}]}`, 1},
			{of("5", 5, false, 0), 1},
		} {
			i.answers(step.answer)
			time.Sleep(2 * bound)
			if got := i.seen().keys; got != step.told {
				t.Errorf("told %d times after %s, want %d", got, step.answer, step.told)
			}
		}
	})
}
