package sdk_test

import (
	"net/http"
	"testing"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/proof"
)

// BenchmarkBoundToken stands beside the bare check of a proof's signature and claims, which is its floor. A proof is made for each request,
// and costs the caller some time that is not measured.
func BenchmarkBoundToken(b *testing.B) {
	h, s := newHolder(b), newService(b)
	token := h.mint(s.issuer, true, false)
	b.Run("proof", func(b *testing.B) {
		text := []string{h.proof(http.MethodGet, orders, token, "")}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := proof.ReadDPoP(text, http.MethodGet, orders); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("verify", func(b *testing.B) {
		requests := make([]*http.Request, b.N)
		for i := range requests {
			requests[i] = h.request(token, "")
		}
		b.ReportAllocs()
		b.ResetTimer()
		for _, r := range requests {
			if _, err := s.VerifyRequest(r, sdk.Policy{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
