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
	"time"

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

	report := &Costs{Name: "sdk", Title: "SDK", Time: time.Now().UTC(), Machine: thisMachine(), Go: runtime.Version()}
	add := func(c *Cost, ours, limit func() error) {
		if err := c.measure(ours, limit); err != nil {
			b.Fatal(err)
		}
		report.Rows = append(report.Rows, c)
	}
	source := client.TokenSource(sdkAudience, "inventory:read")
	for _, goroutines := range []int{1, many} {
		c := &Cost{Work: "a token from the cache", Goroutines: goroutines, MostNS: 100}
		add(c, func() error { _, err := source.Token(b.Context()); return err }, nil)
		for _, kind := range []struct {
			name, token string
			most        float64
		}{{"JWT", jwt, 1.4}, {"opaque token", opaque, 2}} {
			text := []byte(kind.token)
			c := &Cost{
				Work: fmt.Sprintf("verify a token seen before: %s of %d bytes, strict", kind.name, len(text)), Goroutines: goroutines,
				Limit: "SHA-256 of it", Most: kind.most,
			}
			add(c, verifying(b.Context(), verifier, kind.token), func() error { sha256.Sum256(text); return nil })
		}
	}
	c := &Cost{Work: "verify an ES256 JWT at first sight", Goroutines: 1, Limit: firstSightLimit, Most: 1.15}
	public := publicKey(b, issuer.Client(), issuer.URL(), jwt)
	var mine, bare int
	add(c, func() error { mine++; return verifying(b.Context(), small, fresh[mine%len(fresh)])() },
		func() error { bare++; return checkBare(public, fresh[bare%len(fresh)]) })

	for _, c := range report.Rows {
		if err := c.over(); err != nil {
			b.Error(err)
		}
		if c.Limit != firstSightLimit && c.Allocs > 0 {
			b.Errorf("%s allocates %d times", c.Work, c.Allocs)
		}
	}
	b.ReportMetric(0, "ns/op") // one operation is the whole comparison
	b.Log("\n" + report.markdown())
	if err := report.write("results"); err != nil {
		b.Fatal(err)
	}
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
