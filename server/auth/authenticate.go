package auth

import (
	"context"
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
}

// Authenticate returns the client that c proves, or fault.InvalidClient. An unknown client, a wrong, expired or disabled
// secret and a disabled client are the same to the caller, in answer and in time: each costs one keyed hash, one catch-up of the
// change log at a bounded rate, and one more hash. Only who has the right secret is told that he sent it by another method than
// the registered one. It returns fault.Unavailable rather than a verdict when the change log cannot be read.
func (a *Authenticator) Authenticate(ctx context.Context, c Credentials) (*Caller, error) {
	if !c.Secret.WellFormed() {
		return nil, errNotAuthenticated()
	}
	if caller, err := a.match(c); err == nil {
		return caller, nil
	}
	if err := a.Directory.CatchUp(ctx); err != nil {
		return nil, fault.Wrap(fault.Unavailable, "client credentials cannot be checked right now", err)
	}
	return a.match(c)
}

func errNotAuthenticated() error {
	return fault.New(fault.InvalidClient, "client authentication failed")
}

func (a *Authenticator) match(c Credentials) (*Caller, error) {
	var record *ClientRecord
	if id, err := ParseClientID(c.ClientID); err == nil {
		record = a.Directory.Client(id)
	}
	var secrets []*Secret
	if record != nil {
		secrets = record.Secrets
	}
	secret := a.Peppers().match(c.Secret, secrets, a.Now())
	if secret == nil || record.Client.Status != Active {
		return nil, errNotAuthenticated()
	}
	if registered := record.Client.AuthMethod; registered != c.Method {
		return nil, fault.New(fault.InvalidClient, "the client is registered for "+string(registered)+", not for "+string(c.Method))
	}
	caller := &Caller{Client: record.Client, Credential: secret.ID, Serves: record.Serves}
	if own := a.Directory.APIByIdentifier(ServerAPI); own != nil {
		if grant := record.Grants[own.ID]; grant != nil {
			caller.Scopes = grant.Scopes
		}
	}
	return caller, nil
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
