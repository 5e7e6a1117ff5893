package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"runtime"
	"strings"
	"testing"

	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

const (
	sdkAudience     = "https://inventory.bench.internal"
	firstSightLimit = "the bare signature check"
)

// BenchmarkSDK is what the SDK costs within a service. Its rows are those of the document results/sdk.md.
func BenchmarkSDK(b *testing.B) {
	issuer := sdktest.Start(b)
	credentials := sdk.Secret(issuer.ClientSecret())
	client, err := sdk.New(issuer.URL(), issuer.ClientID(), credentials, sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		b.Fatal(err)
	}
	verifier, err := sdk.NewVerifier(issuer.URL(), sdkAudience, sdk.WithCredentials(issuer.ClientID(), credentials), sdk.WithHTTPClient(issuer.Client()))
	if err != nil {
		b.Fatal(err)
	}
	small, err := sdk.NewVerifier(issuer.URL(), sdkAudience, sdk.WithCredentials(issuer.ClientID(), credentials), sdk.WithHTTPClient(issuer.Client()), sdk.WithCacheSize(8))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _, _, _ = client.Close(), verifier.Close(), small.Close() })
	many := 8 * runtime.GOMAXPROCS(0)
	jwt, opaque := benchToken(issuer, 0), issuer.MintOpaque(sdktest.Claims{ClientID: "orders", Audience: []string{sdkAudience}, Scopes: benchScopes()})
	fresh := make([]string, 2000)
	for n := range fresh {
		fresh[n] = benchToken(issuer, n+1)
	}

	var rows []report.Row
	add := func(c *Cost, v report.Verdict) {
		row, err := c.measure()
		if err != nil {
			b.Fatal(err)
		}
		v.Figure, v.Of, v.Beside, v.AtMost = perCall, countersign, c.LimitName, true
		if err := row.Judge(v); err != nil {
			b.Error(err)
		}
		if c.LimitName != firstSightLimit {
			if err := row.Judge(report.Verdict{Figure: allocations, Of: countersign, AtMost: true}); err != nil {
				b.Error(err)
			}
		}
		rows = append(rows, row)
	}
	source := client.TokenSource(sdkAudience, "inventory:read")
	for _, goroutines := range []int{1, many} {
		c := &Cost{Work: "a token from the cache", Goroutines: goroutines, Ours: func() error { _, err := source.Token(b.Context()); return err }}
		add(c, report.Verdict{Floor: 100, Goal: 30, Summary: "SDK: token from its cache" + by(goroutines)})
		for _, kind := range []struct {
			name, token string
			most        report.Verdict
		}{
			{"JWT", jwt, report.Verdict{Floor: 1.4, Goal: 1.15, Summary: "SDK: JWT seen before" + by(goroutines)}},
			{"opaque token", opaque, report.Verdict{Floor: 2}},
		} {
			text := []byte(kind.token)
			add(&Cost{
				Work: fmt.Sprintf("verify a token seen before: %s of %d bytes, strict", kind.name, len(text)), Goroutines: goroutines,
				Ours: verifying(b.Context(), verifier, kind.token), Limit: func() error { sha256.Sum256(text); return nil }, LimitName: "SHA-256 of it",
			}, kind.most)
		}
	}
	public := publicKey(b, issuer.Client(), issuer.URL(), jwt)
	var mine, bare int
	add(&Cost{
		Work: "verify an ES256 JWT at first sight", Goroutines: 1, LimitName: firstSightLimit,
		Ours:  func() error { mine++; return verifying(b.Context(), small, fresh[mine%len(fresh)])() },
		Limit: func() error { bare++; return checkBare(public, fresh[bare%len(fresh)]) },
	}, report.Verdict{Floor: 1.15, Goal: 1.05, Summary: "SDK: ES256 JWT at first sight"})
	tell(b, rows...)
	publish(b, &report.Report{Name: "sdk", Title: "SDK", Setting: "Calls within a process, each in turn with its limit.", Rows: rows})
}

func benchScopes() []string { return []string{"inventory:read", "inventory:write"} }

func benchToken(issuer *sdktest.Issuer, n int) string {
	return issuer.Mint(sdktest.Claims{
		ClientID: "orders", Audience: []string{sdkAudience}, Scopes: benchScopes(),
		Members: map[string]any{"tenant": "a member that makes the token as long as tokens are", "n": n},
	})
}

func verifying(ctx context.Context, v *sdk.Verifier, token string) func() error {
	policy := sdk.RequireScope("inventory:read").Strict()
	return func() error {
		_, err := v.Verify(ctx, token, policy)
		return err
	}
}

// checkBare does what cannot be left out: it decodes the signature, hashes what is signed, and checks.
func checkBare(public *ecdsa.PublicKey, token string) error {
	cut := strings.LastIndexByte(token, '.')
	signature, err := base64.RawURLEncoding.DecodeString(token[cut+1:])
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(token[:cut]))
	if !ecdsa.Verify(public, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
		return errors.New("a wrong signature")
	}
	return nil
}
