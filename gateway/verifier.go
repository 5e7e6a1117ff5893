package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/telemetry"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdkotel"
	"github.com/countersign/countersign/sdk/sdkredis"
)

// memberError says at which member of an issuer a mistake is.
type memberError struct {
	name string
	error
}

// open makes a verifier and, if there are credentials, a client. It does no I/O beyond reading files until they are used.
func (i Issuer) open(audience string, shared *proofs, log *slog.Logger, tracing *telemetry.Tracing) (issuer, error) {
	opts := []sdk.VerifierOption{
		sdk.WithBound(i.Bound), sdk.WithGrace(i.Grace), sdk.WithLeeway(i.Leeway), sdk.WithKeysMaxAge(i.KeysMaxAge), sdk.WithCacheSize(i.CacheSize),
	}
	auth, err := i.credentials()
	if err != nil {
		return issuer{}, err
	}
	if auth != nil {
		opts = append(opts, sdk.WithCredentials(i.ClientID, auth))
	}
	both, err := i.common(log, tracing)
	if err != nil {
		return issuer{}, err
	}
	for _, o := range both {
		opts = append(opts, o)
	}
	if len(i.Algorithms) > 0 {
		opts = append(opts, sdk.WithAlgorithms(i.Algorithms...))
	}
	if i.StateFile != "" {
		opts = append(opts, sdk.WithStateFile(i.StateFile))
	}
	if i.Revocation == "none" {
		opts = append(opts, sdk.WithoutRevocation())
	}
	if i.Signed {
		opts = append(opts, sdk.WithSignedIntrospection())
	}
	if i.LegacyTokens {
		opts = append(opts, sdk.WithLegacyTokens())
	}
	if i.Constrained == boundRequired {
		opts = append(opts, sdk.WithBoundTokensOnly())
	}
	opts = append(opts, shared.options()...)
	made := issuer{settings: i, proofs: shared}
	if auth != nil {
		if made.client, err = i.exchanger(auth, both); err != nil {
			return issuer{}, err
		}
	}
	if i.TokenStore != nil {
		store, more, err := i.TokenStore.open()
		if err != nil {
			return issuer{}, &memberError{"token_store", err}
		}
		made.store, opts = store, append(opts, more...)
	}
	if made.verifier, err = sdk.NewVerifier(i.URL, audience, opts...); err != nil {
		if made.store != nil {
			err = errors.Join(err, made.store.Close())
		}
		return issuer{}, err
	}
	return made, nil
}

// common are the options by which verifier and client ask the issuer.
func (i Issuer) common(log *slog.Logger, tracing *telemetry.Tracing) ([]sdk.Option, error) {
	opts := []sdk.Option{sdk.WithLogger(log), sdk.WithTimeout(i.Timeout)}
	if i.CA != "" || tracing.On() {
		client, err := i.client()
		if err != nil {
			return nil, err
		}
		client.Transport = tracing.Transport(client.Transport)
		opts = append(opts, sdk.WithHTTPClient(client))
	}
	if tracing.On() {
		opts = append(opts, sdk.WithTracer(asking{sdkotel.Tracer(tracing.Provider())}))
	}
	if len(i.Addresses) > 0 {
		opts = append(opts, sdk.WithAddresses(i.Addresses...))
	}
	return opts, nil
}

// exchanger is as whom the gateway exchanges tokens. Those whom it serves wait no longer than for one request to the issuer.
func (i Issuer) exchanger(auth sdk.ClientAuth, both []sdk.Option) (*sdk.Client, error) {
	const most = 1 << 20
	opts := []sdk.ClientOption{sdk.WithMaxWait(i.Timeout), sdk.WithExchangeCache(min(i.CacheSize, most))}
	for _, o := range both {
		opts = append(opts, o)
	}
	return sdk.New(i.URL, i.ClientID, auth, opts...) //nolint:wrapcheck // as the verifier's, which says the same
}

// open connects to the token store, and says for which APIs it is asked.
func (s *TokenStore) open() (*sdkredis.Store, []sdk.VerifierOption, error) {
	address, err := secretOf("redis", s.Redis, s.RedisFile)
	if err != nil {
		return nil, nil, err
	}
	if address == "" {
		return nil, nil, errors.New("redis_file is missing")
	}
	store, err := sdkredis.Open(address)
	if err != nil {
		return nil, nil, fmt.Errorf("redis: %w", err)
	}
	var opts []sdk.VerifierOption
	for audience, id := range s.APIs {
		opts = append(opts, sdk.WithTokenStoreFor(audience, store, id))
	}
	return store, opts, nil
}

// secretOf returns the value of a member that may be given as a file.
func secretOf(name, value, file string) (string, error) {
	if file == "" {
		return value, nil
	}
	if value != "" {
		return "", fmt.Errorf("%s and %s_file are both set: allowed is one of them", name, name)
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", name, err)
	}
	return strings.TrimSpace(string(text)), nil
}

// credentials are by what the issuer is asked; nil: there are none. Their files are read again whenever they change.
func (i Issuer) credentials() (sdk.ClientAuth, error) {
	var given string
	for _, one := range []struct{ name, value string }{
		{"client_secret", i.ClientSecret}, {"client_secret_file", i.SecretFile}, {"client_key_file", i.KeyFile}, {"client_assertion_file", i.Assertion},
	} {
		switch {
		case one.value == "":
		case given != "":
			return nil, &memberError{given, fmt.Errorf("%s is set too: allowed is one of them", one.name)}
		default:
			given = one.name
		}
	}
	switch {
	case i.ClientID == "" && given != "":
		return nil, &memberError{"client_id", fmt.Errorf("is missing, whose %s is set", given)}
	case i.ClientSecret != "":
		return sdk.Secret(i.ClientSecret), nil
	case i.SecretFile != "":
		return sdk.SecretFile(i.SecretFile), readable(given, i.SecretFile)
	case i.KeyFile != "":
		return sdk.PrivateKeyFile(i.KeyFile), readable(given, i.KeyFile)
	case i.Assertion != "":
		return sdk.AssertionFile(i.Assertion), readable(given, i.Assertion)
	case i.ClientID != "":
		return nil, &memberError{"client_secret_file", errors.New("is missing, the secret of client_id; or client_key_file or client_assertion_file")}
	}
	return nil, nil //nolint:nilnil // that is what it says
}

// readable refuses a file that cannot be read.
func readable(member, path string) error {
	if _, err := os.ReadFile(path); err != nil { //nolint:gosec // the operator names it
		return &memberError{member, err}
	}
	return nil
}

// client is as the SDK's own, and trusts the issuer's own certificate authority if it has one.
func (i Issuer) client() (*http.Client, error) {
	base, _ := http.DefaultTransport.(*http.Transport)
	transport := base.Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 256, 64 // introspections come in bursts
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	// Without pings a connection that was cut silently would fail every request until the system gives it up, minutes later.
	transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 3 * time.Second}
	if i.CA != "" {
		text, err := os.ReadFile(i.CA)
		if err != nil {
			return nil, &memberError{"ca", err}
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return nil, &memberError{"ca", fmt.Errorf("%s holds no certificate in PEM", i.CA)}
		}
		transport.TLSClientConfig.RootCAs = roots
	}
	return &http.Client{Transport: transport}, nil
}
