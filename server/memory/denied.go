package memory

import (
	"fmt"
	"sync/atomic"

	"github.com/countersign/countersign/server/auth"
)

// subject is a set of tokens that a revocation can name.
type subject struct {
	kind       auth.ChangeKind
	id, object [16]byte
}

func subjectOf(c *auth.Change) subject { return subject{c.Kind, c.Subject, c.Object} }

// name is the subject of a revocation of an API's tokens, or of a client's for an API, by the API's identifier.
type name struct {
	kind       auth.ChangeKind
	client     [16]byte // of a RevokeGrant
	identifier string
}

func nameOf(c *auth.Change) (n name, ok bool) {
	switch c.Kind { //nolint:exhaustive // the others say no identifier
	case auth.RevokeAPI:
		return name{kind: c.Kind, identifier: c.Audience}, c.Audience != ""
	case auth.RevokeGrant:
		return name{c.Kind, c.Subject, c.Audience}, c.Audience != ""
	}
	return n, false
}

// denySet holds the newest revocation of each subject.
type denySet struct {
	sequences *table[subject, uint64]
	// names holds those of APIs and of grants by the API's identifier: all that a JWT says of its API and of those of its ancestors, and there
	// may be another API of that identifier by now.
	names *table[name, uint64]
	// counts is the number of subjects by kind: most kinds have none, and need no look.
	counts [auth.RevokeAll + 1]atomic.Int64
}

func newDenySet() *denySet {
	return &denySet{
		sequences: newTable[subject, uint64](func(s subject) int { return shardOf(s.id) ^ shardOf(s.object) }),
		names:     newTable[name, uint64](func(n name) int { return shardOf(n.client) }),
	}
}

// denies reports whether a revocation with a sequence above the token's revision names the token, or one that it was made from. Of a key it
// is any revocation: whoever has stolen it writes the revision himself.
func (d *denySet) denies(t *auth.Token, apis func(identifier string) *auth.API) bool {
	for i := range t.Lineage.Ancestors {
		if d.deniesAncestor(&t.Lineage.Ancestors[i], apis) {
			return true
		}
	}
	return d.deniesOne(t)
}

// refusals returns the revocation that refuses the token itself, and then that of each token that it was made from; nil where there is none.
func (d *denySet) refusals(t *auth.Token, apis func(identifier string) *auth.API) []*auth.Change {
	all := []*auth.Change{d.refusal(t)}
	for i := range t.Lineage.Ancestors {
		a := &t.Lineage.Ancestors[i]
		api := apis(a.Audience)
		if api == nil {
			all = append(all, &auth.Change{Kind: auth.RevokeAPI, Audience: a.Audience})
			continue
		}
		why := d.refusal(ancestorToken(a, api))
		if why == nil {
			why = d.refusalByName(a.Client, a.Audience, a.Revision)
		}
		all = append(all, why)
	}
	return all
}

// refusal says by which revocation deniesOne is true.
func (d *denySet) refusal(t *auth.Token) *auth.Change {
	for _, s := range []subject{
		{kind: auth.RevokeToken, id: t.ID},
		{kind: auth.RevokeClient, id: t.Client},
		{kind: auth.RevokeGrant, id: t.Client, object: t.API},
		{kind: auth.RevokeAPI, id: t.API},
		{kind: auth.RevokeCredential, id: t.Credential},
		{kind: auth.RevokeKey, id: t.Key},
		{kind: auth.RevokeAll},
	} {
		revision, none := t.Revision, false
		switch s.kind { //nolint:exhaustive // the others are as the revision says
		case auth.RevokeKey:
			revision, none = 0, t.Key == auth.KeyID{}
		case auth.RevokeCredential:
			none = t.Credential == auth.SecretID{}
		}
		if sequence, ok := d.sequences.get(s); ok && !none && sequence > revision {
			return &auth.Change{Sequence: sequence, Kind: s.kind, Subject: s.id, Object: s.object}
		}
	}
	return nil
}

// deniesAncestor is about a token that another was made from. One for an API that is gone is refused with it.
func (d *denySet) deniesAncestor(a *auth.Ancestor, apis func(identifier string) *auth.API) bool {
	api := apis(a.Audience)
	return api == nil || d.deniesOne(ancestorToken(a, api)) || d.refusalByName(a.Client, a.Audience, a.Revision) != nil
}

// refusalByName returns the revocation of a token's API, or of its client's grant for that, which came after it; nil: there is none.
func (d *denySet) refusalByName(client auth.ClientID, identifier string, revision uint64) *auth.Change {
	for _, n := range [...]name{{kind: auth.RevokeAPI, identifier: identifier}, {auth.RevokeGrant, client, identifier}} {
		if d.counts[n.kind].Load() == 0 {
			continue
		}
		if sequence, ok := d.names.get(n); ok && sequence > revision {
			return &auth.Change{Sequence: sequence, Kind: n.kind, Subject: n.client, Audience: identifier}
		}
	}
	return nil
}

// ancestorToken is an ancestor as far as revocations can name it.
func ancestorToken(a *auth.Ancestor, api *auth.API) *auth.Token {
	return &auth.Token{ID: a.ID, Client: a.Client, Credential: a.Credential, API: api.ID, Revision: a.Revision, Key: a.Key}
}

func (d *denySet) deniesOne(t *auth.Token) bool {
	return d.above(t.Revision, subject{kind: auth.RevokeAll}) ||
		d.above(t.Revision, subject{kind: auth.RevokeToken, id: t.ID}) ||
		d.above(t.Revision, subject{kind: auth.RevokeClient, id: t.Client}) ||
		d.above(t.Revision, subject{kind: auth.RevokeGrant, id: t.Client, object: t.API}) ||
		d.above(t.Revision, subject{kind: auth.RevokeAPI, id: t.API}) ||
		t.Credential != (auth.SecretID{}) && d.above(t.Revision, subject{kind: auth.RevokeCredential, id: t.Credential}) ||
		t.Key != (auth.KeyID{}) && d.above(0, subject{kind: auth.RevokeKey, id: t.Key})
}

func (d *denySet) above(revision uint64, s subject) bool {
	if d.counts[s.kind].Load() == 0 {
		return false
	}
	sequence, ok := d.sequences.get(s)
	return ok && sequence > revision
}

// add takes revocations in order of sequence.
func (d *denySet) add(revocations []auth.Change) {
	edit, names := d.sequences.edit(), d.names.edit()
	for i := range revocations {
		s := subjectOf(&revocations[i])
		if _, known := edit.get(s); !known {
			d.counts[s.kind].Add(1)
		}
		edit.put(s, revocations[i].Sequence)
		if n, ok := nameOf(&revocations[i]); ok {
			names.put(n, revocations[i].Sequence)
		}
	}
	edit.publish()
	names.publish()
}

// forget drops revocations that no living token can match. A newer one of the same subject stays.
func (d *denySet) forget(revocations []auth.Change) {
	edit, names := d.sequences.edit(), d.names.edit()
	for i := range revocations {
		s := subjectOf(&revocations[i])
		if sequence, ok := edit.get(s); ok && sequence == revocations[i].Sequence {
			edit.remove(s)
			d.counts[s.kind].Add(-1)
		}
		if n, ok := nameOf(&revocations[i]); ok {
			if sequence, held := names.get(n); held && sequence == revocations[i].Sequence {
				names.remove(n)
			}
		}
	}
	edit.publish()
	names.publish()
}

// checkKind refuses a revocation that this version cannot apply: to pass over it would be to accept what it takes back.
func checkKind(c *auth.Change) error {
	if c.Kind > auth.RevokeAll {
		return fmt.Errorf("change %d is a revocation of kind %d, which this version does not know", c.Sequence, c.Kind)
	}
	return nil
}
