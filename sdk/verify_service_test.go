package sdk_test

import (
	"errors"
	"testing"

	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/sdk/sdktest"
)

// api is the audience that verifiers in tests are for.
const api = "https://api.test"

// service is a service that verifies tokens of an issuer.
type service struct {
	*sdk.Verifier
	issuer *sdktest.Issuer
}

// newService returns a service whose verifier may ask its issuer. Both end with the test.
func newService(t testing.TB, opts ...sdk.VerifierOption) *service {
	t.Helper()
	return serviceOf(t, sdktest.New(), opts...)
}

func serviceOf(t testing.TB, issuer *sdktest.Issuer, opts ...sdk.VerifierOption) *service {
	t.Helper()
	opts = append([]sdk.VerifierOption{
		sdk.WithHTTPClient(issuer.Client()), sdk.WithCredentials(issuer.ClientID(), sdk.Secret(issuer.ClientSecret())),
	}, opts...)
	v, err := sdk.NewVerifier(issuer.URL(), api, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = v.Close()
		issuer.Close()
	})
	return &service{Verifier: v, issuer: issuer}
}

// outcome names what became of a token: "ok" or the kind of the error.
func outcome(err error) string {
	for name, kind := range map[string]error{
		"401": sdk.ErrInvalidToken, "403": sdk.ErrInsufficientScope, "503": sdk.ErrUnavailable,
	} {
		if errors.Is(err, kind) {
			return name
		}
	}
	if err != nil {
		return err.Error()
	}
	return "ok"
}
