package sdk_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// A server that says 429 is left alone for as long as it says, whoever waits for a token, and what it says is in the log.
func TestTokenSource_TooManyRequests(t *testing.T) {
	const advice = "too many tokens for this resource: request tokens once and cache them"
	synctest.Test(t, func(t *testing.T) {
		issuer, log := sdktest.New(), journal{}
		var asked atomic.Int64
		issuer.Replace(sdktest.TokenEndpoint, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Retry-After", "20")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprintf(w, `{"error":"temporarily_unavailable","error_description":%q}`, advice)
		}))
		client := newClient(t, issuer, nil, sdk.WithLogger(log.logger()), sdk.WithMaxWait(time.Minute))
		source, began := client.TokenSource(warehouse), time.Now()
		for range 5 {
			go func() { _, _ = source.Token(t.Context()) }()
		}
		time.Sleep(19 * time.Second)
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times within the 20 s for which it was to be left alone", n)
		}
		issuer.Heal()
		tokenOf(t, source)
		if waited := time.Since(began); waited < 20*time.Second || waited > 23*time.Second {
			t.Errorf("had a token after %v", waited)
		}
		lines := log.of(t, "refresh fails")
		if len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0]["error"]), advice) {
			t.Errorf("logged %v", lines)
		}
		if lines := log.of(t, "authorization server is unavailable"); len(lines) != 0 {
			t.Errorf("a server that answers is called unavailable: %v", lines)
		}
	})
}
