package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/proof"
)

// strong is the flags by which a client authenticates without a secret, or has its token bound to a key.
type strong struct {
	keyFile, certificate, certificateKey, assertionFile, assertionType, dpopKey string
}

const (
	jwtBearer = "jwt-bearer"
	jwtSPIFFE = "jwt-spiffe"
)

func (f *strong) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.keyFile, "key-file", "", "`file` with the client's private key, PEM or JWK, in place of a secret (private_key_jwt)")
	flags.StringVar(&f.certificate, "client-cert", "", "`file` with the client's certificate, in place of a secret (mutual TLS)")
	flags.StringVar(&f.certificateKey, "client-key", "", "`file` with the private key of --client-cert")
	flags.StringVar(&f.assertionFile, "assertion-file", "", "`file` with a JWT of an issuer that the server trusts, in place of a secret")
	choiceFlag(cmd, &f.assertionType, "assertion-type", "`type` of that JWT: jwt-bearer (the default), or jwt-spiffe for a JWT-SVID", jwtBearer, jwtSPIFFE)
	flags.StringVar(&f.dpopKey, "dpop-key-file", "", "`file` with the private key, PEM or JWK, that the token is bound to (DPoP)")
}

// secretless tells whether a client authenticates by something else than a secret.
func secretless(flags *pflag.FlagSet) bool {
	return flags.Changed("key-file") || flags.Changed("client-cert") || flags.Changed("assertion-file")
}

// check tells which flags do not go together.
func (f *strong) check(cmd *cobra.Command) error {
	if secretless(cmd.Flags()) {
		if err := apart(cmd, "key-file", "client-cert", "assertion-file", "client-secret-file", "auth-method"); err != nil {
			return err
		}
	}
	switch {
	case given(cmd, "client-cert") != given(cmd, "client-key"):
		return usagef("--client-cert and --client-key go together")
	case given(cmd, "assertion-type") && !given(cmd, "assertion-file"):
		return usagef("--assertion-type goes with --assertion-file")
	}
	return nil
}

// given tells whether there is anything for the SDK to do.
func (f *strong) given(flags *pflag.FlagSet) bool {
	return secretless(flags) || flags.Changed("dpop-key-file")
}

// auth is by what the client authenticates.
func (f *strong) auth(at target) sdk.ClientAuth {
	switch {
	case f.keyFile != "":
		return sdk.PrivateKeyFile(f.keyFile)
	case f.certificate != "":
		return sdk.ClientCertificate(f.certificate, f.certificateKey)
	case f.assertionFile != "" && f.assertionType == jwtSPIFFE:
		return sdk.SPIFFEFile(f.assertionFile)
	case f.assertionFile != "":
		return sdk.AssertionFile(f.assertionFile)
	case at.method == post:
		return sdk.SecretPost(at.secret)
	}
	return sdk.Secret(at.secret)
}

// token gets a token by the SDK, which knows all of this. It returns what an answer of the token endpoint says, too.
func (f *strong) token(ctx context.Context, s *session, resource, scope string) (accessToken, []byte, error) {
	at := s.api.issuer.at
	if _, err := secureURL("issuer", at.issuer); err != nil {
		return accessToken{}, nil, UsageError{err}
	}
	opts := []sdk.ClientOption{sdk.WithLogger(slog.New(slog.DiscardHandler)), sdk.WithMaxWait(min(s.api.timeout, 5*time.Minute))}
	if f.dpopKey != "" {
		key, err := readKey(ctx, f.dpopKey)
		if err != nil {
			return accessToken{}, nil, err
		}
		opts = append(opts, sdk.WithDPoP(key))
	}
	client, err := sdk.New(at.issuer, at.clientID, f.auth(at), opts...)
	if err != nil {
		return accessToken{}, nil, UsageError{err}
	}
	defer func() { _ = client.Close() }() // there is nothing to wait for
	asked := time.Now()
	got, err := client.TokenSource(resource, strings.Fields(scope)...).Token(ctx)
	if err != nil {
		return accessToken{}, nil, s.api.issuer.without(err)
	}
	token := accessToken{
		Value: got.AccessToken(), Type: got.Type(), Expires: int64(got.Expires().Sub(asked).Seconds()), Scope: strings.Join(got.Scopes(), " "),
	}
	body, err := json.Marshal(token) //nolint:gosec // it is what was asked for
	return token, body, err
}

// readKey reads a private key from a file.
func readKey(ctx context.Context, path string) (*proof.Key, error) {
	key, err := proof.NewKeyFile(path, proof.KeyOptions{}).Key(ctx, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, UsageError{err}
	}
	return key, nil
}

// without is what the user reads where the SDK has no token.
func (i issuer) without(err error) error {
	refused, ok := errors.AsType[*sdk.TokenError](err)
	switch {
	case errors.Is(err, sdk.ErrCredentials):
		return UsageError{err}
	case ok && refused.Code != "":
		return i.refused(refused.Status, refused.Code, refused.Description)
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted")
	case errors.Is(err, sdk.ErrNotIssuer), ok && refused.Status == http.StatusOK:
		return &remoteError{what: fmt.Sprintf("the issuer %s gives no token", i.at.issuer), err: err}
	}
	return &remoteError{status: unreachable, what: fmt.Sprintf("the issuer %s gives no token", i.at.issuer), err: err}
}
