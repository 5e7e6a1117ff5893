package sdk_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// A rotation as operators do it: the second secret is made, the file replaced, the first secret taken back with all tokens it brought.
func TestRotationOfTheSecretUnderLoadFailsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		issuer := sdktest.New(sdktest.WithLifetime(5 * time.Minute))
		path := filepath.Join(t.TempDir(), "secret")
		first := issuer.ClientSecret()
		writeSecret(t, path, first+"\n")
		client := newClient(t, issuer, sdk.SecretFile(path))
		var mu sync.Mutex
		revoked := map[string]bool{}
		service := &resource{answer: func(_ int, r *http.Request) *http.Response {
			mu.Lock()
			defer mu.Unlock()
			if revoked[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")] {
				return reply(401, "WWW-Authenticate", `Bearer error="invalid_token"`)
			}
			return reply(200)
		}}
		ctx, stop := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				rt := client.Transport(service, warehouse)
				for ctx.Err() == nil {
					r, _ := http.NewRequestWithContext(t.Context(), "POST", warehouse, strings.NewReader("order"))
					if resp, err := rt.RoundTrip(r); err != nil || resp.StatusCode != 200 {
						t.Errorf("%v, %v", resp, err)
					}
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
		for round, secret := range []string{"second-secret", "third-secret", "fourth-secret"} {
			time.Sleep(time.Duration(round+1) * 47 * time.Second)
			issuer.AddClient(issuer.ClientID(), secret)
			writeSecret(t, path, secret)
			time.Sleep(10 * time.Second)
			old := tokenOf(t, client.TokenSource(warehouse)).AccessToken()
			issuer.RotateSecret(issuer.ClientID(), secret)
			mu.Lock()
			revoked[old] = true
			mu.Unlock()
		}
		time.Sleep(time.Minute)
		stop()
		callers.Wait()
		if n := issuer.Requests(sdktest.TokenEndpoint); n < 4 || n > 8 {
			t.Errorf("%d requests for tokens", n)
		}
	})
}
