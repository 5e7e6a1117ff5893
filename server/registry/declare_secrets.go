package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// plannedSecret is a secret that a client shall get.
type plannedSecret struct {
	client *plannedClient
	value  auth.SecretValue // zero: one is made
	named  string           // which of them, for values
}

// wantSecrets finds out which clients lack the secret that the document wants for them.
func (p *planner) wantSecrets(ctx context.Context) error {
	for _, c := range p.declaredClients {
		d, at := c.declared.Secret, c.at.at("secret")
		if d == nil {
			continue
		}
		if d.Generate == (d.Value != auth.SecretValue{}) {
			p.wrong.add(at, "wants exactly one of a value and one that is made")
			continue
		}
		if !c.after.AuthMethod.BySecret() {
			p.wrong.add(at, fault.From(errNoSecrets(c.after)).Detail)
			continue
		}
		if !d.Generate && !d.Value.WellFormed() && !d.Value.Importable() {
			p.wrong.add(at.at("value"), "must be 16 to 256 printable characters of ASCII without space or, beginning with cs_secret_, a whole secret of this kind")
			continue
		}
		missing, err := p.lacks(ctx, c, at)
		if err != nil {
			return err
		}
		if missing {
			c.secret = &plannedSecret{client: c, value: d.Value, named: c.after.Name}
		}
	}
	return nil
}

// lacks reports whether the client is to get the secret that its declaration wants.
func (p *planner) lacks(ctx context.Context, c *plannedClient, at pointer) (bool, error) {
	if c.before == nil {
		return true, nil
	}
	has, d := p.was.secrets[c.before.ID], c.declared.Secret
	if d.Generate {
		if slices.ContainsFunc(has, func(s *auth.Secret) bool { return s.Usable(p.now) }) {
			return false, nil
		}
	} else {
		same, err := p.values.find(ctx, c.before.ID, d.Value, has)
		if err != nil {
			return false, err
		}
		if same != nil && !same.Usable(p.now) {
			p.wrong.add(at.at("value"), "is the value of the secret "+same.ID.String()+", which is disabled or has expired; take another one")
		}
		if same != nil {
			return false, nil
		}
	}
	if len(has) >= auth.MaxSecrets {
		p.wrong.add(at, "the client has as many secrets as it can have; delete one first")
	}
	return true, nil
}

// values compares and hashes what was brought from outside, which is slow: each once, however often the plan is made.
type values struct {
	r      *Registry
	found  map[string]*auth.Secret // by client and secrets
	hashes map[string]string       // by plannedSecret.named
}

func newValues(r *Registry) *values {
	return &values{r: r, found: map[string]*auth.Secret{}, hashes: map[string]string{}}
}

// find returns the one of a client's secrets that has the value, or nil.
func (v *values) find(ctx context.Context, client auth.ClientID, value auth.SecretValue, secrets []*auth.Secret) (*auth.Secret, error) {
	if value.WellFormed() {
		hashes := v.r.Peppers().Hashes(value)
		for _, s := range secrets {
			if s.Imported == "" && slices.Contains(hashes, s.Hash) {
				return s, nil
			}
		}
		return nil, nil
	}
	var imported []*auth.Secret
	compared := []string{client.String()}
	for _, s := range secrets {
		if s.Imported != "" {
			imported = append(imported, s)
			compared = append(compared, s.ID.String(), string(s.Status))
		}
	}
	key := strings.Join(compared, " ")
	if len(imported) == 0 {
		return nil, nil
	}
	if same, known := v.found[key]; known {
		return same, nil
	}
	same, err := v.r.Imported.Match(ctx, client, value, imported)
	if err == nil {
		v.found[key] = same
	}
	return same, err
}

// hash makes the hashes that the plan's steps need, before a transaction waits for them.
func (v *values) hash(p *Plan) error {
	for _, s := range p.secrets {
		if v.hashes[s.named] != "" || !s.value.Importable() {
			continue
		}
		phc, err := v.r.Import(s.value)
		if err != nil {
			return err
		}
		v.hashes[s.named] = phc
	}
	return nil
}

// secret makes the row of a planned secret.
func (v *values) secret(s *plannedSecret, actor auth.Actor, now time.Time) (auth.Secret, auth.SecretValue) {
	value := s.value
	if value == (auth.SecretValue{}) {
		value = auth.NewSecretValue()
	}
	row := auth.Secret{
		ID: auth.NewSecretID(now), Client: s.client.after.ID, Status: auth.Active, Created: now, By: actor.Credential, Imported: v.hashes[s.named],
	}
	if row.Imported == "" {
		row.Hint = value.Hint()
		row.Hash, row.Pepper = v.r.Peppers().Hash(value)
	}
	return row, value
}
