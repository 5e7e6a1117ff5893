package proof

import "crypto"

// Signer is what the key signs by.
func (k *Key) Signer() crypto.Signer { return k.signer() }
