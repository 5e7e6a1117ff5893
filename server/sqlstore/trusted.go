package sqlstore

import (
	"context"
	"encoding/json"

	"github.com/countersign/countersign/server/auth"
)

const (
	selectTrusted = "SELECT id, revision, name, issuer, trust, created, updated FROM trusted_issuers "
	insertTrusted = "INSERT INTO trusted_issuers (name, issuer, trust, created, updated, revision, id) VALUES (?, ?, ?, ?, ?, ?, ?)"
	updateTrusted = "UPDATE trusted_issuers SET name = ?, issuer = ?, trust = ?, created = ?, updated = ?, revision = ? WHERE id = ? AND revision = ?"
)

func scanTrusted(row scanner) (*auth.TrustedIssuer, error) {
	i := new(auth.TrustedIssuer)
	return i, row.Scan(fixed(i.ID[:]), &i.Revision, &i.Name, &i.Issuer, asJSON{&i.Trust}, micros{&i.Created}, micros{&i.Updated})
}

// TrustedIssuer implements auth.Issuers.
func (t *tx) TrustedIssuer(ctx context.Context, id auth.TrustedIssuerID) (*auth.TrustedIssuer, error) {
	return one(ctx, t, scanTrusted, selectTrusted+"WHERE id = ?", id[:])
}

// TrustedIssuers implements auth.Issuers.
func (t *tx) TrustedIssuers(ctx context.Context) ([]*auth.TrustedIssuer, error) {
	return list(ctx, t, scanTrusted, selectTrusted+"ORDER BY id")
}

// PutTrustedIssuer implements auth.Issuers.
func (t *tx) PutTrustedIssuer(ctx context.Context, i *auth.TrustedIssuer) error {
	trust, err := json.Marshal(i.Trust)
	if err != nil {
		return err
	}
	return t.put(ctx, &i.Revision, insertTrusted, updateTrusted, i.Name, i.Issuer, string(trust), i.Created.UnixMicro(), i.Updated.UnixMicro(),
		i.Revision+1, i.ID[:])
}

// DeleteTrustedIssuer implements auth.Issuers.
func (t *tx) DeleteTrustedIssuer(ctx context.Context, id auth.TrustedIssuerID) error {
	return t.remove(ctx, "delete trusted issuer", "DELETE FROM trusted_issuers WHERE id = ?", id[:])
}
