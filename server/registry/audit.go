package registry

import (
	"context"

	"github.com/countersign/countersign/server/auth"
)

// Events returns a page of the audit log. It needs audit:read, as all of these do.
func (r *Registry) Events(ctx context.Context, actor auth.Actor, q auth.AuditQuery) (found []*auth.AuditEvent, err error) {
	err = r.readAudit(ctx, actor, func(log auth.Audit) error {
		found, err = log.ListEvents(ctx, q)
		return err
	})
	return found, err
}

// Event returns one event of the audit log, or fault.NotFound.
func (r *Registry) Event(ctx context.Context, actor auth.Actor, id auth.EventID) (found *auth.AuditEvent, err error) {
	err = r.readAudit(ctx, actor, func(log auth.Audit) error {
		found, err = log.Event(ctx, id)
		return err
	})
	return found, err
}

// AuditHead returns how far the audit log has come, sealed, to be kept outside of the database and given to VerifyAudit later.
func (r *Registry) AuditHead(ctx context.Context, actor auth.Actor) (head auth.AuditHead, err error) {
	err = r.readAudit(ctx, actor, func(log auth.Audit) error {
		head, err = log.AuditHead(ctx)
		return err
	})
	if err == nil {
		r.AuditKeys().Seal(&head)
	}
	return head, err
}

// Failures returns the newest failed authentications, of one client or, if client is nil, of all. A client that is zero selects
// those that named no client there is.
func (r *Registry) Failures(ctx context.Context, actor auth.Actor, client *auth.ClientID, limit int) (found []*auth.Failure, err error) {
	err = r.readAudit(ctx, actor, func(log auth.Audit) error {
		found, err = log.ListFailures(ctx, client, limit)
		return err
	})
	return found, err
}

func (r *Registry) readAudit(ctx context.Context, actor auth.Actor, read func(auth.Audit) error) error {
	if err := need(actor, auth.ScopeAuditRead); err != nil {
		return err
	}
	return r.Store.View(ctx, func(tx auth.Tx) error { return read(tx.Audit()) })
}
