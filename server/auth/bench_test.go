package auth_test

import (
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// BenchmarkText is what reading and writing ids, secrets and tokens costs.
func BenchmarkText(b *testing.B) {
	now := time.Now()
	id, secret := auth.NewClientID(now), auth.NewSecretValue()
	text := id.String()
	peppers := auth.NewPeppers(map[uint32][]byte{1: make([]byte, 32)})
	token := auth.Token{ID: auth.NewTokenID(now, now)}
	for name, work := range map[string]func(){
		"write an id":    func() { _ = id.String() },
		"read an id":     func() { _, _ = auth.ParseClientID(text) },
		"check a secret": func() { _ = secret.WellFormed() },
		"hash a secret":  func() { _, _ = peppers.Hash(secret) },
		"mint a token":   func() { _ = token.Mint() },
		"key of a token": func() { _ = auth.KeyOf(text) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				work()
			}
		})
	}
}
