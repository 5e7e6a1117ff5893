package server

import (
	"slices"

	"github.com/countersign/countersign/server/auth"
)

// ties are what an introspection answer says of a token that is bound, or was made from others.
type ties struct {
	// Confirmation is what the token is bound to (RFC 7800), Actor who acts for the subject, MayAct who may exchange it (RFC 8693 §4).
	Confirmation *confirmation `json:"cnf,omitempty"`
	Actor        *actorClaim   `json:"act,omitempty"`
	MayAct       *actorClaim   `json:"may_act,omitempty"`
	// Ancestors are the tokens that it was made from, which take it with them.
	Ancestors []ancestor `json:"cs_anc,omitempty"`
}

func tiesOf(t *auth.Token) ties {
	return ties{Confirmation: confirmationOf(t), Actor: actorsOf(t), MayAct: mayActOf(t), Ancestors: ancestorsOf(t)}
}

// confirmation is `cnf`: RFC 7800 §3.1 with the members of RFC 9449 §6.1 and RFC 8705 §3.1.
type confirmation struct {
	JWK         string `json:"jkt,omitempty"`
	Certificate string `json:"x5t#S256,omitempty"`
}

// actorClaim is `act` and `may_act` of RFC 8693 §4.
type actorClaim struct {
	Subject string      `json:"sub"`
	Actor   *actorClaim `json:"act,omitempty"`
}

// ancestor is a token from which the one that was asked about was made.
type ancestor struct {
	ID         string `json:"jti"`
	Client     string `json:"client_id"`
	Audience   string `json:"aud"`
	Revision   uint64 `json:"cs_rev"`
	Credential string `json:"cs_sec,omitempty"`
	Key        string `json:"kid,omitempty"`
}

func confirmationOf(t *auth.Token) *confirmation {
	if !t.Confirmation.Bound() {
		return nil
	}
	return &confirmation{t.Confirmation.JWKText(), t.Confirmation.CertificateText()}
}

func actorsOf(t *auth.Token) (outermost *actorClaim) {
	for _, actor := range slices.Backward(t.Actors()) {
		outermost = &actorClaim{actor.String(), outermost}
	}
	return outermost
}

func mayActOf(t *auth.Token) *actorClaim {
	if t.Lineage.MayAct == (auth.ClientID{}) {
		return nil
	}
	return &actorClaim{Subject: t.Lineage.MayAct.String()}
}

func ancestorsOf(t *auth.Token) (all []ancestor) {
	for _, a := range t.Lineage.Ancestors {
		one := ancestor{ID: a.ID.String(), Client: a.Client.String(), Audience: a.Audience, Revision: a.Revision}
		if a.Credential != (auth.SecretID{}) {
			one.Credential = a.Credential.String()
		}
		if a.Key != (auth.KeyID{}) {
			one.Key = a.Key.String()
		}
		all = append(all, one)
	}
	return all
}
