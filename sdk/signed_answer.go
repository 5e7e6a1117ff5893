package sdk

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/sdk/strictjson"
)

const (
	plainAnswer  = "application/json"
	signedAnswer = "application/token-introspection+jwt"
)

// WithSignedIntrospection has the verifier ask for signed answers when it introspects (RFC 9701), and believe no others: whoever is
// between it and the issuer, such as a proxy that ends TLS, can then neither make a token good nor say that it is not active.
//
// An answer must be signed by a key that the issuer publishes, whatever [WithAlgorithms] says of tokens, and be of the issuer, for this
// client, and as recent as the question, give or take the leeway of [WithLeeway]. Any other is ErrUnavailable. RFC 9701 does not tie an
// answer to a question. The verifier compares what it knows: the jti of Countersign's opaque tokens, and of a JWT its jti, client, subject
// and issuer. So within the leeway an answer about another token can be put in the place of one only where it says inactive, or where the
// token is opaque and of another issuer than Countersign.
//
// An issuer that signs its answers names introspection_signing_alg_values_supported in its metadata, as Countersign does.
func WithSignedIntrospection() VerifierOption {
	return verifierOption(func(c *verifierConfig) error {
		c.signedAnswers = true
		return nil
	})
}

// signedAnswers opens the answers of one issuer to one client.
type signedAnswers struct {
	identifier, clientID string
	leeway               time.Duration
	key                  func(ctx context.Context, kid string, alg jose.Algorithm) (*jwks.Held, error)
}

// open returns the JSON that a signed answer is about. The caller judges it. That an answer is not to be believed is an error of no kind.
func (s *signedAnswers) open(ctx context.Context, answer *issuer.Answer) ([]byte, error) {
	media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil || media != signedAnswer {
		return nil, errors.New("the answer is not signed (RFC 9701), which WithSignedIntrospection asks for")
	}
	signed, err := jose.Parse(strings.TrimSpace(string(answer.Body)))
	if err != nil {
		return nil, fmt.Errorf("signed answer: %w", err)
	}
	var c answerClaims
	if err := strictjson.Object(signed.Payload, c.member); err != nil {
		return nil, fmt.Errorf("signed answer: %w", err)
	}
	if err := s.check(signed.Header, &c, answer.Began); err != nil {
		return nil, fmt.Errorf("signed answer: %w", err)
	}
	key, err := s.key(ctx, signed.Header.KeyID, signed.Header.Algorithm)
	if err == nil {
		err = signed.Verify(key.Key)
	}
	if err != nil {
		return nil, fmt.Errorf("signed answer: %w", err)
	}
	return c.introspection, nil
}

// answerClaims are those of a signed answer, RFC 9701 §5.
type answerClaims struct {
	issuer        string
	audience      []string
	issued        time.Time
	introspection []byte
}

func (c *answerClaims) member(name string, value strictjson.Value) (err error) {
	switch name {
	case "iss":
		c.issuer, err = value.String()
	case "aud":
		c.audience, err = value.Strings()
	case "iat":
		c.issued, err = jose.NumericDate(value)
	case "token_introspection":
		c.introspection = value.Raw()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// check tells whether the claims are those of an answer to this client, made after the question was asked at began.
func (s *signedAnswers) check(header jose.Header, c *answerClaims, began time.Time) error {
	const second = time.Second // that iat may leave out
	switch {
	case strings.TrimPrefix(strings.ToLower(header.Type), "application/") != "token-introspection+jwt":
		return errors.New("typ is not token-introspection+jwt")
	case c.issuer != s.identifier:
		return errors.New("iss is another issuer")
	case !slices.Contains(c.audience, s.clientID):
		return errors.New("aud is not this client")
	case c.issued.Before(began.Add(-s.leeway - second)):
		return errors.New("iat is before the question")
	case c.issued.After(time.Now().Add(s.leeway)):
		return errors.New("iat is in the future")
	case c.introspection == nil:
		return errors.New("it has no token_introspection")
	}
	return nil
}
