package sqlstore

import (
	"encoding/json"
	"fmt"

	"github.com/countersign/countersign/server/auth"
)

// confirmationColumn is the column of what a token is bound to, nil for a bearer token.
func confirmationColumn(c *auth.Confirmation) any {
	if !c.Bound() {
		return nil
	}
	return append(append(make([]byte, 0, len(c.JWK)+len(c.Certificate)), c.JWK[:]...), c.Certificate[:]...)
}

// confirmation scans it.
type confirmation struct{ into *auth.Confirmation }

// Scan implements sql.Scanner.
func (c confirmation) Scan(value any) error {
	var both [len(c.into.JWK) + len(c.into.Certificate)]byte
	if err := fixed(both[:]).Scan(value); err != nil {
		return err
	}
	copy(c.into.JWK[:], both[:])
	copy(c.into.Certificate[:], both[len(c.into.JWK):])
	return nil
}

// family is the JSON of a lineage.
type family struct {
	Subject   auth.ClientID `json:"sub,omitzero"`
	MayAct    auth.ClientID `json:"may_act,omitzero"`
	Ancestors []ancestor    `json:"anc,omitempty"`
}

type ancestor struct {
	ID         auth.TokenID  `json:"jti"`
	Client     auth.ClientID `json:"client"`
	Audience   string        `json:"aud"`
	Revision   uint64        `json:"rev"`
	Credential auth.SecretID `json:"sec,omitzero"`
	Key        auth.KeyID    `json:"kid,omitzero"`
}

// lineageColumn is the column of where a token comes from, nil for one that its client asked for in its own name.
func lineageColumn(l *auth.Lineage) any {
	if l.Empty() {
		return nil
	}
	f := family{Subject: l.Subject, MayAct: l.MayAct}
	for _, a := range l.Ancestors {
		f.Ancestors = append(f.Ancestors, ancestor(a))
	}
	text, _ := json.Marshal(f) // ids and an audience: cannot fail
	return string(text)
}

// lineage scans it.
type lineage struct{ into *auth.Lineage }

// Scan implements sql.Scanner.
func (l lineage) Scan(value any) error {
	if value == nil {
		return nil
	}
	var f family
	if err := (asJSON{&f}).Scan(value); err != nil {
		return fmt.Errorf("lineage of a token: %w", err)
	}
	l.into.Subject, l.into.MayAct = f.Subject, f.MayAct
	for _, a := range f.Ancestors {
		l.into.Ancestors = append(l.into.Ancestors, auth.Ancestor(a))
	}
	return nil
}
