package sdk_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
)

func TestOptionsOfBothSides(t *testing.T) {
	for _, tt := range []struct {
		name   string
		option sdk.Option
		want   string // in the error; empty: allowed
	}{
		{"no client", sdk.WithHTTPClient(nil), "WithHTTPClient: the client is nil"},
		{"no logger", sdk.WithLogger(nil), "WithLogger: the logger is nil"},
		{"no tracer", sdk.WithTracer(nil), "WithTracer: the tracer is nil"},
		{"no address", sdk.WithAddresses(), "WithAddresses: at least one"},
		{"address in the open", sdk.WithAddresses("https://10.0.0.1", "http://10.0.0.2"), `WithAddresses: "http://10.0.0.2": must use https`},
		{"address with a path", sdk.WithAddresses("https://10.0.0.1/x"), "without a path"},
		{"addresses", sdk.WithAddresses("https://10.0.0.1", "http://127.0.0.1:8080"), ""},
		{"too short", sdk.WithTimeout(99 * time.Millisecond), "WithTimeout: 99ms is not within 100ms and 1m"},
		{"too long", sdk.WithTimeout(61 * time.Second), "WithTimeout: 1m1s"},
		{"shortest", sdk.WithTimeout(100 * time.Millisecond), ""},
		{"longest", sdk.WithTimeout(time.Minute), ""},
		{"client", sdk.WithHTTPClient(&http.Client{}), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sdk.NewAuthority("https://auth.example", testClient, sdk.Secret(testSecret), tt.option)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWhatANewAuthorityRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, issuer, client string
		auth                 sdk.ClientAuth
		want                 string
	}{
		{"issuer in the open", "http://auth.example", testClient, sdk.Secret(testSecret), "must use https"},
		{"no client id", "https://auth.example", "", sdk.Secret(testSecret), "client id is empty"},
		{"no secret", "https://auth.example", testClient, sdk.Secret(""), "client secret is empty"},
		{"cut secret", "https://auth.example", testClient, sdk.Secret(testSecret[:58]), "checksum is wrong"},
		{"no path", "https://auth.example", testClient, sdk.SecretFile(""), "path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := sdk.NewAuthority(tt.issuer, tt.client, tt.auth)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
