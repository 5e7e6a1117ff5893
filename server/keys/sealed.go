package keys

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// sharedSize is the length of every sealed key: an HMAC-SHA-256 key, or an Ed25519 seed.
const sharedSize = 32

// ErrMasterKey says that the master key is not the one under which the database's keys are sealed.
var ErrMasterKey = errors.New("the master key is not the one of this database")

// CheckMaster returns ErrMasterKey, with what the operator has to mend, unless master opens the key-check value and every
// other sealed key. An instance that does not pass must not start: it could not tell a right secret from a wrong one.
func CheckMaster(sealed []*auth.SealedKey, master seal.Key) error {
	for _, k := range sealed {
		if k.Purpose == auth.PurposeCheck {
			return fits(sealed, master)
		}
	}
	return errors.New("the database holds no keys yet: start a server on it first, which makes them")
}

func fits(sealed []*auth.SealedKey, master seal.Key) error {
	for _, k := range sealed {
		if _, err := openSealed(k, master); err != nil {
			return fmt.Errorf("%w: the key from %s does not open %s; put back the key with which the database was made, or last resealed",
				ErrMasterKey, master.Source(), sealedName(k))
		}
	}
	return nil
}

// EnsureSealed makes the first version of every sealed key that the database lacks, the key-check value among them. It
// returns ErrMasterKey if master does not open those that are there. Any number of instances may call it at once.
func EnsureSealed(ctx context.Context, store auth.Store, master seal.Key, now time.Time) error {
	complete := false
	err := store.View(ctx, func(tx auth.Tx) error {
		missing, err := missingSealed(ctx, tx, master)
		complete = len(missing) == 0
		return err
	})
	if err != nil || complete {
		return err
	}
	return store.Update(ctx, func(tx auth.Tx) error {
		missing, err := missingSealed(ctx, tx, master)
		if err != nil || len(missing) == 0 {
			return err
		}
		for _, purpose := range missing {
			if err := tx.Keys().PutSealedKey(ctx, newSealed(purpose, now, master)); err != nil {
				return fmt.Errorf("insert sealed key %s: %w", purpose, err)
			}
		}
		return appendChanges(ctx, tx, auth.Change{Kind: auth.SealedKeyChanged, At: now})
	})
}

func missingSealed(ctx context.Context, tx auth.Tx, master seal.Key) ([]auth.Purpose, error) {
	sealed, err := tx.Keys().SealedKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read sealed keys: %w", err)
	}
	if err := fits(sealed, master); err != nil {
		return nil, err
	}
	present := map[auth.Purpose]bool{}
	for _, k := range sealed {
		present[k.Purpose] = true
	}
	var missing []auth.Purpose
	for _, purpose := range []auth.Purpose{
		auth.PurposeCheck, auth.PurposePepper, auth.PurposeStoreMAC, auth.PurposeStoreSign, auth.PurposeAudit, auth.PurposeNonce,
	} {
		if !present[purpose] {
			missing = append(missing, purpose)
		}
	}
	return missing, nil
}

func newSealed(purpose auth.Purpose, now time.Time, master seal.Key) *auth.SealedKey {
	plain := make([]byte, sharedSize)
	_, _ = rand.Read(plain) // never fails: crypto/rand
	defer clear(plain)
	key := &auth.SealedKey{Purpose: purpose, Version: 1, Created: now.UTC().Truncate(time.Microsecond)}
	key.Sealed = master.Seal(plain, sealedIdentity(key))
	return key
}

// sealedIdentity is what a sealed key is bound to.
func sealedIdentity(k *auth.SealedKey) []byte {
	return binary.BigEndian.AppendUint32([]byte("sealed_key\x00"+string(k.Purpose)+"\x00"), k.Version)
}

func sealedName(k *auth.SealedKey) string {
	return fmt.Sprintf("%s key version %d", k.Purpose, k.Version)
}

func openSealed(k *auth.SealedKey, master seal.Key) ([]byte, error) {
	plain, err := master.Open(k.Sealed, sealedIdentity(k))
	if err != nil {
		return nil, fmt.Errorf("open %s with the master key from %s: %w", sealedName(k), master.Source(), err)
	}
	if len(plain) != sharedSize {
		return nil, fmt.Errorf("open %s: must be %d bytes", sealedName(k), sharedSize)
	}
	return plain, nil
}

// OpenPeppers opens the peppers among the sealed keys. On an error in a running instance, keep the peppers that it has: the
// master key was rotated, and the instance waits to be restarted with the new one.
func OpenPeppers(sealed []*auth.SealedKey, master seal.Key) (*auth.Peppers, error) {
	keys, err := OpenSealed(sealed, auth.PurposePepper, master)
	if err != nil {
		return nil, err
	}
	return auth.NewPeppers(keys), nil
}

// OpenAuditKeys opens the keys of the audit chain. On an error in a running instance, keep the keys that it has, as with OpenPeppers.
func OpenAuditKeys(sealed []*auth.SealedKey, master seal.Key) (*auth.AuditKeys, error) {
	keys, err := OpenSealed(sealed, auth.PurposeAudit, master)
	if err != nil {
		return nil, err
	}
	return auth.NewAuditKeys(keys), nil
}

// Chained is a store that records nothing before it has the keys of the audit chain.
type Chained interface{ Chain(keys *auth.AuditKeys) }

// ChainAudit gives the store the keys of its audit chain. It returns ErrMasterKey if master is not the one of the database.
func ChainAudit[S interface {
	auth.Store
	Chained
}](ctx context.Context, store S, master seal.Key) error {
	var sealed []*auth.SealedKey
	err := store.View(ctx, func(tx auth.Tx) (err error) {
		sealed, err = tx.Keys().SealedKeys(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("read sealed keys: %w", err)
	}
	if err := CheckMaster(sealed, master); err != nil {
		return err
	}
	opened, err := OpenAuditKeys(sealed, master)
	if err != nil {
		return err
	}
	store.Chain(opened)
	return nil
}

// OpenSealed opens the keys of one purpose, by version. There is at least one, of 32 bytes. On an error in a running
// instance, keep the keys that it has, as with OpenPeppers.
func OpenSealed(sealed []*auth.SealedKey, purpose auth.Purpose, master seal.Key) (map[uint32][]byte, error) {
	opened := map[uint32][]byte{}
	for _, k := range sealed {
		if k.Purpose != purpose {
			continue
		}
		plain, err := openSealed(k, master)
		if err != nil {
			return nil, err
		}
		opened[k.Version] = plain
	}
	if len(opened) == 0 {
		return nil, fmt.Errorf("the database holds no %s key", purpose)
	}
	return opened, nil
}

// OpenStoreSigners opens the Ed25519 keys that sign token-store records, by version.
func OpenStoreSigners(sealed []*auth.SealedKey, master seal.Key) (map[uint32]ed25519.PrivateKey, error) {
	seeds, err := OpenSealed(sealed, auth.PurposeStoreSign, master)
	if err != nil {
		return nil, err
	}
	signers := map[uint32]ed25519.PrivateKey{}
	for version, seed := range seeds {
		signers[version] = ed25519.NewKeyFromSeed(seed)
	}
	return signers, nil
}
