package auth

import (
	"errors"
	"slices"

	"github.com/countersign/countersign/internal/fault"
)

// Why a client was not authenticated, or sent away. It is for the log of failures and for metrics.
const (
	UnknownClient  = "unknown_client"  // the id names no client
	DisabledClient = "disabled_client" // whatever the secret was
	WrongSecret    = "wrong_secret"    // a value that no secret of the client has; an imported secret that expired or is disabled counts as none
	ExpiredSecret  = "expired_secret"
	DisabledSecret = "disabled_secret"
	WrongMethod    = "wrong_method"  // the right secret, sent in another way than the registered one
	Malformed      = "malformed"     // nothing that can be a secret of the client, or no readable credentials at all
	BadToken       = "invalid_token" // an access token that does not let its bearer in
	TooMany        = "too_many"      // not looked at, since there were too many failures

	BadAssertion      = "bad_assertion"      // an assertion that is malformed, not the client's, or signed by none of its keys
	ExpiredAssertion  = "expired_assertion"  // or one that is not valid yet, or for too long
	WrongAudience     = "wrong_audience"     // an assertion that is not for this server alone
	ReplayedAssertion = "replayed_assertion" // one that was used before
	NoRuleMatches     = "no_rule_matches"    // a good token of a trusted issuer, of a workload that is not the client
	BadCertificate    = "bad_certificate"    // none, or one that is not the client's

	// Of a client that authenticated.
	OverBudget = "over_budget" // it asks for tokens in place of keeping them
	Scanning   = "scanning"    // it asks about too many tokens that are none
)

// Reasons returns every reason there is.
func Reasons() []string {
	return []string{
		UnknownClient, DisabledClient, WrongSecret, ExpiredSecret, DisabledSecret, WrongMethod, Malformed,
		BadAssertion, ExpiredAssertion, WrongAudience, ReplayedAssertion, NoRuleMatches, BadCertificate,
		BadToken, TooMany, OverBudget, Scanning,
	}
}

// Refusal is why a caller was refused. It is in the chain of its error, where the log finds it; it is no part of what the caller sees.
type Refusal struct {
	Client ClientID // zero unless the credentials named a client that exists: what they named else may be a secret, pasted by mistake
	Reason string   // one of Reasons
	// Detail says more of what is at fault, such as a claim, to who looks for it in the log. It holds nothing that was sent.
	Detail string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Reason }

// refuse says why to the log, and the same to every caller.
func refuse(record *ClientRecord, reason string) error {
	return fault.Wrap(fault.InvalidClient, notAuthenticated, refusal(record, reason))
}

func refusal(record *ClientRecord, reason string) *Refusal {
	r := &Refusal{Reason: reason}
	if record != nil {
		r.Client = record.Client.ID
	}
	return r
}

const notAuthenticated = "client authentication failed"

// errNotAuthenticated is for a client that had authenticated, and of which nothing is left.
func errNotAuthenticated() error { return fault.New(fault.InvalidClient, notAuthenticated) }

// RefuseReplay turns a *ReplayError about a proof by which the caller authenticated into a refusal. It returns other errors as they are.
func (c *Caller) RefuseReplay(err error) error {
	replay, ok := errors.AsType[*ReplayError](err)
	if !ok || !slices.ContainsFunc(c.Uses, func(u ProofUse) bool { return replay.Has(u.Key) }) {
		return err
	}
	return fault.Wrap(fault.InvalidClient, notAuthenticated, &Refusal{Client: c.Client.ID, Reason: ReplayedAssertion})
}
