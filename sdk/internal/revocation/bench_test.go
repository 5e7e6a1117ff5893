package revocation_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// large is a snapshot of n entries, nine of ten of them of tokens.
func large(n int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"generation":"5","seq":%d,"age_ms":0,"snapshot":true,"entries":[`, n)
	for seq := 1; seq <= n; seq++ {
		if seq > 1 {
			b.WriteByte(',')
		}
		switch seq % 20 {
		case 0:
			fmt.Fprintf(&b, `{"seq":%d,"kind":"client","client_id":"cl_%022d","exp":1793621400}`, seq, seq)
		case 10:
			fmt.Fprintf(&b, `{"seq":%d,"kind":"grant","client_id":"cl_%022d","api_id":"api_05gLuJsxsKBVB3UjnWB7o3","aud":"https://inventory.demo.internal","exp":1793621400}`, seq, seq)
		default:
			fmt.Fprintf(&b, `{"seq":%d,"kind":"token","jti":"%022d","exp":1793621400}`, seq, seq)
		}
	}
	b.WriteString("]}")
	return []byte(b.String())
}

func restored(tb testing.TB, n int) *revocation.Follower {
	tb.Helper()
	f := revocation.New(revocation.Config{})
	if err := f.Restore(large(n), 0); err != nil {
		tb.Fatal(err)
	}
	return f
}

// good is a token that no entry of a large snapshot matches.
func good() *revocation.Subject {
	return &revocation.Subject{
		TokenID: "01tRy6czI6jAOLpZvq3hw1", ClientID: "cl_03mtwDFyaDSKmhf9rg7Ps2", Credential: "sec_07ZnsQVxAQufZPKJjMEpk4",
		KeyID: "key_7n42DGM5Tflk9n8mt7Fhc7", Audience: []string{"https://inventory.demo.internal"}, Revision: 7,
	}
}

func TestNoAllocation(t *testing.T) {
	f, subject, now := restored(t, 1000), good(), time.Now()
	if n := testing.AllocsPerRun(100, func() {
		_, ok := f.Good(now)
		if f.Lease(now) || !ok || f.Version() != 1 || f.Refuses(subject) {
			t.Error("it is not as restored")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestAncestors: an entry that refuses what a token was made from refuses the token, each by its own members.
func TestAncestors(t *testing.T) {
	f := revocation.New(revocation.Config{})
	if err := f.Restore([]byte(`{"generation":"5","seq":20,"age_ms":0,"snapshot":true,"entries":[
		{"seq":10,"kind":"token","jti":"t","exp":1793621400},{"seq":11,"kind":"grant","client_id":"c","aud":"a","exp":1793621400},
		{"seq":12,"kind":"key","kid":"k","exp":1793621400},{"seq":13,"kind":"credential","cs_sec":"s","exp":1793621400}]}`), 0); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		ancestor revocation.Subject
		refused  bool
	}{
		{"its token", revocation.Subject{TokenID: "t", Revision: 9}, true},
		{"its token, decided later", revocation.Subject{TokenID: "t", Revision: 10}, false},
		{"its grant", revocation.Subject{ClientID: "c", Audience: []string{"a"}}, true},
		{"a grant of another", revocation.Subject{ClientID: "c", Audience: []string{"b"}}, false},
		{"its key, whatever it was decided from", revocation.Subject{KeyID: "k", Revision: 1000}, true},
		{"its secret", revocation.Subject{Credential: "s"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			token := revocation.Subject{TokenID: "x", ClientID: "c", Audience: []string{"z"}, Revision: 20}
			for range 3 {
				token.Ancestors = append(token.Ancestors, revocation.Subject{TokenID: "y", ClientID: "y", Audience: []string{"a"}})
			}
			token.Ancestors = append(token.Ancestors, tt.ancestor)
			if got := f.Refuses(&token); got != tt.refused {
				t.Errorf("refused: %v", got)
			}
		})
	}
}

// TestTogether asks while entries come in, for the race detector.
func TestTogether(t *testing.T) {
	seq := 0
	f := revocation.New(revocation.Config{
		Bound: 3 * time.Millisecond,
		Poll: func(context.Context, string) ([]byte, time.Time, error) {
			tokens := make([]string, 20)
			for n := range tokens {
				tokens[n] = fmt.Sprint("x", seq+n+1)
			}
			seq += len(tokens)
			return []byte(of("5", seq, seq%100 == 20, 0, tokens...)), time.Now(), nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	group.Go(func() { f.Run(ctx) })
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !f.Refuses(&revocation.Subject{TokenID: "x", Revision: 500}) {
				f.Lease(time.Now())
				f.Good(time.Now())
				f.Version()
				f.Describe()
				_, _ = f.Export()
			}
		})
	}
	readers.Wait()
	cancel()
	group.Wait()
	if f.Err() != nil {
		t.Error(f.Err())
	}
}

func BenchmarkRefuses(b *testing.B) {
	f, subject := restored(b, 100_000), good()
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f.Refuses(subject)
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				f.Refuses(subject)
			}
		})
	})
}

// BenchmarkHit is what a token costs that was compared before: the lease, and that nothing came since.
func BenchmarkHit(b *testing.B) {
	f, now := restored(b, 1), time.Now()
	version := f.Version()
	b.ReportAllocs()
	for b.Loop() {
		_, ok := f.Good(now)
		if f.Lease(now) || !ok || f.Version() != version {
			b.Fatal("it is not as restored")
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	text := large(100_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := revocation.New(revocation.Config{}).Restore(text, 0); err != nil {
			b.Fatal(err)
		}
	}
}
