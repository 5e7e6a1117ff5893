package auth

// MaxAncestors bounds how often a token may be exchanged, one after the other.
const MaxAncestors = 5

// Ancestor is a token from which another was made by exchange (RFC 8693). What takes it back takes back what was made from it.
type Ancestor struct {
	ID         TokenID
	Client     ClientID
	Audience   string // identifier of its API
	Revision   uint64
	Credential SecretID // zero: none
	Key        KeyID    // that signed it; zero: it is opaque
}

// Lineage is where a token comes from. The zero Lineage is that of a token which its client asked for in its own name.
type Lineage struct {
	// Subject is on whose behalf the token's client calls (`sub`): the client of the first token. Zero: the client itself.
	Subject ClientID
	// MayAct is the only client that may exchange the token (`may_act`, RFC 8693 §4.4); zero: whoever has a grant for it.
	MayAct ClientID
	// Ancestors are the tokens that it was made from, the nearest first, at most MaxAncestors.
	Ancestors []Ancestor
}

// Derived reports whether the token was made from another.
func (l *Lineage) Derived() bool { return len(l.Ancestors) > 0 }

// Empty reports whether there is nothing to say of where the token comes from.
func (l *Lineage) Empty() bool {
	return l.Subject == ClientID{} && l.MayAct == ClientID{} && !l.Derived()
}

// Actors returns who acts for the subject (`act`, RFC 8693 §4.1), the current actor first: the token's client, and those through whose hands
// it came, but not the subject.
func (t *Token) Actors() []ClientID {
	if !t.Lineage.Derived() {
		return nil
	}
	actors := []ClientID{t.Client}
	for _, a := range t.Lineage.Ancestors[:len(t.Lineage.Ancestors)-1] {
		actors = append(actors, a.Client)
	}
	return actors
}

// Subject returns on whose behalf the token's client calls: itself, unless the token was made by exchange.
func (t *Token) Subject() ClientID {
	if t.Lineage.Subject == (ClientID{}) {
		return t.Client
	}
	return t.Lineage.Subject
}
