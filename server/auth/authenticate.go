package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
)

// Credentials are what a client sent to say who it is.
type Credentials struct {
	ClientID string
	Secret   SecretValue
	Method   Method // how they were sent; not set for an assertion, of which only the client can tell what it is
	// Assertion is a signed statement that the client sent instead of a secret.
	Assertion Assertion
	// Certificates is the chain of the TLS connection, the client's own first. A client that has it may authenticate by other means.
	Certificates []*x509.Certificate
	// Frugal has them checked as far only as that costs next to nothing: the change log is not read, and no imported secret is compared.
	Frugal bool
}

// Caller is an authenticated client.
type Caller struct {
	Client     *Client
	Credential SecretID // zero: it was no secret
	// Uses are the proofs by which it authenticated and which are good for one use. Whoever acts for the caller records them.
	Uses []ProofUse
	// Issuer vouched for the caller, as it was then; nil: none did.
	Issuer *TrustedIssuer
	// Scopes are those of the ServerAPI that the caller holds: by its grant if it authenticated as a client, by its token if
	// it came with one.
	Scopes Scopes
	Serves []APIID

	// again authenticates once more by what is no secret; nil: it was one. It is a function, so that nothing that prints a Caller prints an assertion.
	again func(context.Context) error
}

// Authenticator tells which client is calling.
type Authenticator struct {
	Directory Directory
	Peppers   func() *Peppers
	Now       func() time.Time
	Imported  Imported // nil: no imported secret ever matches
	// Assertions and Certificates check what is no secret; nil: nobody authenticates by such.
	Assertions   Assertions
	Certificates Certificates
}

// Authenticate returns the client that c proves, or fault.InvalidClient. An unknown client, a wrong, expired or disabled
// secret and a disabled client are the same to the caller, in answer and in time: each costs one keyed hash, one catch-up of the
// change log at a bounded rate, and one more hash. Only who has the right secret is told that he sent it by another method than
// the registered one. The log finds a *Refusal in the chain of the error. It returns fault.Unavailable rather than a verdict when the
// change log cannot be read.
//
// A client with imported secrets can be told from others by whoever knows its id, and sends what can be an imported secret: the answer
// takes as long as argon2id does, and to many wrong ones it is fault.TooMany, with a *Refusal too.
func (a *Authenticator) Authenticate(ctx context.Context, c Credentials) (*Caller, error) {
	if c.Assertion.text != "" || c.Method.ByCertificate() {
		return a.prove(ctx, c)
	}
	if !c.Secret.WellFormed() && !c.Secret.Importable() {
		return nil, refuse(a.record(c), Malformed)
	}
	var tried []*Secret
	caller, err := a.match(ctx, c, &tried)
	if err == nil || c.Frugal || !errors.Is(err, fault.InvalidClient) {
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
		if c.Frugal {
			return nil, refuse(record, TooMany)
		}
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
	caller := a.caller(record)
	caller.Credential = secret.ID
	return caller, nil
}

// caller returns the client of a record, which has authenticated.
func (a *Authenticator) caller(record *ClientRecord) *Caller {
	caller := &Caller{Client: record.Client, Serves: record.Serves}
	if own := a.Directory.APIByIdentifier(ServerAPI); own != nil {
		if grant := record.Grants[own.ID]; grant != nil {
			caller.Scopes = grant.Scopes
		}
	}
	return caller
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
	if limited, ok := errors.AsType[*fault.Error](err); ok && limited.Code == fault.TooMany {
		known := *limited
		known.Err = refusal(record, TooMany)
		return nil, &known
	}
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
// that is made again. Where a client or its issuer has other keys, names or rules by now, it looks whether what it showed goes with those: a key
// that is added, or another that is taken away, is no reason to send it away.
func (a *Authenticator) Still(ctx context.Context, c *Caller) bool {
	record := a.Directory.Client(c.Client.ID)
	if record == nil || record.Client.Status != Active {
		return false
	}
	if c.Credential == (SecretID{}) {
		same := record.Client == c.Client || record.Client.AuthMethod == c.Client.AuthMethod && record.Client.Proofs.Equal(&c.Client.Proofs)
		return same && a.vouches(c.Issuer) || c.again != nil && c.again(ctx) == nil
	}
	for _, s := range record.Secrets {
		if s.ID == c.Credential {
			return record.Client.AuthMethod.BySecret() && s.Usable(a.Now())
		}
	}
	return false
}

// vouches reports whether an issuer is what it was; nil is nobody.
func (a *Authenticator) vouches(i *TrustedIssuer) bool {
	if i == nil {
		return true
	}
	now := a.Directory.TrustedIssuer(i.ID)
	return now != nil && now.Revision == i.Revision
}
