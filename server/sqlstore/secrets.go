package sqlstore

import (
	"context"
	"crypto/sha256"

	"github.com/countersign/countersign/server/auth"
)

//nolint:gosec // G101: names of columns
const (
	selectSecrets = "SELECT id, client_id, revision, hash, pepper, imported, hint, status, created, expires, created_by FROM secrets "
	insertSecret  = "INSERT INTO secrets (hash, pepper, imported, hint, status, created, expires, created_by, revision, client_id, id) " +
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	updateSecret = "UPDATE secrets SET hash = ?, pepper = ?, imported = ?, hint = ?, status = ?, created = ?, expires = ?, created_by = ?, revision = ? " +
		"WHERE client_id = ? AND id = ? AND revision = ?"
)

func scanSecret(row scanner) (*auth.Secret, error) {
	s := new(auth.Secret)
	return s, row.Scan(fixed(s.ID[:]), fixed(s.Client[:]), &s.Revision, fixed(s.Hash[:]), &s.Pepper, &s.Imported, &s.Hint, &s.Status,
		micros{&s.Created}, micros{&s.Expires}, fixed(s.By[:]))
}

// Secret implements auth.Secrets.
func (t *tx) Secret(ctx context.Context, id auth.SecretID) (*auth.Secret, error) {
	return one(ctx, t, scanSecret, selectSecrets+"WHERE id = ?", id[:])
}

// SecretByHash implements auth.Secrets.
func (t *tx) SecretByHash(ctx context.Context, hash [sha256.Size]byte) (*auth.Secret, error) {
	return one(ctx, t, scanSecret, selectSecrets+"WHERE hash = ? AND imported = ''", hash[:])
}

// SecretsBy implements auth.Secrets.
func (t *tx) SecretsBy(ctx context.Context, by auth.SecretID) ([]*auth.Secret, error) {
	return list(ctx, t, scanSecret, selectSecrets+"WHERE created_by = ? ORDER BY client_id, id", by[:])
}

// ClientSecrets implements auth.Secrets.
func (t *tx) ClientSecrets(ctx context.Context, id auth.ClientID) ([]*auth.Secret, error) {
	return list(ctx, t, scanSecret, selectSecrets+"WHERE client_id = ? ORDER BY id", id[:])
}

// PutSecret implements auth.Secrets.
func (t *tx) PutSecret(ctx context.Context, s *auth.Secret) error {
	return t.put(ctx, &s.Revision, insertSecret, updateSecret, s.Hash[:], s.Pepper, s.Imported, s.Hint, string(s.Status),
		s.Created.UnixMicro(), micro(s.Expires), orNull(s.By[:]), s.Revision+1, s.Client[:], s.ID[:])
}

// DeleteSecret implements auth.Secrets.
func (t *tx) DeleteSecret(ctx context.Context, id auth.SecretID) error {
	return t.remove(ctx, "delete secret", "DELETE FROM secrets WHERE id = ?", id[:])
}

// EachSecret implements auth.Secrets.
func (t *tx) EachSecret(ctx context.Context, do func(*auth.Secret) error) error {
	return each(func(last *auth.Secret) ([]*auth.Secret, error) {
		if last == nil {
			return list(ctx, t, scanSecret, selectSecrets+"ORDER BY client_id, id LIMIT ?", pageSize)
		}
		return list(ctx, t, scanSecret, selectSecrets+"WHERE client_id >= ? AND (client_id > ? OR id > ?) ORDER BY client_id, id LIMIT ?",
			last.Client[:], last.Client[:], last.ID[:], pageSize)
	}, do)
}
