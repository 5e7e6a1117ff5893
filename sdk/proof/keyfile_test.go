package proof_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/proof"
)

func TestAKeyFileIsReadAgainWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	var told strings.Builder
	log := slog.New(slog.NewTextHandler(&told, nil))
	file := proof.NewKeyFile(path, proof.KeyOptions{})
	if _, err := file.Key(t.Context(), log); err == nil || !strings.HasPrefix(err.Error(), "read private key: ") {
		t.Fatalf("without a file: %v", err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(of *proof.Key) {
		t.Helper()
		key, err := file.Key(t.Context(), log)
		if err != nil || key.ID() != of.ID() {
			t.Fatalf("got %s, %v", key.ID(), err)
		}
	}
	first, second := newP256(t), newEd25519(t)
	write(pkcs8(t, first))
	want(newKey(t, first, proof.KeyOptions{}))
	write("half written " + pkcs8(t, second)[:40])
	want(newKey(t, first, proof.KeyOptions{}))
	want(newKey(t, first, proof.KeyOptions{}))
	if strings.Count(told.String(), "file cannot be used, its last good content is") != 1 || strings.Contains(told.String(), "half written") {
		t.Errorf("told %s", told.String())
	}
	write(privateJWK(t, second, ""))
	want(newKey(t, second, proof.KeyOptions{}))
	if strings.Count(told.String(), "file is read again") != 1 {
		t.Errorf("told %s", told.String())
	}
}
