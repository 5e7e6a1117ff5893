package registry

import (
	"context"
	"errors"
	"strings"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/keys"
)

// LeakKind says what a leaked value turned out to be.
type LeakKind string

// The kinds of leaks.
const (
	LeakedSecret LeakKind = "secret"
	LeakedToken  LeakKind = "token"
	LeakUnknown  LeakKind = "unknown" // nothing that this server made, or made so long ago that it is forgotten
)

// Leak is what became of a reported value. Which of Secret and Token is set, Kind says.
type Leak struct {
	Kind    LeakKind
	Client  auth.ClientID
	Secret  auth.SecretID
	Token   auth.TokenID
	Revoked Hit
	Reached []auth.SecretID // secrets that were made with the leaked one and are disabled too
}

// MaxLeak bounds a reported value in bytes.
const MaxLeak = 8 << 10

// ReportLeak makes a value useless that was found where it should not be: a secret is disabled as compromised, an access token is taken back.
// Whoever reports shows the value itself, as whoever found it could use it: so it needs secrets:write and nothing else, whatever
// the client may do, and even the last full administrator loses its secret by it. A token counts by its signature, or an opaque one by
// its secret part, not by what it claims. Secrets that were brought from outside cannot be found by their value: disable those by
// their id. The value is neither stored nor shown. It returns fault.InvalidRequest for a value that is empty or longer than MaxLeak.
func (r *Registry) ReportLeak(ctx context.Context, actor auth.Actor, value string) (*Leak, error) {
	if err := need(actor, auth.ScopeSecretsWrite); err != nil {
		return nil, err
	}
	value = strings.TrimSpace(value)
	if value == "" || len(value) > MaxLeak {
		return nil, fault.New(fault.InvalidRequest, "must be 1 to 8192 bytes").At("value")
	}
	found, err := r.identify(ctx, value)
	if err != nil {
		return nil, err
	}
	leak, err := update(ctx, r, func(tx auth.Tx) (Leak, error) { return r.disarm(ctx, tx, actor, found) })
	if err != nil {
		return nil, err
	}
	return &leak, nil
}

// identify finds out what the value is, and what it would take to make it useless.
func (r *Registry) identify(ctx context.Context, value string) (Leak, error) {
	if presented := auth.PresentedSecret(value); presented.WellFormed() {
		return r.identifySecret(ctx, presented)
	}
	if id, proof, err := auth.ParseOpaque(value); err == nil {
		t, err := r.Ledger.Token(ctx, id)
		if errors.Is(err, fault.NotFound) || err == nil && !t.Proves(proof) {
			return unknownLeak(), nil
		}
		if err != nil {
			return Leak{}, err
		}
		return r.leakedToken(t), nil
	}
	return r.identifyJWT(ctx, value)
}

func (r *Registry) identifySecret(ctx context.Context, value auth.SecretValue) (leak Leak, err error) {
	err = r.Store.View(ctx, func(tx auth.Tx) error {
		leak = unknownLeak()
		for _, hash := range r.Peppers().Hashes(value) {
			s, err := tx.Secrets().SecretByHash(ctx, hash)
			if errors.Is(err, fault.NotFound) {
				continue
			}
			if err == nil {
				leak.Kind, leak.Client, leak.Secret = LeakedSecret, s.Client, s.ID
			}
			return err
		}
		return nil
	})
	if err != nil || leak.Kind == LeakUnknown {
		return leak, err
	}
	leak.Revoked, err = r.countCompromised(ctx, leak.Secret)
	return leak, err
}

func unknownLeak() Leak { return Leak{Kind: LeakUnknown, Revoked: none()} }

// identifyJWT asks the keys of the database, revoked ones among them: a token that is refused anyway is still one of ours.
func (r *Registry) identifyJWT(ctx context.Context, value string) (Leak, error) {
	var claims *keys.Claims
	var api *auth.API
	err := r.Store.View(ctx, func(tx auth.Tx) error {
		all, err := tx.Keys().SigningKeys(ctx)
		if err != nil {
			return err
		}
		api, claims = nil, keys.Signed(all, value)
		if claims == nil {
			return nil
		}
		if api, err = tx.APIs().APIByIdentifier(ctx, claims.Audience); errors.Is(err, fault.NotFound) {
			return nil
		}
		return err
	})
	if err != nil || claims == nil {
		return unknownLeak(), err
	}
	t := &auth.Token{
		ID: claims.ID, Client: claims.Client, Credential: claims.Credential, Issued: claims.Issued, Expires: claims.Expires,
		Revision: claims.Revision, Key: claims.Key,
	}
	if api != nil {
		t.API = api.ID
	}
	return r.leakedToken(t), nil
}

func (r *Registry) leakedToken(t *auth.Token) Leak {
	return Leak{Kind: LeakedToken, Client: t.Client, Token: t.ID, Revoked: r.hitOne(t)}
}

// disarm makes the value useless and records that it was reported. What was unknown or dead already leaves a record only if it was a
// secret: who has it had it before it was disabled.
func (r *Registry) disarm(ctx context.Context, tx auth.Tx, actor auth.Actor, leak Leak) (Leak, error) {
	switch {
	case leak.Kind == LeakedToken && leak.Revoked.Tokens > 0:
		after := telling(map[string]any{"client_id": leak.Client}, leak.Revoked)
		return leak, r.note(ctx, tx, record{actor, "leak.report", leak.Token.String(), nil, after}, tokenRevoked(leak.Token))
	case leak.Kind == LeakedSecret:
		s, err := tx.Secrets().Secret(ctx, leak.Secret)
		if err != nil {
			return Leak{}, err
		}
		before := secretView(s)
		reached, changes, err := r.compromise(ctx, tx, actor, s)
		if err != nil {
			return Leak{}, err
		}
		leak.Reached = reached
		after := telling(secretView(s), leak.Revoked)
		after["disabled_secrets"] = reached
		return leak, r.note(ctx, tx, record{actor, "leak.report", leak.Secret.String(), before, after}, changes...)
	}
	return leak, nil
}
