package keys

import (
	"strconv"

	"github.com/countersign/countersign/server/auth"
)

// The members of a token that is bound, or comes from another, in the one order in which they are written.
const (
	claimConfirmation = `,"cnf":{`
	memberJWK         = `"jkt":"`
	memberCertificate = `"x5t#S256":"`
	claimMayAct       = `,"may_act":{"sub":"`
	claimActor        = `,"act":`
	memberActor       = `{"sub":"`
	claimAncestors    = `,"cs_anc":[`
	ancestorID        = `{"jti":"`
	ancestorClient    = `","client_id":"`
	ancestorAudience  = `","aud":"`
	ancestorRevision  = `","cs_rev":`
	ancestorSecret    = `,"cs_sec":"` //nolint:gosec // the name of a claim that holds an id
	ancestorKey       = `,"kid":"`
)

func appendConfirmation(dst []byte, c auth.Confirmation) []byte {
	dst = append(dst, claimConfirmation...)
	jwk, certificate := c.JWKText(), c.CertificateText()
	if jwk != "" {
		dst = append(append(append(dst, memberJWK...), jwk...), '"')
	}
	if jwk != "" && certificate != "" {
		dst = append(dst, ',')
	}
	if certificate != "" {
		dst = append(append(append(dst, memberCertificate...), certificate...), '"')
	}
	return append(dst, '}')
}

// appendLineage writes may_act, act and cs_anc. The actors are the clients of the token and its ancestors: they are written once more for those
// who know RFC 8693 alone.
func appendLineage(dst []byte, c *Claims) []byte {
	if c.Lineage.MayAct != (auth.ClientID{}) {
		dst = append(append(append(dst, claimMayAct...), c.Lineage.MayAct.String()...), `"}`...)
	}
	if !c.Lineage.Derived() {
		return dst
	}
	dst = append(dst, claimActor...)
	actors := c.actors()
	for i, actor := range actors {
		dst = append(append(append(dst, memberActor...), actor.String()...), '"')
		if i < len(actors)-1 {
			dst = append(dst, claimActor...)
		}
	}
	for range actors {
		dst = append(dst, '}')
	}
	dst = append(dst, claimAncestors...)
	for i := range c.Lineage.Ancestors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendAncestor(dst, &c.Lineage.Ancestors[i])
	}
	return append(dst, ']')
}

func (c *Claims) actors() []auth.ClientID {
	t := auth.Token{Client: c.Client, Lineage: c.Lineage}
	return t.Actors()
}

func appendAncestor(dst []byte, a *auth.Ancestor) []byte {
	dst = append(append(dst, ancestorID...), a.ID.String()...)
	dst = append(append(dst, ancestorClient...), a.Client.String()...)
	dst = append(append(dst, ancestorAudience...), a.Audience...)
	dst = strconv.AppendUint(append(dst, ancestorRevision...), a.Revision, 10)
	if a.Credential != (auth.SecretID{}) {
		dst = append(append(append(dst, ancestorSecret...), a.Credential.String()...), '"')
	}
	if a.Key != (auth.KeyID{}) {
		dst = append(append(append(dst, ancestorKey...), a.Key.String()...), '"')
	}
	return append(dst, '}')
}

func (s *scanner) confirmation() (c auth.Confirmation) {
	if !s.next(claimConfirmation) {
		return c
	}
	bound := s.next(memberJWK)
	if bound {
		c.JWK = s.hash()
	}
	if bound && s.next(",") || !bound {
		s.literal(memberCertificate)
		c.Certificate = s.hash()
	}
	s.literal("}")
	return c
}

// hash takes a hash and the quote behind it. One of zeros is how a lack is written, and never signed.
func (s *scanner) hash() [32]byte {
	hash, ok := auth.ParseHash(s.text())
	s.literal(`"`)
	s.failed = s.failed || !ok || hash == [32]byte{}
	return hash
}

func (s *scanner) client(text string) auth.ClientID {
	id, err := auth.ParseClientID(text)
	s.failed = s.failed || err != nil
	return id
}

// lineage takes what appendLineage wrote. The actors have to be those that the ancestors make.
func (s *scanner) lineage(c *Claims) {
	if s.next(claimMayAct) {
		c.Lineage.MayAct = s.client(s.text())
		s.literal(`"}`)
	}
	if !s.next(claimActor) {
		return
	}
	var actors []auth.ClientID
	for more := true; more && !s.failed && len(actors) < auth.MaxAncestors; more = s.next(claimActor) {
		s.literal(memberActor)
		actors = append(actors, s.client(s.text()))
		s.literal(`"`)
	}
	for range actors {
		s.literal("}")
	}
	s.literal(claimAncestors)
	for more := true; more && !s.failed && len(c.Lineage.Ancestors) < auth.MaxAncestors; more = s.next(",") {
		c.Lineage.Ancestors = append(c.Lineage.Ancestors, s.ancestor())
	}
	s.literal("]")
	want := c.actors()
	s.failed = s.failed || len(want) != len(actors)
	for i := range actors {
		s.failed = s.failed || actors[i] != want[i]
	}
}

func (s *scanner) ancestor() (a auth.Ancestor) {
	s.literal(ancestorID)
	id, err := auth.ParseTokenID(s.text())
	a.ID, s.failed = id, s.failed || err != nil
	s.literal(ancestorClient)
	a.Client = s.client(s.text())
	s.literal(ancestorAudience)
	a.Audience = s.text()
	s.literal(ancestorRevision)
	a.Revision = s.number()
	if s.next(ancestorSecret) {
		a.Credential, err = auth.ParseSecretID(s.text())
		s.failed = s.failed || err != nil
		s.literal(`"`)
	}
	if s.next(ancestorKey) {
		a.Key, err = auth.ParseKeyID(s.text())
		s.failed = s.failed || err != nil
		s.literal(`"`)
	}
	s.literal("}")
	return a
}

// signable reports whether Verify will take what the claims say of where the token comes from.
func (c *Claims) signable() bool {
	for _, a := range c.Lineage.Ancestors {
		if a.Audience == "" || !plain(a.Audience) {
			return false
		}
	}
	return len(c.Lineage.Ancestors) <= auth.MaxAncestors && c.consistent()
}

// consistent reports whether the subject is what it is in a token of ours: the client, or that of the first ancestor.
func (c *Claims) consistent() bool {
	ancestors := c.Lineage.Ancestors
	if len(ancestors) == 0 {
		return c.Lineage.Subject == auth.ClientID{}
	}
	subject := c.Lineage.Subject
	if subject == (auth.ClientID{}) {
		subject = c.Client
	}
	return subject == ancestors[len(ancestors)-1].Client
}
