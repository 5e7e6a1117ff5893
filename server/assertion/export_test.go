package assertion

import (
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/remotekeys"
)

// Source returns where the keys of a trusted issuer are to be had.
func Source(issuer *auth.TrustedIssuer) remotekeys.Source { return source(issuer) }

// Matches tells whether claims match a rule.
func Matches(payload []byte, rule *auth.FederationRule) bool { return matches(payload, rule) }
