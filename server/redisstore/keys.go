package redisstore

import (
	"crypto/ed25519"
	"fmt"
)

// minMACKey is the shortest MAC key in bytes, by RFC 2104 §3.
const minMACKey = 32

// Keys are the keys of records, by version from 1. They are immutable; a server replaces them as a whole.
type Keys struct {
	mac         map[uint32][]byte
	macVersion  uint32
	sign        map[uint32]ed25519.PrivateKey
	signVersion uint32
}

// NewKeys takes the MAC keys (auth.PurposeStoreMAC) and, for records that services read, the signing keys
// (auth.PurposeStoreSign). Of each the highest version is for new records; MACs are checked by all. sign may be empty.
func NewKeys(mac map[uint32][]byte, sign map[uint32]ed25519.PrivateKey) (*Keys, error) {
	k := &Keys{mac: mac, sign: sign}
	for version, key := range mac {
		if version == 0 || len(key) < minMACKey {
			return nil, fmt.Errorf("MAC key of the token store, version %d: versions begin at 1 and keys have at least %d bytes", version, minMACKey)
		}
		k.macVersion = max(k.macVersion, version)
	}
	for version, key := range sign {
		if version == 0 || len(key) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("signing key of the token store, version %d: versions begin at 1 and keys have %d bytes", version, ed25519.PrivateKeySize)
		}
		k.signVersion = max(k.signVersion, version)
	}
	return k, nil
}

// Public returns what services check signatures by: the public signing keys, by version.
func (k *Keys) Public() map[uint32]ed25519.PublicKey {
	public := make(map[uint32]ed25519.PublicKey, len(k.sign))
	for version, key := range k.sign {
		public[version] = ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
	}
	return public
}
