package proof

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

const (
	// NonceStep is for how long the same nonce is given out.
	NonceStep = 3 * time.Minute
	// NonceLife is for how long a nonce is taken at most, by the clock of one server, after it was given out by that of another: one that
	// is given out in one step is good in the next, too, and a step ahead for a server whose clock is behind.
	NonceLife = 3 * NonceStep

	minNonceKey = 32
)

// ErrNonce means that a proof has no nonce, or none of ours that is still good: use_dpop_nonce (RFC 9449 §8, §9).
var ErrNonce = errors.New("a nonce of this server is needed")

// Nonces gives out nonces for DPoP proofs and knows them again without keeping any: they are time steps under a secret key. All servers with
// the same key take each other's. It is safe for concurrent use.
type Nonces struct{ key []byte }

// NewNonces returns nonces under this key, at least 32 bytes that are hard to guess.
func NewNonces(key []byte) (*Nonces, error) {
	if len(key) < minNonceKey {
		return nil, fmt.Errorf("a key of %d bytes for nonces: want at least %d", len(key), minNonceKey)
	}
	return &Nonces{bytes.Clone(key)}, nil
}

// Issue returns the nonce that is to be used now, 43 characters of base64url, for the header DPoP-Nonce.
func (n *Nonces) Issue(now time.Time) string {
	return n.at(stepOf(now))
}

// Check tells whether nonce was given out within about NonceLife. The error is ErrNonce.
func (n *Nonces) Check(nonce string, now time.Time) error {
	step, good := stepOf(now), false
	for _, s := range [...]int64{step, step - 1, step + 1} {
		good = hmac.Equal([]byte(nonce), []byte(n.at(s))) || good
	}
	if !good {
		return ErrNonce
	}
	return nil
}

func stepOf(now time.Time) int64 { return now.Unix() / int64(NonceStep/time.Second) }

func (n *Nonces) at(step int64) string {
	mac := hmac.New(sha256.New, n.key)
	mac.Write([]byte("countersign dpop nonce\x00"))
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(step))) //nolint:gosec // its bits are what counts
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
