package sdk

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/countersign/countersign/sdk/internal/reload"
)

const (
	assertionSPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
	methodSPIFFE    = "spiffe_jwt"
	// assertionLimit is how many bytes an assertion may have.
	assertionLimit = 16 << 10
)

// AssertionFile authenticates by the JWT in a file that somebody else renews (workload identity federation, RFC 7523 §2.2), such as the projected
// token of a Kubernetes service account. The server trusts its issuer, and has a rule by which it is this client. The file is read again when it
// has changed; while it cannot be used, the last good content is.
func AssertionFile(path string) ClientAuth { return newAssertionFile(path, assertionJWT) }

// SPIFFEFile is as [AssertionFile], of a JWT-SVID in a file, as spiffe-helper writes it (draft-ietf-oauth-spiffe-client-auth-02).
func SPIFFEFile(path string) ClientAuth { return newAssertionFile(path, assertionSPIFFE) }

// AssertionFunc authenticates by the JWT that get returns for this audience, the issuer identifier of the server: as GitHub Actions and cloud
// providers mint them. get is called for every attempt, by any number of goroutines. Its error is told to callers, and must not hold what is
// secret; it counts as one that passes.
func AssertionFunc(get func(ctx context.Context, audience string) (string, error)) ClientAuth {
	return newAssertionFunc(get, assertionJWT)
}

// SPIFFEFunc is as [AssertionFunc], of a JWT-SVID, as the SPIFFE Workload API mints them (draft-ietf-oauth-spiffe-client-auth-02).
func SPIFFEFunc(get func(ctx context.Context, audience string) (string, error)) ClientAuth {
	return newAssertionFunc(get, assertionSPIFFE)
}

type assertion struct {
	hidden

	kind  string // client_assertion_type
	check func() error
	get   func(ctx context.Context, audience string, log *slog.Logger) (string, error)
}

func newAssertionFile(path, kind string) *assertion {
	file := reload.New("client assertion", assertionLimit, func(texts [][]byte) (func() string, error) {
		text := strings.TrimSpace(string(texts[0]))
		return func() string { return text }, checkAssertion(text) // inside a function nothing that prints finds it
	}, path)
	return &assertion{
		kind:  kind,
		check: func() error { return checkPath("client assertion", path) },
		get: func(ctx context.Context, _ string, log *slog.Logger) (string, error) {
			text, err := file.Value(ctx, log)
			if err != nil {
				return "", local(err)
			}
			return text(), nil
		},
	}
}

func newAssertionFunc(get func(context.Context, string) (string, error), kind string) *assertion {
	return &assertion{
		kind: kind,
		check: func() error {
			if get == nil {
				return errors.New("the function that returns client assertions is nil")
			}
			return nil
		},
		get: func(ctx context.Context, audience string, _ *slog.Logger) (string, error) {
			text, err := get(ctx, audience)
			if err != nil {
				return "", err
			}
			return text, checkAssertion(text)
		},
	}
}

// checkAssertion tells whether a text can be a JWT: what is wrong with it beyond that, the server says.
func checkAssertion(text string) error {
	switch {
	case text == "":
		return errors.New("the client assertion is empty")
	case len(text) > assertionLimit:
		return errors.New("the client assertion is longer than 16 KiB")
	case strings.Count(text, ".") != 2 || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }):
		return errors.New("the client assertion is no JWT")
	}
	return nil
}

func (a *assertion) validate() error         { return a.check() }
func (a *assertion) needsBody([]string) bool { return true }
func (a *assertion) asserts()                {}

// Authenticate implements ClientAuth.
func (a *assertion) Authenticate(ctx context.Context, r *AuthRequest) error {
	methods := []string{methodPrivateKey}
	if a.kind == assertionSPIFFE {
		methods = []string{methodSPIFFE, methodPrivateKey} // the draft's own, and what it is a profile of
	}
	if err := r.supports(methods...); err != nil {
		return local(err)
	}
	if r.Form == nil {
		return local(errNoForm)
	}
	text, err := a.get(ctx, r.Issuer, r.logger())
	if err != nil {
		return err
	}
	r.assert(a.kind, text)
	return nil
}
