package sdk_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"runtime"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// longClaims make a JWT of some 700 bytes.
func longClaims() sdktest.Claims {
	return sdktest.Claims{
		Scopes:  []string{"inventory:read", "inventory:write", "orders:read", "orders:write"},
		Members: map[string]any{"tenant": "a tenant whose name is as long as the names of tenants are", "region": "eu-central-1"},
	}
}

// BenchmarkSeenBefore stands beside the hash of the same token, which is its floor.
func BenchmarkSeenBefore(b *testing.B) {
	s, ctx := newService(b), b.Context()
	for _, kind := range []struct {
		name  string
		token string
	}{
		{"JWT", s.issuer.Mint(longClaims())},
		{"opaque", s.issuer.MintOpaque(sdktest.Claims{})},
	} {
		token, text := kind.token, []byte(kind.token)
		if _, err := s.Verify(ctx, token, sdk.Policy{}); err != nil {
			b.Fatal(err)
		}
		b.Run(kind.name+"/hash", func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				sha256.Sum256(text)
			}
		})
		b.Run(kind.name+"/verify", func(b *testing.B) {
			policy := sdk.RequireScope().Strict()
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Verify(ctx, token, policy); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(kind.name+"/hash in parallel", func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					sha256.Sum256(text)
				}
			})
		})
		b.Run(kind.name+"/verify in parallel", func(b *testing.B) {
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Verify(ctx, token, sdk.Policy{Mode: sdk.Strict}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
	b.Logf("GOMAXPROCS %d", runtime.GOMAXPROCS(0))
}

// BenchmarkFirstSight stands beside the bare check of the same signatures.
func BenchmarkFirstSight(b *testing.B) {
	s, ctx := newService(b, sdk.WithCacheSize(8)), b.Context()
	key, ok := s.issuer.Key().Public().(*ecdsa.PublicKey)
	if !ok {
		b.Fatal("the issuer's key is for another algorithm")
	}
	const many = 512
	var tokens [many]string
	var inputs, signatures [many][]byte
	for i := range tokens {
		tokens[i] = s.issuer.Mint(longClaims())
		end := strings.LastIndexByte(tokens[i], '.')
		inputs[i] = []byte(tokens[i][:end])
		raw, err := base64.RawURLEncoding.DecodeString(tokens[i][end+1:])
		if err != nil {
			b.Fatal(err)
		}
		rs := struct{ R, S *big.Int }{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])}
		if signatures[i], err = asn1.Marshal(rs); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("bare", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			sum := sha256.Sum256(inputs[i%many])
			if !ecdsa.VerifyASN1(key, sum[:], signatures[i%many]) {
				b.Fatal("the signature is wrong")
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := s.Verify(ctx, tokens[i%many], sdk.Policy{Mode: sdk.Strict}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
