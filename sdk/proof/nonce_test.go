package proof_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/proof"
)

func TestNonces(t *testing.T) {
	nonces, twin := newNonces(t, 1), newNonces(t, 1)
	now := time.Unix(1_800_000_000, 0).Truncate(proof.NonceStep)
	nonce := nonces.Issue(now)
	for _, tt := range []struct {
		name  string
		nonce string
		of    *proof.Nonces
		after time.Duration
		err   error
	}{
		{"at once", nonce, nonces, 0, nil},
		{"at an instance that shares the key", nonce, twin, 0, nil},
		{"in the next step", nonce, twin, proof.NonceStep, nil},
		{"at an instance whose clock is behind", nonce, twin, -time.Second, nil},
		{"D14: a step too late", nonce, nonces, 2 * proof.NonceStep, proof.ErrNonce},
		{"D14: two steps ahead", nonce, nonces, -proof.NonceStep - time.Second, proof.ErrNonce},
		{"D14: under another key", nonce, newNonces(t, 2), 0, proof.ErrNonce},
		{"D14: changed", nonce[1:] + "A", nonces, 0, proof.ErrNonce},
		{"D14: cut", nonce[:42], nonces, 0, proof.ErrNonce},
		{"D13: none", "", nonces, 0, proof.ErrNonce},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.of.Check(tt.nonce, now.Add(tt.after)); !errors.Is(err, tt.err) {
				t.Errorf("got %v, want %v", err, tt.err)
			}
		})
	}
	if nonces.Issue(now.Add(proof.NonceStep)) == nonce {
		t.Error("the nonce does not change")
	}
	if nonces.Issue(now.Add(proof.NonceStep-1)) != nonce {
		t.Error("the nonce changes within a step")
	}
	if _, err := proof.NewNonces(make([]byte, 31)); err == nil {
		t.Error("a short key is taken")
	}
}

func newNonces(t *testing.T, key byte) *proof.Nonces {
	t.Helper()
	nonces, err := proof.NewNonces(bytes.Repeat([]byte{key}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return nonces
}
