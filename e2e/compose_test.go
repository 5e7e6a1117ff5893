package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-redis/redis/v8"

	"github.com/countersign/countersign/internal/testbed"
)

// TestCompose runs deploy/compose.yaml as processes, orders something through all parts, runs the command line as docs/deploy.md does, and
// does the steps of a second start.
func TestCompose(t *testing.T) {
	t.Parallel()
	c := newComposed(t)
	c.up(t)

	entry := "https://localhost:" + c.port(t, "lb", "8443") + "/orders"
	client := trusting(t, filepath.Join(c.volume("lb"), "ca.crt"))
	testbed.Wait(t, startWithin, func() error { // for the load balancer to see that the gateways are there
		got, err := doWith(t, client, http.MethodGet, entry, "")
		if err == nil && (got.Status != http.StatusOK || !bytes.Contains(got.Body, []byte("anvil"))) {
			err = fmt.Errorf("%d %s", got.Status, got.Body)
		}
		return err
	})
	got, err := doWith(t, client, http.MethodPost, entry, `{"item": "anvil", "quantity": 2}`)
	if err != nil || got.Status != http.StatusCreated || got.Text("reservation") == "" {
		t.Errorf("order: %d %s, %v", got.Status, got.Body, err)
	}
	if _, err := doWith(t, &http.Client{Timeout: endWithin}, http.MethodGet, entry, ""); err == nil {
		t.Error("a client that does not trust the authority was served")
	}
	c.sharesTokens(t)
	if list := c.step(t, "clients", documentedRun(t)...); !strings.Contains(list, "cl_0DemoGateway0000000001") {
		t.Errorf("the command line lists no gateway:\n%s", list)
	}

	before := c.contents(t)
	for _, name := range []string{"prepare", "certificates", "master-key", "clients"} {
		c.step(t, name)
	}
	if after := c.contents(t); !maps.Equal(before, after) {
		t.Error("the steps of a second start changed a volume")
	}
	for _, p := range c.running {
		if out := p.out.String(); strings.Contains(out, `"level":"ERROR"`) || strings.Contains(out, "NOPERM") || strings.Contains(out, "WRONGPASS") {
			t.Errorf("%v printed an error:\n%s", p.command.Args[1:], out)
		}
	}
}

// sharesTokens checks that a server has put a token into Redis, and that the inventory service may read tokens for its own API, and no more.
func (c *composed) sharesTokens(t *testing.T) {
	t.Helper()
	testbed.Wait(t, startWithin, func() error {
		for _, server := range []string{"auth-1", "auth-2"} {
			got, err := get(t.Context(), "http://127.0.0.1:"+c.port(t, server, "9090")+"/metrics")
			if err != nil || regexp.MustCompile(`countersign_token_store_writes_total{outcome="stored"} [1-9]`).Match(got.Body) {
				return err
			}
		}
		return errors.New("no server has stored a token")
	})
	address, err := os.ReadFile(filepath.Join(c.volume("service-b"), "token-store.url"))
	if err != nil {
		t.Fatal(err)
	}
	client := redisClient(t, strings.TrimSpace(string(address)))
	command := c.file.Services["service-b"].Command
	own := "cst:{" + command[slices.Index(command, "--token-store-api-id")+1] + "}:x"
	if err := client.Get(t.Context(), own).Err(); !errors.Is(err, redis.Nil) {
		t.Errorf("the inventory service reads its own tokens: %v", err)
	}
	for what, err := range map[string]error{
		"reads another API's tokens": client.Get(t.Context(), "cst:{api_0DemoOther0000000001}:x").Err(),
		"writes":                     client.Set(t.Context(), own, "x", 0).Err(),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "NOPERM") {
			t.Errorf("the inventory service %s: %v", what, err)
		}
	}
}

// documentedRun returns the arguments that docs/deploy.md gives the service clients, to run another command in its place.
func documentedRun(t *testing.T) []string {
	t.Helper()
	for _, b := range testbed.Blocks(t, "..", "docs/deploy.md") {
		if _, args, found := strings.Cut(strings.ReplaceAll(b.Text, "\\\n", " "), " run --rm clients "); found {
			return testbed.Words(args)
		}
	}
	t.Fatal("docs/deploy.md has no `run --rm clients`")
	return nil
}

// trusting returns a client that trusts the authorities in a file, and nobody else.
func trusting(t *testing.T, file string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatalf("%s holds no certificate", file)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: endWithin, Transport: transport}
}

// doWith sends JSON, or nothing, by a client.
func doWith(t *testing.T, client *http.Client, method, address, body string) (answer, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return doBy(client, request)
}
