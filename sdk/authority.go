package sdk

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

// answerLimit is how many bytes an answer may have that is about one token.
const answerLimit = 64 << 10

// errNoCredentials: what was asked needs credentials, and there are none.
var errNoCredentials = fmt.Errorf("%w were given", ErrCredentials)

// authority is the authorization server, asked in the name of one client.
type authority struct {
	server     *issuer.Issuer
	identifier string
	clientID   string
	auth       ClientAuth     // nil: the client has no credentials
	mutual     bool           // it shows a certificate
	signed     *signedAnswers // nil: answers to introspection are plain
	own        *ownToken      // nil: it asks by its credentials alone
	log        *slog.Logger
}

// newAuthority does no I/O. auth may be nil: then only what is public can be asked.
func newAuthority(identifier, clientID string, auth ClientAuth, c common) (*authority, error) {
	if auth != nil && clientID == "" {
		return nil, errors.New("the client id is empty")
	}
	if known, ok := auth.(interface{ validate() error }); ok {
		if err := known.validate(); err != nil {
			return nil, err
		}
	}
	server, err := issuer.New(issuer.Config{
		Identifier: identifier, Addresses: c.addresses, HTTP: c.http, Timeout: c.timeout, Log: c.log, Certificate: certificateOf(auth, c.log),
		Trace: func(ctx context.Context, operation string) (context.Context, func(string, error)) {
			ctx, end := c.tracer.Start(ctx, operation)
			return ctx, func(result string, err error) { end(Outcome{Result: result, Err: err}) }
		},
	})
	if err != nil {
		return nil, err
	}
	_, mutual := auth.(*Certificate)
	a := &authority{server: server, identifier: identifier, clientID: clientID, auth: auth, mutual: mutual, log: c.log}
	a.own = newOwnToken(a)
	return a, nil
}

// certificateOf returns what the certificate of these credentials comes from, nil if they have none.
func certificateOf(auth ClientAuth, log *slog.Logger) func(context.Context) (*tls.Certificate, error) {
	own, ok := auth.(*Certificate)
	if !ok {
		return nil
	}
	return func(ctx context.Context) (*tls.Certificate, error) {
		certificate, err := own.current(ctx, log)
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrCredentials, err)
		}
		return certificate, err
	}
}

// close ends what goes on in the background, and waits for it.
func (a *authority) close() {
	a.own.close()
	a.server.Close()
}

func (a *authority) metadata(ctx context.Context) (*issuer.Metadata, error) {
	m, err := a.server.Metadata(ctx)
	if errors.Is(err, issuer.ErrClosed) {
		return nil, ErrClosed
	}
	if err == nil && a.mutual {
		m = m.MutualTLS()
	}
	return m, err
}

// introspect asks about a token, RFC 7662 §2.1. What the server answers, a refusal of the client included, is the caller's to judge.
func (a *authority) introspect(ctx context.Context, token string) (*issuer.Answer, error) {
	m, err := a.metadata(ctx)
	if err != nil {
		return nil, err
	}
	accept := plainAnswer
	if a.signed != nil {
		accept = signedAnswer
	}
	answer, err := a.own.use(ctx, m, func(own *Token) (*issuer.Answer, error) {
		return a.post(ctx, m.IntrospectionEndpoint, a.admission(own, accepted{m.IntrospectionMethods, m.IntrospectionAlgorithms}), issuer.Request{
			Operation: OperationIntrospect, Rounds: 2, Form: aboutToken(token), Header: http.Header{"Accept": {accept}},
		})
	})
	if unknown := notKnown(errIntrospectionRefused, a.clientID, err); unknown != nil {
		err = unknown
	}
	return answer, err
}

// revoke takes a token of this client back, RFC 7009 §2.1. Errors are *TokenError.
func (a *authority) revoke(ctx context.Context, token string) error {
	m, err := a.metadata(ctx)
	if err != nil {
		return unanswered(err)
	}
	answer, err := a.post(ctx, m.RevocationEndpoint, a.credentials(accepted{m.RevocationMethods, m.RevocationAlgorithms}), issuer.Request{
		Operation: OperationRevoke, Rounds: 2, Form: aboutToken(token),
	})
	if err != nil {
		return unanswered(err)
	}
	if answer.Status != http.StatusOK {
		return refused(answer)
	}
	return nil
}

func aboutToken(token string) url.Values {
	return url.Values{"token": {token}, "token_type_hint": {"access_token"}}
}

// accepted is by what an endpoint has clients authenticate.
type accepted struct{ methods, algorithms []string }

// prepare adds to a request what proves something.
type prepare = func(context.Context, http.Header, url.Values) error

// post sends a form to an endpoint in the client's name, which admission proves.
func (a *authority) post(ctx context.Context, endpoint string, admission prepare, r issuer.Request) (*issuer.Answer, error) {
	if a.auth == nil {
		return nil, errNoCredentials
	}
	if endpoint == "" {
		return nil, fmt.Errorf("the metadata of %s names no endpoint for %s", a.identifier, r.Operation)
	}
	r.Method, r.URL, r.Limit = http.MethodPost, endpoint, answerLimit
	if r.Header == nil {
		r.Header = http.Header{"Accept": {plainAnswer}}
	}
	r.Prepare = both(admission, r.Prepare)
	return a.server.Do(ctx, r)
}

// both returns what does one after the other; second may be nil.
func both(first, second prepare) prepare {
	if second == nil {
		return first
	}
	return func(ctx context.Context, h http.Header, form url.Values) error {
		if err := first(ctx, h, form); err != nil {
			return err
		}
		return second(ctx, h, form)
	}
}

// credentials returns what adds the client's credentials to a request.
func (a *authority) credentials(by accepted) prepare {
	return func(ctx context.Context, h http.Header, form url.Values) error {
		err := a.auth.Authenticate(ctx, &AuthRequest{
			Issuer: a.identifier, ClientID: a.clientID, Methods: by.methods, Algorithms: by.algorithms, Header: h, Form: form, log: a.log,
		})
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCredentials, err)
		}
		return nil
	}
}

// needsBody tells whether the client's credentials go into a body here.
func (a *authority) needsBody(methods []string) bool {
	known, ok := a.auth.(interface{ needsBody(methods []string) bool })
	return ok && known.needsBody(methods)
}
