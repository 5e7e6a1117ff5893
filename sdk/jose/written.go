package jose

import (
	"errors"
	"fmt"
	"slices"

	"github.com/countersign/countersign/sdk/strictjson"
)

// ErrPrivate means that a JWK has private members. If it was published, the key has leaked. Such an error is an ErrKey too.
var ErrPrivate = errors.New("private key where a public one is due")

func unusable(err error) error { return fmt.Errorf("%w: %w", ErrKey, err) }

// written is a JWK as it is written. Numbers are still in base64url.
type written struct {
	kty, crv, x, y, n, e string
	kid, use, alg        string
	ops                  []string
	hasOps               bool
}

func (w *written) member(name string, value strictjson.Value) error {
	var text *string
	switch name {
	case "kty":
		text = &w.kty
	case "crv":
		text = &w.crv
	case "x":
		text = &w.x
	case "y":
		text = &w.y
	case "n":
		text = &w.n
	case "e":
		text = &w.e
	case "kid":
		text = &w.kid
	case "use":
		text = &w.use
	case "alg":
		text = &w.alg
	case "key_ops":
		return w.operations(value)
	default:
		if PrivateMember(name) {
			return ErrPrivate
		}
		return nil
	}
	var err error
	if *text, err = value.String(); err != nil {
		return fmt.Errorf("member %s: %w", name, err)
	}
	return nil
}

func (w *written) operations(value strictjson.Value) error {
	w.hasOps = true
	return value.Array(func(operation strictjson.Value) error {
		text, err := operation.String()
		w.ops = append(w.ops, text)
		return err
	})
}

// key makes the key.
func (w *written) key() (*Key, error) {
	if w.use != "" && w.use != "sig" || w.hasOps && !slices.Contains(w.ops, "verify") {
		return nil, unusable(errors.New("not for checking signatures"))
	}
	k := &Key{id: w.kid}
	var err error
	switch w.kty {
	case "EC":
		err = w.elliptic(k)
	case "RSA":
		err = w.modular(k)
	case "OKP":
		err = w.edwards(k)
	default:
		err = errors.New("kty is none of EC, RSA, OKP")
	}
	if err != nil {
		return nil, unusable(err)
	}
	if w.alg != "" {
		if !k.Allows(Algorithm(w.alg)) {
			return nil, unusable(errors.New("alg is none that a key of this kind is for"))
		}
		k.algorithms = []Algorithm{Algorithm(w.alg)}
	}
	return k, nil
}
