package sdk

import (
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// found is a token as somebody vouches for it: a signature, the token store, or the server. It says nothing about revocations, nor
// about whom the token is for. It does not change.
type found struct {
	identity *Identity
	// subject is what revocations are compared with. Its Revision is up to where they were considered already.
	subject   revocation.Subject
	notBefore time.Time // nbf, the zero time if there is none
	// fresh is for how long the answer to an introspection may be used where there is no feed; 0: it does not say.
	fresh time.Duration
	// live: the server itself said so just now, so nothing that was known of the token sooner counts against its word.
	live bool
}

// refused tells why the token is good for nothing now, whoever asks; nil: it is not. A leeway makes up for clocks that differ.
//
// Whether its bearer has what it is bound to is another question, which is asked for each request ([Verifier.prove]).
func (f *found) refused(now time.Time, leeway time.Duration) error {
	switch i := f.identity; {
	case i.expires.IsZero() || !now.Before(i.expires.Add(leeway)):
		return invalidToken("the token has expired")
	case !f.notBefore.IsZero() && now.Add(leeway).Before(f.notBefore):
		return invalidToken("the token is not valid yet")
	case !i.issued.IsZero() && now.Add(leeway).Before(i.issued):
		return invalidToken("the token was issued in the future")
	case i.bound != nil && i.bound.unknown:
		return invalidToken("the token is bound to something that cannot be checked here")
	}
	return nil
}

// invalidToken returns an ErrInvalidToken with this detail.
func invalidToken(detail string) error {
	return &VerifyError{Kind: ErrInvalidToken, Detail: detail}
}
