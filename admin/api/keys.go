package api

import (
	"context"
	"net/http"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/registry"
)

type keysInput struct {
	Paging
}

type keyInput struct {
	Key auth.KeyID `path:"kid"`
}

type rotateKey struct {
	Body wire.KeyRotationBody
}

// keys adds the operations on signing keys.
func (s *service) keys() {
	add(s, operation{
		id: "listKeys", method: http.MethodGet, path: "/keys", tag: tagKeys, scopes: needs(auth.ScopeKeysRead), summary: "List signing keys",
		about: "Those that are kept: next, current, retired and revoked.",
	}, s.listKeys)
	add(s, operation{
		id: "rotateKey", method: http.MethodPost, path: "/keys/rotate", tag: tagKeys, scopes: needs(auth.ScopeKeysWrite), summary: "Make the next signing key",
		about: "It is published at once and signs later, so that verifiers have it by then. With `compromised` the current key is withdrawn and " +
			"replaced at once.",
		status: http.StatusCreated, body: true,
	}, s.rotateKey)
	add(s, operation{
		id: "revokeKey", method: http.MethodPost, path: "/keys/{kid}/revoke", tag: tagKeys, scopes: needs(auth.ScopeKeysWrite), summary: "Withdraw a signing key",
		about: "Every token that it signed is refused. The key that signs now cannot be withdrawn: rotate it as compromised.", faults: codes{fault.NotFound},
	}, s.revokeKey)
}

func (s *service) listKeys(ctx context.Context, in *keysInput) (*page[wire.Key], error) {
	c := from(ctx)
	at, err := in.place(c)
	if err != nil {
		return nil, err
	}
	all, err := c.registry.ListKeys(ctx, c.actor)
	if err != nil {
		return nil, err
	}
	found := after(all, at, func(d registry.KeyDetail) [16]byte { return d.ID })
	return listed(c, in.Paging, found, showKey, func(d registry.KeyDetail) cursor { return cursor{ID: d.ID[:]} }), nil
}

func (s *service) rotateKey(ctx context.Context, in *rotateKey) (*answer[wire.Key], error) {
	c := from(ctx)
	made, err := c.registry.RotateKey(ctx, c.actor, keys.Rotation{
		Algorithm: auth.Algorithm(in.Body.Algorithm), ActiveAt: timeOf(in.Body.ActiveAt), Compromised: in.Body.Compromised,
	})
	if err != nil {
		return nil, err
	}
	state := auth.KeyNext
	if !made.ActiveAt.After(s.Now()) {
		state = auth.KeyCurrent
	}
	return answered(showKey(registry.KeyDetail{Key: *made, State: state}), nil)
}

func (s *service) revokeKey(ctx context.Context, in *keyInput) (*answer[wire.Revocation], error) {
	c := from(ctx)
	return showRevocation(c.registry.RevokeKey(ctx, c.actor, in.Key))
}
