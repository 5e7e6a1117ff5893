package sdk_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk"
)

// authenticate returns the secret that auth sends in a form.
func authenticate(t *testing.T, auth sdk.ClientAuth, log *slog.Logger) (string, error) {
	t.Helper()
	r := &sdk.AuthRequest{ClientID: testClient, Header: http.Header{}, Form: url.Values{}}
	r.LogTo(log)
	err := auth.Authenticate(t.Context(), r)
	return r.Form.Get("client_secret"), err
}

func TestAttack37ASecretIsNotPrinted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(testSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, auth := range map[string]sdk.ClientAuth{
		"value": sdk.Secret(testSecret), "value, post": sdk.SecretPost(testSecret),
		"file": sdk.SecretFile(path), "file, post": sdk.SecretFilePost(path),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := authenticate(t, auth, nil); err != nil { // from here on a file's secret is in memory
				t.Fatal(err)
			}
			type hidden struct {
				auth sdk.ClientAuth
			}
			var out strings.Builder
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t", "%p"} {
				fmt.Fprintf(&out, verb, auth)
				fmt.Fprintf(&out, verb, hidden{auth})
				fmt.Fprintf(&out, verb, &hidden{auth})
				fmt.Fprintf(&out, verb, []any{auth, map[string]any{"auth": auth}})
			}
			for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))} {
				log.Info("x", "auth", auth, "in", hidden{auth}, "any", map[string]any{"auth": auth})
			}
			text, err := json.Marshal(map[string]any{"auth": auth})
			if err != nil || string(text) != `{"auth":"[redacted]"}` {
				t.Errorf("%s, %v", text, err)
			}
			printed := out.String() + string(text)
			for _, part := range []string{testSecret[10:], fmt.Sprintf("%x", testSecret[10:]), fmt.Sprintf("%X", testSecret[10:])} {
				if strings.Contains(printed, part) {
					t.Errorf("printed %s", printed)
				}
			}
			if fmt.Sprint(auth) != "[redacted]" {
				t.Errorf("printed %v", auth)
			}
		})
	}
}

func TestAttack37ASecretIsInNoErrorAndNoLog(t *testing.T) {
	echo := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			_, password, _ := r.BasicAuth()
			said, _ := json.Marshal(fmt.Sprint(r.Header.Get("Authorization"), " ", password, " ", r.Form))
			w.Header().Set("Location", "https://evil.example/"+password)
			answers(status, fmt.Sprintf(`{"error":"invalid_client","error_description":%s}`, said))(w, r)
		}
	}
	for _, status := range []int{200, 204, 302, 400, 401, 403, 404, 429, 500, 503} {
		for name, auth := range map[string]sdk.ClientAuth{"basic": sdk.Secret(testSecret), "post": sdk.SecretPost(testSecret)} {
			w := newWire(t, echo(status))
			a := w.authority(t, auth)
			_, asked := a.RequestToken(t.Context(), "")
			_, introspected := a.Introspect(t.Context(), "presented-token")
			_, _, polled := a.PollFeed(t.Context(), "")
			revoked := a.Revoke(t.Context(), "presented-token")
			told := fmt.Sprintf("%v %+v %v %v %v %s", asked, errors.Unwrap(asked), introspected, polled, revoked, w.logged())
			if refusal := (*sdk.TokenError)(nil); errors.As(asked, &refusal) {
				told += refusal.Description
			}
			for _, secret := range []string{testSecret, strings.TrimPrefix(basic(), "\nAuthorization: Basic "), "presented-token"} {
				if strings.Contains(told, secret) {
					t.Errorf("%d %s: %s", status, name, told)
				}
			}
			if status >= 400 && !strings.Contains(told, "[redacted]") {
				t.Errorf("%d %s: the test does not echo: %s", status, name, told)
			}
		}
	}
}

func TestWhatMayBeASecret(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"ours", testSecret, ""},
		{"foreign", "correct horse battery staple", ""},
		{"64 KiB", strings.Repeat("s", 64<<10), ""},
		{"longer", strings.Repeat("s", 64<<10+1), "longer than 64 KiB"},
		{"empty", "", "empty"},
		{"two lines", "one\ntwo", "control character"},
		{"zero bytes, as after a crash", "\x00\x00\x00\x00", "control character"},
		{"ours, cut", testSecret[:40], "cut or mistyped"},
		{"ours, mistyped", strings.Replace(testSecret, "FTnb", "FTnd", 1), "cut or mistyped"},
		{"ours, longer", testSecret + "0", "cut or mistyped"},
		{"its prefix alone", "cs_secret_", "cut or mistyped"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := authenticate(t, sdk.SecretPost(tt.value), nil)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || err == nil && got != tt.value {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The vectors are those that the server tests against.
func TestSecretsOfTheServer(t *testing.T) {
	text, err := os.ReadFile("testdata/secret-format.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Values []struct {
			Name, Kind, Text string
			WellFormed       bool `json:"well_formed"`
		}
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, v := range vectors.Values {
		if v.Kind != "secret" || !strings.HasPrefix(v.Text, "cs_secret_") {
			continue
		}
		tried++
		if _, err := authenticate(t, sdk.SecretPost(v.Text), nil); (err == nil) != v.WellFormed {
			t.Errorf("%s: %v", v.Name, err)
		}
	}
	if tried < 3 {
		t.Errorf("%d vectors", tried)
	}
}
