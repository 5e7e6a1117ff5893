package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/countersign/countersign/sdk/proof"
)

const (
	methodPrivateKey = "private_key_jwt"
	assertionJWT     = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// PrivateKey authenticates by a client assertion that the key signs (private_key_jwt, RFC 7523 §2.2), made anew for every attempt and good for a
// minute. The server knows the public half, [proof.Key.PublicJWK]; no secret is ever sent.
func PrivateKey(key *proof.Key) ClientAuth {
	return &privateKey{
		check: func() error {
			if key == nil {
				return errors.New("PrivateKey: the key is nil")
			}
			return nil
		},
		key: func(context.Context, *slog.Logger) (*proof.Key, error) { return key, nil },
	}
}

// PrivateKeyFile is as [PrivateKey], of the key in a file, PEM or JWK as [proof.ParseKey] reads it. The file is read again when it has changed,
// so that a key is replaced without a restart: register the new public key beside the old one first. While the file cannot be used, the last
// good key is.
func PrivateKeyFile(path string) ClientAuth {
	return &privateKey{
		check: func() error { return checkPath("private key", path) },
		key:   proof.NewKeyFile(path, proof.KeyOptions{}).Key,
	}
}

type privateKey struct {
	hidden

	check func() error
	key   func(context.Context, *slog.Logger) (*proof.Key, error)
}

func (p *privateKey) validate() error         { return p.check() }
func (p *privateKey) needsBody([]string) bool { return true }
func (p *privateKey) asserts()                {}

// Authenticate implements ClientAuth.
func (p *privateKey) Authenticate(ctx context.Context, r *AuthRequest) error {
	key, err := p.key(ctx, r.logger())
	if err != nil {
		return local(err)
	}
	if err := r.supports(methodPrivateKey); err != nil {
		return local(err)
	}
	if len(r.Algorithms) > 0 && !slices.Contains(r.Algorithms, string(key.Algorithm())) {
		return local(fmt.Errorf("the server's metadata does not list %s, which the key is for, among the algorithms of client assertions: %s",
			key.Algorithm(), strings.Join(r.Algorithms, ", ")))
	}
	if r.Form == nil {
		return local(errNoForm)
	}
	assertion, err := key.Assertion(r.ClientID, r.Issuer)
	if err != nil {
		return err // of a key elsewhere, which may be back soon
	}
	r.assert(assertionJWT, assertion)
	return nil
}

// assert adds a client assertion, RFC 7521 §4.2.
func (r *AuthRequest) assert(kind, assertion string) {
	r.Form.Set("client_id", r.ClientID)
	r.Form.Set("client_assertion_type", kind)
	r.Form.Set("client_assertion", assertion)
}
