package e2e

import (
	"net/url"
	"sync"
	"testing"
)

// J04: the ids of ten thousand tokens, most of them issued in the same second, differ.
func TestTokenIDsDiffer(t *testing.T) {
	const callers, each = 50, 200
	s := newSeeded(t, "sqlite")
	server := startServer(t, s.Settings()...)
	tokens := make(chan answer, callers*each)
	var asking sync.WaitGroup
	for range callers {
		asking.Go(func() {
			for range each {
				got, err := askToken(t.Context(), server.Issuer, s.Caller, url.Values{"resource": {jwtAPI}})
				if err != nil {
					t.Error(err)
					return
				}
				tokens <- got
			}
		})
	}
	asking.Wait()
	close(tokens)
	seen := map[any]bool{}
	for got := range tokens {
		seen[jwtPart(t, got.Text("access_token"), 1)["jti"]] = true
	}
	if len(seen) != callers*each {
		t.Errorf("%d ids of %d tokens", len(seen), callers*each)
	}
}
