package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
	"github.com/countersign/countersign/sdk/internal/revocation"
	"github.com/countersign/countersign/sdk/strictjson"
)

// errInactive: the server says that the token is not active, which is all that it says (RFC 7662 §2.2): the token is expired, revoked,
// unknown, or none of the verifier's business.
var errInactive = invalidToken("the token is not active")

// errIntrospectionRefused: the server does not let this client introspect. It goes on until somebody changes the configuration, and the
// error says what.
var errIntrospectionRefused = errors.New("introspection is refused")

// introspection is an answer of RFC 7662 §2.2, read but not yet judged.
type introspection struct {
	claims

	active, said   bool // said: the answer has the member active
	tokenType, use string
	answerRevision uint64
	maxAge         time.Duration
	wrong          error
}

// lookUpIntrospection asks the server what the token is worth. That it is good for nothing, errInactive included, is ErrInvalidToken;
// any failure to learn it is ErrUnavailable. Audience and time of a token that is found are the caller's to judge.
func (a *authority) lookUpIntrospection(ctx context.Context, token string) (*found, error) {
	answer, err := a.introspect(ctx, token)
	if err == nil {
		err = introspectionRefusal(answer, a.clientID)
	}
	var body []byte
	if err == nil {
		body, err = a.answerOf(ctx, answer)
	}
	if err != nil {
		return nil, unavailable(fmt.Errorf("introspect: %w", err))
	}
	f, err := readIntrospection(body, a.identifier)
	if verdict := (*VerifyError)(nil); err != nil && !errors.As(err, &verdict) {
		return nil, unavailable(fmt.Errorf("read introspection answer: %w", err))
	}
	if err != nil {
		return nil, err
	}
	if age, said := answer.MaxAge(); f.fresh == 0 && said {
		f.fresh = max(age, time.Nanosecond)
	}
	if f.fresh != 0 {
		f.fresh = max(f.fresh-time.Since(answer.Began), time.Nanosecond) // 0 would mean that nothing was said
	}
	return f, nil
}

// answerOf returns the JSON of an answer.
func (a *authority) answerOf(ctx context.Context, answer *issuer.Answer) ([]byte, error) {
	if a.signed == nil {
		return answer.Body, nil
	}
	return a.signed.open(ctx, answer)
}

// unavailable is the error for a token of which nothing can be learned now.
func unavailable(err error) *VerifyError {
	e := &VerifyError{Kind: ErrUnavailable, Err: err}
	if failure := (*issuer.Failure)(nil); errors.As(err, &failure) {
		e.RetryAfter = failure.RetryAfter
	}
	return e
}

// introspectionRefusal says what to change where the server will not let the client introspect.
func introspectionRefusal(answer *issuer.Answer, clientID string) error {
	code, description := answer.Refusal()
	switch answer.Status {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: the server does not know client %q by these credentials (%s: %s); check the verifier's client id and secret",
			errIntrospectionRefused, clientID, code, description)
	case http.StatusForbidden:
		return fmt.Errorf("%w: client %q may not introspect (%s: %s); make it a server of the API whose tokens it verifies, "+
			"with Countersign by `countersign api serve API %s`", errIntrospectionRefused, clientID, code, description, clientID)
	}
	return fmt.Errorf("answered %d (%s: %s)", answer.Status, code, description)
}

// readIntrospection reads an answer of status 200. An error that is no *VerifyError says that the answer is none.
func readIntrospection(body []byte, identifier string) (*found, error) {
	i := introspection{claims: claims{raw: make(map[string]json.RawMessage, 16)}}
	if err := strictjson.Object(body, i.member); err != nil {
		return nil, err
	}
	switch {
	case !i.said:
		return nil, errors.New("it has no member active")
	case !i.active:
		return nil, errInactive
	case i.wrong != nil:
		return nil, i.wrong
	}
	if err := i.complete(identifier); err != nil {
		return nil, err
	}
	return &found{
		identity: &Identity{
			issuer: identifier, subject: i.subject, clientID: i.clientID, tokenID: i.tokenID, scopes: splitScope(i.scope),
			audience: i.audience, issued: i.issued, expires: i.expires, actors: i.actors, claims: i.raw, bound: i.bound,
		},
		subject: revocation.Subject{
			TokenID: i.tokenID, ClientID: i.clientID, Credential: i.credential, Audience: i.audience, Revision: i.answerRevision,
			Ancestors: upTo(i.answerRevision, i.ancestors),
		},
		notBefore: i.notBefore, fresh: i.maxAge, live: true,
	}, nil
}

// complete fills in what servers may leave out, and tells whether the answer is about an access token.
func (i *introspection) complete(identifier string) error {
	if i.expires.IsZero() {
		const end = 253402300799      // of the year 9999
		i.expires = time.Unix(end, 0) // exp is optional (RFC 7662 §2.2): the token lives until the server says otherwise
	}
	if i.clientID == "" {
		i.clientID = i.authorized
	}
	switch {
	case i.issuer != "" && i.issuer != identifier:
		return invalidToken("the token is of another issuer")
	case !oneOf(i.tokenType, "Bearer", "access_token", "DPoP") || !oneOf(i.use, "access_token", "access"):
		return invalidToken("the token is not an access token")
	case strings.EqualFold(i.tokenType, "DPoP") && !i.bound.boundToKey(): // RFC 9449 §6.2
		return invalidToken("the token is bound to a key, and the authorization server does not say to which")
	}
	return nil
}

// oneOf tells whether an optional member is absent or has one of these values.
func oneOf(text string, values ...string) bool {
	for _, value := range values {
		if strings.EqualFold(text, value) {
			return true
		}
	}
	return text == ""
}

// member reads one member. What is wrong with it counts only if the token is active. Those that are null are not there.
func (i *introspection) member(name string, value strictjson.Value) (err error) {
	if name == "active" {
		i.said = true
		i.active, err = value.Bool()
		return err
	}
	if value.Kind() == strictjson.Null {
		return nil
	}
	switch name {
	case "token_type":
		i.tokenType, err = value.String()
	case "token_use": // not registered, but what some servers tell refresh tokens by
		i.use, err = value.String()
	case "countersign_rev":
		i.answerRevision, err = revision(value)
	case "countersign_max_age_ms":
		i.maxAge, err = milliseconds(value)
	default:
		err = i.claims.member(name, value)
	}
	i.raw[name] = value.Raw()
	if err != nil && i.wrong == nil {
		i.wrong = fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// milliseconds reads for how long an answer holds: at least a nanosecond, since 0 would mean that it does not say, and at most a day.
func milliseconds(value strictjson.Value) (time.Duration, error) {
	n, err := value.Int()
	if err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, errRange
	}
	const day = 24 * time.Hour
	return max(time.Duration(min(n, day.Milliseconds()))*time.Millisecond, time.Nanosecond), nil
}
