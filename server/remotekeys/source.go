package remotekeys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/sdk/strictjson"
)

// Kind is what a source holds.
type Kind uint8

const (
	// Set is a JWK set, RFC 7517 §5.
	Set Kind = iota
	// Discovery is the identifier of an issuer, whose metadata (OpenID Connect Discovery 1.0 §4) names its JWK set.
	Discovery
	// Bundle is a SPIFFE trust bundle, of which the keys for JWT-SVIDs are taken (SPIFFE Trust Domain and Bundle §4).
	Bundle
)

// Source is where keys are to be had. It comes from who administers this server, never from what the keys have signed.
type Source struct {
	Kind   Kind
	URL    string // of the set or bundle; for Discovery the issuer's identifier
	Inline string // the set or bundle itself, instead of a URL
}

// LogValue implements slog.LogValuer: what a query may hold is left out.
func (s Source) LogValue() slog.Value {
	if s.URL == "" {
		return slog.StringValue("inline")
	}
	location, _, _ := strings.Cut(s.URL, "?")
	return slog.StringValue(location)
}

// leastHint is how often a trust bundle is asked for at most, whatever it says.
const leastHint = time.Minute

// answer is a set of keys that sign, and the document in which they came.
type answer struct {
	jwks.Answer
	document []byte
}

// fetch asks for the source's key set, and says for how long it is good.
func (s Source) fetch(ctx context.Context, client Client) (answer, error) {
	location := s.URL
	if s.Kind == Discovery {
		var err error
		if location, err = discover(ctx, client, s.URL); err != nil {
			return answer{}, err
		}
	}
	got, err := client.Get(ctx, location)
	if err != nil {
		return answer{}, fmt.Errorf("key set: %w", err)
	}
	set := answer{jwks.Answer{Body: got.Body, MaxAge: got.MaxAge}, got.Body}
	if s.Kind == Bundle {
		var hint time.Duration
		if set.Body, hint, err = jwtKeys(got.Body); err != nil {
			return answer{}, err
		}
		if hint > 0 {
			set.MaxAge = max(hint, leastHint)
		}
	}
	return set, nil
}

// discover returns the jwks_uri of an issuer, which has to call itself by the same identifier (§4.3).
func discover(ctx context.Context, client Client, issuer string) (string, error) {
	location := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	if strings.Contains(issuer, "?") {
		return "", errors.New("metadata: an issuer's identifier has no query")
	}
	answer, err := client.Get(ctx, location)
	if err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}
	var named, keys string
	err = strictjson.Object(answer.Body, func(name string, value strictjson.Value) (err error) {
		switch name {
		case "issuer":
			named, err = value.String()
		case "jwks_uri":
			keys, err = value.String()
		}
		return err
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("metadata: %w", err)
	case named != issuer:
		return "", errors.New("metadata: issuer is another one than the one that was asked")
	case keys == "":
		return "", errors.New("metadata: no jwks_uri")
	}
	return keys, nil
}
