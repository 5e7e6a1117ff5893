package server

import (
	"slices"

	"github.com/countersign/countersign/server/auth"
)

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
