package server

import (
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/oauth"
)

// exchangeOf reads the parameters of RFC 8693 §2.1 that no other grant has; nil: it is another grant.
func exchangeOf(f form) *oauth.Exchange {
	if f.value("grant_type") != oauth.GrantTokenExchange {
		return nil
	}
	return &oauth.Exchange{
		Audience:     f.values("audience"),
		SubjectToken: f.value("subject_token"), SubjectTokenType: f.value("subject_token_type"),
		ActorToken: f.value("actor_token"), ActorTokenType: f.value("actor_token_type"),
		RequestedTokenType: f.value("requested_token_type"),
	}
}

// exchanged counts an exchange that ended so; other requests it passes over.
func (m *metrics) exchanged(f form, err error) {
	if f.value("grant_type") != oauth.GrantTokenExchange {
		return
	}
	outcome := "ok"
	if err != nil {
		outcome = string(fault.From(err).Code)
	}
	m.exchanges.WithLabelValues(outcome).Inc()
}
