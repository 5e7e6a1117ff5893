package sdktest

import (
	"errors"
	"net/http"
	"time"

	"github.com/countersign/countersign/sdk/proof"
)

// WithDPoPNonces has the token endpoint ask for a nonce in DPoP proofs, RFC 9449 §8. See [Issuer.RenewNonce].
func WithDPoPNonces() Option { return func(c *config) { c.nonces = true } }

// WithoutDPoP has the issuer know nothing of DPoP: it passes over proofs, and tokens are for bearers.
func WithoutDPoP() Option { return func(c *config) { c.withoutDPoP = true } }

// RenewNonce has the token endpoint ask for another nonce from now on, and refuse proofs with the last.
func (i *Issuer) RenewNonce() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.nonce = newID("nonce-")
}

// bound checks the DPoP proof of a token request, if there is one, and returns the jkt that its key has; empty: there is none. It is false if
// the request was refused.
func (i *Issuer) bound(w http.ResponseWriter, r *http.Request) (jkt string, ok bool) {
	if i.config.withoutDPoP {
		return "", true
	}
	given, err := proof.ReadDPoP(r.Header.Values("DPoP"), r.Method, i.url+tokenPath)
	if errors.Is(err, proof.ErrNoDPoP) {
		return "", true
	}
	if err == nil {
		err = given.Fresh(time.Now(), proofLeeway, proofLeeway)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, "invalid_dpop_proof", "the DPoP proof is not good for this request")
		return "", false
	}
	i.mu.Lock()
	nonce, asked := i.nonce, i.config.nonces && given.Nonce != i.nonce
	key := given.Key()
	again := !asked && !i.first("proof "+string(key[:]))
	i.mu.Unlock()
	if i.config.nonces {
		w.Header().Set("DPoP-Nonce", nonce)
	}
	switch {
	case asked:
		refuse(w, http.StatusBadRequest, "use_dpop_nonce", "the DPoP proof needs the nonce of the DPoP-Nonce header")
		return "", false
	case again:
		refuse(w, http.StatusBadRequest, "invalid_dpop_proof", "the DPoP proof was used before")
		return "", false
	}
	return given.Thumbprint, true
}
