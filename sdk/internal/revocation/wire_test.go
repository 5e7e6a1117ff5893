package revocation_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// TestGolden replays what the server answers, by docs/revocation-feed.md.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "feed.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, After string
		Answer      json.RawMessage
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal(err, len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			i := new(issuer)
			if v.After == "" {
				i.answers(string(v.Answer))
			} else { // the follower comes to be at the cursor first
				generation, seq, _ := strings.Cut(v.After, ".")
				i.answers(`{"generation":"`+generation+`","seq":`+seq+`,"age_ms":0,"snapshot":true,"entries":[]}`, string(v.Answer))
			}
			follow(t, i, func(t *testing.T, f *revocation.Follower) {
				time.Sleep(bound / 2)
				s := f.Describe()
				if s.Generation != "9223372036854788153" || s.Sequence != 8 || s.PollErr != nil || !s.Fresh {
					t.Fatalf("%+v", s)
				}
				if v.After != "" && i.seen().cursors[1] != v.After {
					t.Errorf("asked for %q", i.seen().cursors[1])
				}
				if bytes.Contains(v.Answer, []byte(`"all"`)) {
					checkGolden(t, f)
				}
			})
		})
	}
}

// checkGolden asks for tokens that the entries of the golden snapshot match.
func checkGolden(t *testing.T, f *revocation.Follower) {
	t.Helper()
	const client, api = "cl_03mtwDFyaDSKmhf9rg7Ps2", "https://inventory.demo.internal"
	for _, tt := range []struct {
		kind    string
		subject revocation.Subject
		seq     uint64 // of the entry; 0: it does not matter
	}{
		{kind: "all", seq: 1},
		{kind: "token", subject: revocation.Subject{TokenID: "01tRy6czI6jAOLpZvq3hw1"}, seq: 3},
		{kind: "client", subject: revocation.Subject{ClientID: client}, seq: 4},
		{kind: "grant", subject: revocation.Subject{ClientID: client, Audience: []string{api}}, seq: 6},
		{kind: "api", subject: revocation.Subject{Audience: []string{"x", api}}, seq: 6},
		{kind: "credential", subject: revocation.Subject{Credential: "sec_07ZnsQVxAQufZPKJjMEpk4"}, seq: 7},
		{kind: "key", subject: revocation.Subject{KeyID: "key_7n42DGM5Tflk9n8mt7Fhc7"}},
	} {
		if tt.subject.Revision = tt.seq - 1; !f.Refuses(&tt.subject) {
			t.Errorf("%s: not refused", tt.kind)
		}
		if tt.subject.Revision = tt.seq; f.Refuses(&tt.subject) != (tt.seq == 0) {
			t.Errorf("%s: by its revision it is not matched", tt.kind)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, tt := range []struct{ name, body string }{
		{"nothing", ``},
		{"not an object", `[]`},
		{"text behind", `{"generation":"5","seq":1,"age_ms":0,"snapshot":true,"entries":[]} x`},
		{"generation a number", `{"generation":5,"seq":1,"age_ms":0,"snapshot":true,"entries":[]}`},
		{"generation no number", `{"generation":"five","seq":1,"age_ms":0,"snapshot":true,"entries":[]}`},
		{"generation not canonical", `{"generation":"05","seq":1,"age_ms":0,"snapshot":true,"entries":[]}`},
		{"generation above 64 bits", `{"generation":"18446744073709551616","seq":1,"age_ms":0,"snapshot":true,"entries":[]}`},
		{"no generation", `{"seq":1,"age_ms":0,"snapshot":true,"entries":[]}`},
		{"seq text", `{"generation":"5","seq":"1","age_ms":0,"snapshot":true,"entries":[]}`},
		{"seq negative", `{"generation":"5","seq":-1,"age_ms":0,"snapshot":true,"entries":[]}`},
		{"seq a fraction", `{"generation":"5","seq":1.5,"age_ms":0,"snapshot":true,"entries":[]}`},
		{"no seq", `{"generation":"5","age_ms":0,"snapshot":true,"entries":[]}`},
		{"seq in another case", `{"generation":"5","Seq":1,"age_ms":0,"snapshot":true,"entries":[]}`},
		{"seq twice", `{"generation":"5","seq":1,"seq":2,"age_ms":0,"snapshot":true,"entries":[]}`},
		{"age negative", `{"generation":"5","seq":1,"age_ms":-1,"snapshot":true,"entries":[]}`},
		{"age null", `{"generation":"5","seq":1,"age_ms":null,"snapshot":true,"entries":[]}`},
		{"no age", `{"generation":"5","seq":1,"snapshot":true,"entries":[]}`},
		{"snapshot text", `{"generation":"5","seq":1,"age_ms":0,"snapshot":"true","entries":[]}`},
		{"entries null", `{"generation":"5","seq":1,"age_ms":0,"snapshot":true,"entries":null}`},
		{"no entries", `{"generation":"5","seq":1,"age_ms":0,"snapshot":true}`},
		{"entry no object", `{"generation":"5","seq":1,"age_ms":0,"snapshot":true,"entries":[1]}`},
		{"entry without kind", `{"generation":"5","seq":1,"age_ms":0,"snapshot":true,"entries":[{"seq":1,"exp":1}]}`},
		{"entry without seq", `{"generation":"5","seq":1,"age_ms":0,"snapshot":true,"entries":[{"kind":"all","exp":1}]}`},
		{"entry ahead of its answer", `{"generation":"5","seq":1,"age_ms":0,"snapshot":true,"entries":[{"seq":2,"kind":"all","exp":1}]}`},
		{"longer than may be", `{"generation":"5","seq":1,"age_ms":0,"snapshot":true,"entries":[]}` + strings.Repeat(" ", revocation.MaxAnswer)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := new(issuer)
			i.answers(tt.body)
			follow(t, i, func(t *testing.T, f *revocation.Follower) {
				if f.Err() == nil || f.Ready(t.Context()) == nil || f.Version() != 0 || f.Lease(time.Now()) || f.Refuses(token(0)) {
					t.Errorf("taken in: %+v", f.Describe())
				}
				if _, ok := f.Good(time.Now()); ok {
					t.Error("good")
				}
			})
		})
	}
}

// TestUnknown: what cannot be read must not be vouched for, and must not hide what can be.
func TestUnknown(t *testing.T) {
	for _, tt := range []struct {
		name, entry string
		fresh       bool
		lasts       time.Duration // how long no lease is renewed, leeway included; 0: it does not matter
	}{
		{name: "kind", entry: `{"seq":2,"kind":"tenant","tenant":"t","exp":946688400}`, lasts: time.Hour + time.Minute},
		{name: "kind without exp", entry: `{"seq":2,"kind":"tenant"}`},
		{name: "kind that uses known names otherwise", entry: `{"seq":2,"kind":"tokens","jti":["a","b"],"exp":"later"}`},
		{name: "kind in another case", entry: `{"seq":2,"kind":"Token","jti":"jti","exp":946688400}`},
		{name: "known kind without what it needs", entry: `{"seq":2,"kind":"token","exp":946688400}`},
		{name: "known kind with half of it", entry: `{"seq":2,"kind":"grant","client_id":"cl","exp":946688400}`},
		{name: "member", entry: `{"seq":2,"kind":"token","jti":"other","exp":946688400,"why":{"a":[1,null]}}`, fresh: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := new(issuer)
			i.answers(`{"generation":"5","seq":2,"age_ms":0,"snapshot":true,"new":[{}],"entries":[` + tt.entry + `,{"seq":1,"kind":"client","client_id":"cl","exp":946688400}]}`)
			follow(t, i, func(t *testing.T, f *revocation.Follower) {
				_, good := f.Good(time.Now())
				if err := f.Ready(t.Context()); err != nil || f.Version() == 0 || !f.Refuses(token(0)) || f.Refuses(token(1)) {
					t.Errorf("the entry that can be read is not there: %v, %+v", err, f.Describe())
				}
				if f.Lease(time.Now()) != tt.fresh || good != tt.fresh || (f.Err() == nil) != tt.fresh {
					t.Errorf("fresh %v, %+v", !tt.fresh, f.Describe())
				}
				if tt.lasts > 0 {
					i.answers(`{"generation":"5","seq":2,"age_ms":0,"entries":[]}`)
					time.Sleep(tt.lasts - bound)
					if f.Lease(time.Now()) {
						t.Error("a lease while tokens may live that the entry takes back")
					}
					time.Sleep(2 * bound)
					if !f.Lease(time.Now()) {
						t.Errorf("no lease after that: %+v", f.Describe())
					}
				}
			})
		})
	}
	t.Run("gone with a snapshot", func(t *testing.T) {
		i := new(issuer)
		i.answers(`{"generation":"5","seq":2,"age_ms":0,"snapshot":true,"entries":[{"seq":2,"kind":"tenant"}]}`,
			`{"generation":"5","seq":3,"age_ms":0,"snapshot":true,"entries":[]}`)
		follow(t, i, func(t *testing.T, f *revocation.Follower) {
			time.Sleep(bound)
			if !f.Lease(time.Now()) || f.Err() != nil {
				t.Errorf("%+v", f.Describe())
			}
		})
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"generation":"5","seq":9,"age_ms":3,"snapshot":true,"entries":[{"seq":1,"kind":"all","exp":1793621400},
		{"seq":3,"kind":"token","jti":"a","exp":1},{"seq":4,"kind":"grant","client_id":"c","aud":"https://x","api_id":"api_1"},
		{"seq":5,"kind":"key","kid":"k","exp":9},{"seq":6,"kind":"new","jti":[1]},{"seq":7,"kind":"credential","cs_sec":"s","exp":-1}]}`))
	f.Add([]byte(`{"generation":"18446744073709551615","seq":18446744073709551615,"age_ms":18446744073709551615,"snapshot":true,"entries":[]}`))
	f.Add([]byte(`{"generation":"0","seq":7,"age_ms":0,"snapshot":true,"entries":[{"seq":0,"kind":"0","":""},{"seq":0,"":0,"kind":"1"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		one, other := revocation.New(revocation.Config{}), revocation.New(revocation.Config{})
		if one.Restore(text, 0) != nil {
			return
		}
		exported, ok := one.Export()
		if !ok || other.Restore(exported, 0) != nil {
			t.Fatalf("%s is restored, but not as %s", text, exported)
		}
		if again, _ := other.Export(); !bytes.Equal(ageless(exported), ageless(again)) {
			t.Errorf("%s\nbecame\n%s", exported, again)
		}
		if age, ok := other.Good(time.Now()); !ok || age < 0 || other.Lease(time.Now()) {
			t.Error("a lease, or no age")
		}
	})
}

// ageless is what was exported without its age, which grows.
func ageless(exported []byte) []byte {
	before, after, _ := bytes.Cut(exported, []byte(`"age_ms":`))
	_, after, _ = bytes.Cut(after, []byte(","))
	return append(bytes.Clone(before), after...)
}
