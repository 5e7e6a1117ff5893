package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/sdk"
)

func newSDKClient(t *testing.T, issuer string, c credential, options ...sdk.ClientOption) *sdk.Client {
	t.Helper()
	client, err := sdk.New(issuer, c.ID, sdk.Secret(c.Secret), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, client) })
	return client
}

func newSDKVerifier(t *testing.T, issuer, audience string, c credential, options ...sdk.VerifierOption) *sdk.Verifier {
	t.Helper()
	options = append(options, sdk.WithCredentials(c.ID, sdk.Secret(c.Secret)))
	verifier, err := sdk.NewVerifier(issuer, audience, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closes(t, verifier) })
	return verifier
}

func closes(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// bodyOf reads the answer whole.
func bodyOf(t *testing.T, response *http.Response) string {
	t.Helper()
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// secretFile writes a secret where sdk.SecretFile reads it.
func secretFile(t *testing.T, value string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
