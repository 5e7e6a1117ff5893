// Package registry is what administration does: each operation says who may do it, makes its change, records it and tells the
// change log, in one transaction. No front door can leave out any of these.
package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// Registry administers everything that the server knows. Whatever takes a permission away also takes back the tokens that were issued
// under it. Its methods may be called by any number of goroutines; those that change something return fault.Unavailable when it is
// not known to be done.
type Registry struct {
	Store   auth.Store
	Peppers func() *auth.Peppers
	Now     func() time.Time
	// Ledger and Denied tell of tokens, AuditKeys check the audit log, Master seals signing keys, Import hashes secrets from
	// outside, Imported compares them: only what is called needs them.
	Ledger auth.Ledger
	Denied func(*auth.Token) bool
	// Refusals says by which revocation a token, and each that it was made from, is refused; nil: nobody is told.
	Refusals  func(*auth.Token) []*auth.Change
	AuditKeys func() *auth.AuditKeys
	Master    seal.Key
	Import    func(auth.SecretValue) (phc string, err error)
	Imported  auth.Imported
	// CheckURL tells whether key sets may be fetched from an address; its error is fault.InvalidRequest. Nil: from whatever is https.
	CheckURL func(ctx context.Context, rawURL string) error

	underWay flights
	repeat   *Repeat
	root     *Registry // that Once was called on; nil: it is one
}

// Restored tells the change log that the database was restored from a backup, or that a replica which lagged was promoted. What
// was lost with it cannot be known, so every token is taken back, and those who follow the log learn that it is another one.
// Secrets, grants and keys are what they were at the time of the backup: what was withdrawn since must be withdrawn again. Only the
// system may call it.
func (r *Registry) Restored(ctx context.Context, actor auth.Actor) error {
	if err := system(actor); err != nil {
		return err
	}
	return r.Store.Update(ctx, func(tx auth.Tx) error {
		if err := tx.Changes().Begin(ctx); err != nil {
			return err
		}
		keys, err := tx.Keys().SigningKeys(ctx)
		if err != nil {
			return err
		}
		changes := []auth.Change{{Kind: auth.RevokeAll}}
		for _, key := range keys {
			if !key.RevokedAt.IsZero() { // whoever has stolen it writes himself from when his tokens are
				changes = append(changes, auth.Change{Kind: auth.RevokeKey, Subject: key.ID})
			}
		}
		return r.note(ctx, tx, record{actor, "database.restored", "database", nil, nil}, changes...)
	})
}

// now is the time to the microsecond, as the stores keep it: what an operation answers is what a later read finds.
func (r *Registry) now() time.Time { return r.Now().UTC().Truncate(time.Microsecond) }

func clientChanged(id auth.ClientID) auth.Change {
	return auth.Change{Kind: auth.ClientChanged, Subject: id}
}

func apiChanged(id auth.APIID) auth.Change { return auth.Change{Kind: auth.APIChanged, Subject: id} }

func grantTarget(client auth.ClientID, api auth.APIID) string {
	return client.String() + "/" + api.String()
}

// record is what the audit log says of one operation.
type record struct {
	actor         auth.Actor
	action        string
	target        string
	before, after any
}

// note writes the audit record and the entries of the change log that belong to one operation.
func (r *Registry) note(ctx context.Context, tx auth.Tx, rec record, changes ...auth.Change) error {
	now := r.now()
	text, err := json.Marshal(map[string]any{"before": rec.before, "after": rec.after})
	if err != nil {
		return fmt.Errorf("encode audit record of %s: %w", rec.action, err)
	}
	event := auth.AuditEvent{ID: auth.NewEventID(now), At: now, Actor: rec.actor, Action: rec.action, Target: rec.target, Changes: string(text)}
	if err := tx.Audit().Record(ctx, event); err != nil {
		return err
	}
	for i := range changes {
		changes[i].At = now
	}
	return tx.Changes().Append(ctx, changes...)
}
