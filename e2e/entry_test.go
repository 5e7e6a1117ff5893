package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
)

// A request of a service goes through load balancer and gateway to another service, and no other does. A user's goes to service A, which
// asks service B in its own name. Either gateway may be killed.
func TestEntry(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	reader := token(t, s.Issuer, s.client("service-a"), nil)
	entry := s.Bootstrap.EntryURL
	for _, tt := range []struct {
		method, path, token string
		status              int
		says                string
	}{
		{http.MethodGet, "/inventory/items", reader, 200, `"item":"anvil"`},
		{http.MethodPost, "/inventory/reservations", reader, 400, "the body must be JSON"}, // says service B
		{http.MethodGet, "/inventory/items", "", 401, "no_token"},
		{http.MethodGet, "/inventory/items", token(t, s.Issuer, s.client("admin"), nil), 401, "invalid_token"},
		{http.MethodDelete, "/inventory/items", reader, 405, ""},
		{http.MethodGet, "/elsewhere", reader, 404, ""},
		{http.MethodGet, "/orders", "", 200, `"item":"anvil"`},
		{http.MethodPost, "/orders", "", 400, "The body must be JSON"}, // says service A
	} {
		got, err := call(t.Context(), tt.method, entry+tt.path, tt.token)
		if err != nil || got.Status != tt.status || !strings.Contains(string(got.Body), tt.says) {
			t.Errorf("%s %s: %d %s %v, want %d %s", tt.method, tt.path, got.Status, got.Body, err, tt.status, tt.says)
		}
	}
	load := startTrafficBy(t, func(ctx context.Context, address string) (answer, error) {
		return call(ctx, http.MethodGet, address, reader)
	}, entry+"/inventory/items", entry+"/orders")
	for _, gateway := range []string{"gateway-1", "gateway-2"} {
		load.await(t, load.count()+50)
		s.Tell(t, "kill", gateway)
		load.await(t, load.count()+50)
		s.Tell(t, "start", gateway)
	}
	if failed := load.stop(); len(failed) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(failed), load.count(), failed[0])
	}
}

// Who tries the gateways of `up` changes their files, and what they say counts at once.
func TestGatewaysOfUpFollowTheirFiles(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	file := filepath.Join(s.Folder, "gateway-1.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "/orders", "/purchases", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	testbed.Wait(t, startWithin, func() error {
		got, err := call(t.Context(), http.MethodGet, up.URL(s.PortBase+1)+"/purchases", "")
		if err == nil && string(got.Body) != "404 page not found\n" { // says service A
			err = fmt.Errorf("%d %s", got.Status, got.Body)
		}
		return err
	})
}
