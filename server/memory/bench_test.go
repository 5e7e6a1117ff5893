package memory_test

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/memory"
)

// designed is how many clients the directory is made for.
const designed = 100_000

// crowded returns a world of that many clients, each with a secret and a grant, and as many tokens taken back.
func crowded(b *testing.B) (*world, []auth.ClientID) {
	w, now := newWorld(b), time.Now()
	api := w.api("https://api.test")
	ids := make([]auth.ClientID, designed)
	w.must(w.store.Update(b.Context(), func(tx auth.Tx) error {
		changes := make([]auth.Change, designed)
		for i := range ids {
			ids[i] = auth.NewClientID(now)
			c := &auth.Client{ID: ids[i], Name: "c", Status: auth.Active, AuthMethod: auth.SecretBasic, Created: now, Updated: now}
			s := &auth.Secret{ID: auth.NewSecretID(now), Client: ids[i], Status: auth.Active, Hint: "abcd", Pepper: 1, Created: now}
			g := &auth.Grant{Client: ids[i], API: api.ID, Scopes: auth.NewScopes("read"), Created: now, Updated: now}
			for _, err := range []error{tx.Clients().PutClient(b.Context(), c), tx.Secrets().PutSecret(b.Context(), s), tx.Grants().PutGrant(b.Context(), g)} {
				if err != nil {
					return err
				}
			}
			changes[i] = auth.Change{Kind: auth.RevokeToken, Subject: auth.NewTokenID(now, now.Add(time.Hour)), At: now}
		}
		return tx.Changes().Append(b.Context(), changes...)
	}))
	return w, ids
}

func BenchmarkDirectory(b *testing.B) {
	w, ids := crowded(b)
	var d *memory.Directory
	b.Run("load", func(b *testing.B) {
		var before, after runtime.MemStats
		for b.Loop() {
			d = nil
			runtime.GC()
			runtime.ReadMemStats(&before)
			d = w.loaded(memory.Config{Poll: time.Hour})
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/designed, "B/client")
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			token := &auth.Token{Revision: 1}
			for pb.Next() {
				id := ids[rand.IntN(len(ids))]
				token.Client = id
				if d.Client(id) == nil || d.Denied(token) {
					b.Error("wrong answer")
				}
			}
		})
	})
	run(b, d)
	b.Run("revoke and reach", func(b *testing.B) {
		for b.Loop() {
			sequence := w.write(auth.Change{Kind: auth.RevokeToken, Subject: auth.NewTokenID(time.Now(), time.Now())})
			w.must(d.Reach(b.Context(), sequence))
		}
	})
}
