package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// A client's secret is rotated while it asks for tokens all the time; no call fails. Each call is of a client of its own, so that each
// needs a token.
func TestSDKSecretRotationUnderLoad(t *testing.T) {
	const callers, rotations, between = 8, 5, 40
	seeded := newSeeded(t, "sqlite")
	server := startServer(t, seeded.Settings()...)
	verifier := newSDKVerifier(t, server.Issuer, jwtAPI, seeded.Server)
	items := httptest.NewServer(verifier.Middleware(sdk.RequireScope("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	t.Cleanup(items.Close)
	path := secretFile(t, seeded.Caller.Secret)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	calls := make(chan struct{})
	var refused atomic.Int32
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for ctx.Err() == nil {
				client, err := sdk.New(server.Issuer, seeded.Caller.ID, sdk.SecretFile(path))
				if err != nil {
					t.Error(err)
					return
				}
				response, err := client.HTTPClient(jwtAPI, "read").Get(items.URL)
				if err != nil {
					refused.Add(1)
					t.Error(err)
				} else {
					if _ = response.Body.Close(); response.StatusCode != http.StatusOK {
						refused.Add(1)
						t.Error(response.Status)
					}
				}
				if err := client.Close(); err != nil {
					t.Error(err)
				}
				select {
				case calls <- struct{}{}:
				case <-ctx.Done():
				}
			}
		})
	}
	await := func() {
		for range between {
			<-calls
		}
	}
	for range rotations {
		await()
		id := clientID(t, seeded.Caller)
		old := secretOf(t, seeded, id)
		made, err := seeded.Registry.AddSecret(t.Context(), seeded.Actor, id, registry.NewSecretRequest{})
		if err != nil {
			t.Fatal(err)
		}
		testbed.Wait(t, promptly, func() error { // the server reads the change log a few times a second
			got, err := askToken(t.Context(), server.URL, credential{ID: seeded.Caller.ID, Secret: made.Value.Reveal()}, asking(jwtAPI, "read"))
			if err == nil && got.Status != http.StatusOK {
				err = fmt.Errorf("the new secret is answered with %d", got.Status)
			}
			return err
		})
		aside := filepath.Join(filepath.Dir(path), "aside")
		if err := os.WriteFile(aside, []byte(made.Value.Reveal()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(aside, path); err != nil {
			t.Fatal(err)
		}
		await() // the calls that read the old value have ended
		if _, err := seeded.Registry.DisableSecret(t.Context(), seeded.Actor, old, false); err != nil {
			t.Fatal(err)
		}
		if err := seeded.Registry.DeleteSecret(t.Context(), seeded.Actor, registry.SecretRef{Client: id, ID: old}); err != nil {
			t.Fatal(err)
		}
	}
	await()
	stop()
	running.Wait()
	if n := refused.Load(); n > 0 {
		t.Errorf("%d calls failed", n)
	}
}

// secretOf returns the id of a client's only secret.
func secretOf(t *testing.T, s *seeded, id auth.ClientID) auth.SecretID {
	t.Helper()
	all, err := s.Registry.ListSecrets(t.Context(), s.Actor, id)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0].ID
}

// Every instance of the issuer is gone and comes back. Who holds a token goes on, on both sides, and nobody needs to be restarted.
func TestSDKThroughAnOutage(t *testing.T) {
	t.Parallel()
	seeded := newSeeded(t, "sqlite")
	server := startServer(t, seeded.Settings()...)
	verifier := newSDKVerifier(t, server.Issuer, opaqueAPI, seeded.Server)
	items := httptest.NewServer(verifier.Middleware(sdk.RequireScope("read"))(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	t.Cleanup(items.Close)
	client := newSDKClient(t, server.Issuer, seeded.Caller)
	call := func(scope string) (int, error) {
		response, err := client.HTTPClient(opaqueAPI, scope).Get(items.URL)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	if status, err := call("read"); err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	server.Kill(t)
	for range 1000 {
		if status, err := call("read"); err != nil || status != http.StatusOK {
			t.Fatalf("while the issuer is down: %d, %v", status, err)
		}
	}
	server.Start(t)
	if status, err := call("write"); err != nil || status != http.StatusForbidden { // a token that it did not hold
		t.Fatalf("after it came back: %d, %v", status, err)
	}
}
