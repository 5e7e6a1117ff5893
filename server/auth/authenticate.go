package auth

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// Credentials are what a client sent to say who it is.
type Credentials struct {
	ClientID string
	Secret   SecretValue
	Method   Method // how they were sent
}

// Caller is an authenticated client.
type Caller struct {
	Client     *Client
	Credential SecretID
	// Scopes are those of the ServerAPI that the caller holds: by its grant if it authenticated as a client, by its token if
	// it came with one.
	Scopes Scopes
	Serves []APIID
}

// Authenticator tells which client is calling.
type Authenticator struct {
	Directory Directory
	Peppers   func() *Peppers
	Now       func() time.Time
	Imported  Imported // nil: no imported secret ever matches
}

// Authenticate returns the client that c proves, or fault.InvalidClient. An unknown client, a wrong, expired or disabled
// secret and a disabled client are the same to the caller, in answer and in time: each costs one keyed hash, one catch-up of the
// change log at a bounded rate, and one more hash. Only who has the right secret is told that he sent it by another method than
// the registered one. The log finds a *Refusal in the chain of the error. It returns fault.Unavailable rather than a verdict when the
// change log cannot be read.
//
// A client with imported secrets can be told from others by whoever knows its id, and sends what can be an imported secret: the answer
// takes as long as argon2id does, and to many wrong ones it is fault.TooMany.
func (a *Authenticator) Authenticate(ctx context.Context, c Credentials) (*Caller, error) {
	if !c.Secret.WellFormed() && !c.Secret.Importable() {
		return nil, refuse(a.record(c), Malformed)
	}
	var tried []*Secret
	caller, err := a.match(ctx, c, &tried)
	if err == nil || !errors.Is(err, fault.InvalidClient) {
		return caller, err
	}
	if err := a.Directory.CatchUp(ctx); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "client credentials cannot be checked right now", err)
	}
	return a.match(ctx, c, &tried)
}

// record returns the client that c names, or nil.
func (a *Authenticator) record(c Credentials) *ClientRecord {
	id, err := ParseClientID(c.ClientID)
	if err != nil {
		return nil
	}
	return a.Directory.Client(id)
}

// match authenticates by what the directory knows now. Imported secrets among tried are not tried again; those that were become part of it.
func (a *Authenticator) match(ctx context.Context, c Credentials, tried *[]*Secret) (*Caller, error) {
	record := a.record(c)
	var secrets []*Secret
	if record != nil {
		secrets = record.Secrets
	}
	now := a.Now()
	secret := a.Peppers().match(c.Secret, secrets, now)
	if a.Imported != nil && record != nil && record.Client.Status == Active && c.Secret.Importable() {
		var err error
		if secret, err = a.matchImported(ctx, c.Secret, record, tried); err != nil {
			return nil, err
		}
	}
	if reason := whyNot(record, secret, c.Secret, now); reason != "" {
		return nil, refuse(record, reason)
	}
	if registered := record.Client.AuthMethod; registered != c.Method {
		return nil, fault.Wrap(fault.InvalidClient, "the client is registered for "+string(registered)+", not for "+string(c.Method),
			refusal(record, WrongMethod))
	}
	caller := &Caller{Client: record.Client, Credential: secret.ID, Serves: record.Serves}
	if own := a.Directory.APIByIdentifier(ServerAPI); own != nil {
		if grant := record.Grants[own.ID]; grant != nil {
			caller.Scopes = grant.Scopes
		}
	}
	return caller, nil
}

func (a *Authenticator) matchImported(ctx context.Context, v SecretValue, record *ClientRecord, tried *[]*Secret) (*Secret, error) {
	now := a.Now()
	var untried []*Secret
	for _, s := range record.Secrets {
		known := slices.ContainsFunc(*tried, func(t *Secret) bool { return t.ID == s.ID && t.Imported == s.Imported })
		if s.Imported != "" && s.Usable(now) && !known {
			untried = append(untried, s)
		}
	}
	if len(untried) == 0 {
		return nil, nil //nolint:nilnil // none matches
	}
	found, err := a.Imported.Match(ctx, record.Client.ID, v, untried)
	if found == nil && err == nil {
		*tried = append(*tried, untried...)
	}
	return found, err
}

// whyNot returns why a client is not authenticated by the secret that was found for what it sent, or nothing.
func whyNot(record *ClientRecord, secret *Secret, sent SecretValue, now time.Time) string {
	switch {
	case record == nil:
		return UnknownClient
	case record.Client.Status != Active:
		return DisabledClient
	case secret == nil && !sent.WellFormed() && !slices.ContainsFunc(record.Secrets, func(s *Secret) bool { return s.Imported != "" }):
		return Malformed
	case secret == nil:
		return WrongSecret
	case secret.Status != Active:
		return DisabledSecret
	case !secret.Usable(now):
		return ExpiredSecret
	}
	return ""
}

// Still reports whether what authenticated the caller is still good at now, as far as the directory knows: for a decision
// that is made again.
func (a *Authenticator) Still(c *Caller) bool {
	record := a.Directory.Client(c.Client.ID)
	if record == nil || record.Client.Status != Active {
		return false
	}
	for _, s := range record.Secrets {
		if s.ID == c.Credential {
			return s.Usable(a.Now())
		}
	}
	return false
}
