package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// rsaBits is 2048, not 3072: NIST SP 800-57 allows it until the end of 2030, our keys sign for a quarter and their tokens
// live a day at most, and a signature of 3072 bits costs three times as much.
const rsaBits = 2048

// Generate makes a signing key that signs from activeAt. The private part is sealed under master and bound to the key's id.
func Generate(alg auth.Algorithm, activeAt, now time.Time, master seal.Key) (*auth.Key, error) {
	private, err := generate(alg)
	if err != nil {
		return nil, fmt.Errorf("generate %s key: %w", alg, err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("encode public %s key: %w", alg, err)
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("encode private %s key: %w", alg, err)
	}
	defer clear(plain)
	key := &auth.Key{
		ID: auth.NewKeyID(now), Algorithm: alg, Public: public,
		Created: now.UTC().Truncate(time.Microsecond), ActiveAt: activeAt.UTC().Truncate(time.Microsecond),
	}
	key.Sealed = master.Seal(plain, identity(key))
	return key, nil
}

func generate(alg auth.Algorithm) (crypto.Signer, error) {
	switch alg {
	case auth.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case auth.RS256, auth.PS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case auth.EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, errors.New("unknown algorithm")
}

// identity is what the sealed private part is bound to.
func identity(k *auth.Key) []byte {
	return append([]byte("signing_key\x00"+string(k.Algorithm)+"\x00"), k.ID[:]...)
}

// openPublic reads the public part and checks that it is of the kind that the algorithm asks for.
func openPublic(k *auth.Key) (crypto.PublicKey, error) {
	parsed, err := x509.ParsePKIXPublicKey(k.Public)
	if err != nil {
		return nil, fmt.Errorf("read public part of key %s: %w", k.ID, err)
	}
	fits := false
	switch public := parsed.(type) {
	case *ecdsa.PublicKey:
		fits = k.Algorithm == auth.ES256 && public.Curve == elliptic.P256()
	case *rsa.PublicKey:
		fits = (k.Algorithm == auth.RS256 || k.Algorithm == auth.PS256) && public.N.BitLen() >= rsaBits
	case ed25519.PublicKey:
		fits = k.Algorithm == auth.EdDSA
	}
	if !fits {
		return nil, fmt.Errorf("public part of key %s is not of the kind that %s asks for", k.ID, k.Algorithm)
	}
	return parsed, nil
}

// openPrivate unseals the private part and checks that it belongs to public.
func openPrivate(k *auth.Key, public crypto.PublicKey, master seal.Key) (crypto.Signer, error) {
	plain, err := master.Open(k.Sealed, identity(k))
	if err != nil {
		return nil, fmt.Errorf("open private part of key %s with the master key from %s: %w", k.ID, master.Source(), err)
	}
	defer clear(plain)
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("private part of key %s is not PKCS #8", k.ID)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private part of key %s cannot sign", k.ID)
	}
	if own, ok := private.Public().(interface{ Equal(x crypto.PublicKey) bool }); !ok || !own.Equal(public) {
		return nil, fmt.Errorf("the parts of key %s do not belong together", k.ID)
	}
	return private, nil
}
