package registry

import (
	"context"
	"slices"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// UnusedReport lists what nobody used for a number of days, in order of id. What was made, or of a grant's scopes what was changed,
// within that time is not in it. Uses are counted since the version of Countersign that counts them: what was last used
// before it looks as if it never was.
type UnusedReport struct {
	Days      int
	Clients   []UnusedClient
	Secrets   []UnusedSecret
	Grants    []UnusedGrant
	Expiring  []ExpiringSecret // the soonest first
	Truncated bool             // some list was cut at MaxUnused
}

// UnusedClient is a client that did not authenticate.
type UnusedClient struct {
	Client   auth.ClientID
	Name     string
	LastUsed time.Time // zero: never
}

// UnusedSecret is a secret that did not authenticate its client.
type UnusedSecret struct {
	Secret   auth.SecretID
	Client   auth.ClientID
	Hint     string
	LastUsed time.Time
}

// UnusedGrant is a grant under which no token was issued or, with Scopes, one of which only these were not.
type UnusedGrant struct {
	Client   auth.ClientID
	API      auth.APIID
	Scopes   auth.Scopes
	LastUsed time.Time // of the grant as a whole
}

// ExpiringSecret is a usable secret of an active client that ends soon.
type ExpiringSecret struct {
	Secret  auth.SecretID
	Client  auth.ClientID
	Name    string // of the client
	Expires time.Time
	Only    bool // no other lasts longer: the client will stop working
}

const (
	// MaxUnused bounds each list of an UnusedReport.
	MaxUnused = 1000
	// ExpiringSoon is how far ahead a secret's end is reported.
	ExpiringSoon = 14 * 24 * time.Hour

	maxDays = 3650
)

// Unused reports what nobody used for a number of days, 1 to 3650. It needs grants:read and clients:read.
func (r *Registry) Unused(ctx context.Context, actor auth.Actor, days int) (*UnusedReport, error) {
	if err := need(actor, auth.ScopeGrantsRead, auth.ScopeClientsRead); err != nil {
		return nil, err
	}
	if days < 1 || days > maxDays {
		return nil, fault.New(fault.InvalidRequest, "must be 1 to 3650").At("days")
	}
	now := r.Now()
	var report *UnusedReport
	err := r.Store.View(ctx, func(tx auth.Tx) error {
		s := survey{now: now, since: now.AddDate(0, 0, -days), report: UnusedReport{Days: days}}
		if err := s.credentials(ctx, tx); err != nil {
			return err
		}
		report = &s.report
		return s.grants(ctx, tx)
	})
	return report, err
}

// survey is one look at everything.
type survey struct {
	now, since time.Time
	report     UnusedReport
}

// stale reports whether something that was made at created and used last at last, never if that is zero, was idle since.
func (s *survey) stale(created, last time.Time) bool {
	return created.Before(s.since) && last.Before(s.since)
}

// listed adds an item to a list that has room.
func listed[T any](s *survey, list []T, item T) []T {
	if len(list) == MaxUnused {
		s.report.Truncated = true
		return list
	}
	return append(list, item)
}

// credentials looks at clients and their secrets.
func (s *survey) credentials(ctx context.Context, tx auth.Tx) error {
	secrets, clients := map[auth.SecretID]time.Time{}, map[auth.ClientID]time.Time{}
	err := tx.Usage().EachSecretUse(ctx, func(id auth.ClientID, u auth.SecretUse) error {
		secrets[u.Secret] = u.Last
		if u.Last.After(clients[id]) {
			clients[id] = u.Last
		}
		return nil
	})
	if err != nil {
		return err
	}
	names := map[auth.ClientID]string{} // of the active ones
	err = tx.Clients().EachClient(ctx, func(c *auth.Client) error {
		if s.stale(c.Created, clients[c.ID]) {
			s.report.Clients = listed(s, s.report.Clients, UnusedClient{c.ID, c.Name, clients[c.ID]})
		}
		if c.Status == auth.Active {
			names[c.ID] = c.Name
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.secrets(ctx, tx, secrets, names)
}

func (s *survey) secrets(ctx context.Context, tx auth.Tx, used map[auth.SecretID]time.Time, names map[auth.ClientID]string) error {
	var soon []*auth.Secret
	longest := map[auth.ClientID]time.Time{} // when the last usable secret of the client ends
	err := tx.Secrets().EachSecret(ctx, func(secret *auth.Secret) error {
		if s.stale(secret.Created, used[secret.ID]) {
			s.report.Secrets = listed(s, s.report.Secrets, UnusedSecret{secret.ID, secret.Client, secret.Hint, used[secret.ID]})
		}
		if _, active := names[secret.Client]; !active || !secret.Usable(s.now) {
			return nil
		}
		end := s.end(secret)
		if end.After(longest[secret.Client]) {
			longest[secret.Client] = end
		}
		if end.Before(s.now.Add(ExpiringSoon)) {
			soon = append(soon, secret)
		}
		return nil
	})
	s.expiring(soon, names, longest)
	return err
}

// end returns when the secret ends; of one that never does, a time that nobody waits for.
func (s *survey) end(secret *auth.Secret) time.Time {
	if secret.Expires.IsZero() {
		return s.now.AddDate(1000, 0, 0)
	}
	return secret.Expires
}

func (s *survey) expiring(secrets []*auth.Secret, names map[auth.ClientID]string, longest map[auth.ClientID]time.Time) {
	slices.SortStableFunc(secrets, func(a, b *auth.Secret) int { return a.Expires.Compare(b.Expires) })
	for _, secret := range secrets {
		s.report.Expiring = listed(s, s.report.Expiring, ExpiringSecret{
			Secret: secret.ID, Client: secret.Client, Name: names[secret.Client], Expires: secret.Expires,
			Only: !longest[secret.Client].After(secret.Expires),
		})
	}
}

// grants looks at grants and their scopes.
func (s *survey) grants(ctx context.Context, tx auth.Tx) error {
	uses, err := grantUses(ctx, tx, auth.ClientID{})
	if err != nil {
		return err
	}
	return tx.Grants().EachGrant(ctx, func(g *auth.Grant) error {
		u := uses[granting{g.Client, g.API}]
		if s.stale(g.Created, u.last) {
			s.report.Grants = listed(s, s.report.Grants, UnusedGrant{Client: g.Client, API: g.API, LastUsed: u.last})
			return nil
		}
		var idle auth.Scopes
		for _, scope := range g.Scopes {
			if s.stale(g.Updated, u.scopes[scope]) {
				idle = append(idle, scope)
			}
		}
		if len(idle) > 0 {
			s.report.Grants = listed(s, s.report.Grants, UnusedGrant{g.Client, g.API, idle, u.last})
		}
		return nil
	})
}

// granting names a grant.
type granting struct {
	client auth.ClientID
	api    auth.APIID
}

// grantUse is how a grant was used, and when each of its scopes was last.
type grantUse struct {
	last   time.Time
	tokens int64
	scopes map[string]time.Time
}

// grantUses reads the uses of a client's grants, or of all if client is zero.
func grantUses(ctx context.Context, tx auth.Tx, client auth.ClientID) (map[granting]grantUse, error) {
	uses := map[granting]grantUse{}
	err := tx.Usage().GrantUses(ctx, client, func(u auth.GrantUse) error {
		known := uses[granting{u.Client, u.API}]
		if u.Scope == "" {
			known.last, known.tokens = u.Last, u.Tokens
		} else {
			if known.scopes == nil {
				known.scopes = map[string]time.Time{}
			}
			known.scopes[u.Scope] = u.Last
		}
		uses[granting{u.Client, u.API}] = known
		return nil
	})
	return uses, err
}
