package sqlstore

import (
	"context"

	"github.com/countersign/countersign/server/auth"
)

func scanSigningKey(row scanner) (*auth.Key, error) {
	k := new(auth.Key)
	return k, row.Scan(fixed(k.ID[:]), &k.Algorithm, &k.Public, &k.Sealed, micros{&k.Created}, micros{&k.ActiveAt}, micros{&k.RevokedAt})
}

func scanSealedKey(row scanner) (*auth.SealedKey, error) {
	k := new(auth.SealedKey)
	return k, row.Scan(&k.Purpose, &k.Version, &k.Sealed, micros{&k.Created})
}

// SigningKeys implements auth.Keys.
func (t *tx) SigningKeys(ctx context.Context) ([]*auth.Key, error) {
	return list(ctx, t, scanSigningKey, "SELECT id, algorithm, public, sealed, created, active_at, revoked_at FROM signing_keys ORDER BY id")
}

// PutSigningKey implements auth.Keys.
func (t *tx) PutSigningKey(ctx context.Context, k *auth.Key) error {
	return t.replace(ctx, "signing key",
		"UPDATE signing_keys SET algorithm = ?, public = ?, sealed = ?, created = ?, active_at = ?, revoked_at = ? WHERE id = ?",
		"INSERT INTO signing_keys (algorithm, public, sealed, created, active_at, revoked_at, id) VALUES (?, ?, ?, ?, ?, ?, ?)",
		string(k.Algorithm), k.Public, k.Sealed, k.Created.UnixMicro(), k.ActiveAt.UnixMicro(), micro(k.RevokedAt), k.ID[:])
}

// DeleteSigningKey implements auth.Keys.
func (t *tx) DeleteSigningKey(ctx context.Context, id auth.KeyID) error {
	return t.remove(ctx, "delete signing key", "DELETE FROM signing_keys WHERE id = ?", id[:])
}

// SealedKeys implements auth.Keys.
func (t *tx) SealedKeys(ctx context.Context) ([]*auth.SealedKey, error) {
	return list(ctx, t, scanSealedKey, "SELECT purpose, version, sealed, created FROM sealed_keys ORDER BY purpose, version")
}

// PutSealedKey implements auth.Keys.
func (t *tx) PutSealedKey(ctx context.Context, k *auth.SealedKey) error {
	return t.replace(ctx, "sealed key",
		"UPDATE sealed_keys SET sealed = ?, created = ? WHERE purpose = ? AND version = ?",
		"INSERT INTO sealed_keys (sealed, created, purpose, version) VALUES (?, ?, ?, ?)",
		k.Sealed, k.Created.UnixMicro(), string(k.Purpose), k.Version)
}

// replace updates a row, or inserts it if there is none. Nobody can insert it in between: updates are serialised.
func (t *tx) replace(ctx context.Context, what, update, insert string, args ...any) error {
	rows, err := t.exec(ctx, "update "+what, update, args...)
	if err != nil || rows > 0 {
		return err
	}
	_, err = t.exec(ctx, "insert "+what, insert, args...)
	return err
}
