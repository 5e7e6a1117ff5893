package jwks_test

import (
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
)

// BenchmarkHeld is what finding a key costs, beside a map of the same keys, and asking whether it is still good.
func BenchmarkHeld(b *testing.B) {
	names := []string{"a", "b", "c", "d"}
	cache := jwks.New(jwks.Config{})
	if err := cache.Restore([]byte(keySet(names...)), time.Now()); err != nil {
		b.Fatal(err)
	}
	plain := map[string]*jwks.Held{}
	for _, name := range names {
		held, err := cache.Key(b.Context(), name, jose.EdDSA)
		if err != nil {
			b.Fatal(err)
		}
		plain[name] = held
	}
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if plain["c"] == nil {
				b.Fatal("none")
			}
		}
	})
	b.Run("ours", func(b *testing.B) {
		ctx := b.Context()
		b.ReportAllocs()
		for b.Loop() {
			if held, err := cache.Key(ctx, "c", jose.EdDSA); err != nil || held == nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("withdrawn", func(b *testing.B) {
		held := plain["c"]
		b.ReportAllocs()
		for b.Loop() {
			if held.Withdrawn() {
				b.Fatal("withdrawn")
			}
		}
	})
}
