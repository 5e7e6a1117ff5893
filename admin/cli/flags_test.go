package cli_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/admin/cli"
)

// Times can be given in days, as the tables show them.
func TestLengths(t *testing.T) {
	const client = "cl_0000000000000000000000"
	for text, want := range map[string]time.Duration{"2d": 48 * time.Hour, "90m": 90 * time.Minute, "0s": 0, "30d": 720 * time.Hour, "31d": -1, "1.5d": -1, "-1d": -1, "-2h": -1, "d": -1, "x": -1} {
		var asked struct {
			Overlap *int64 `json:"overlap_seconds"`
		}
		f := newFake(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(body, &asked); err != nil {
				t.Error(err)
			}
			answer(w, 201, `{"secret_id": "sec_new", "client_secret": "made"}`)
		})
		got := run(t, call{environ: f.environ(), args: []string{"secret", "rotate", client, "--overlap=" + text, "--yes"}})
		switch {
		case want < 0:
			if got.code != cli.ExitUsage || f.calls() != 0 {
				t.Errorf("%s: %+v after %d calls", text, got, f.calls())
			}
		case got.code != 0 || asked.Overlap == nil || time.Duration(*asked.Overlap)*time.Second != want:
			t.Errorf("%s: %+v, asked for %v", text, got, asked.Overlap)
		}
	}
}

// A word that a flag does not take is refused before anything is sent, and the shell is offered those that it does.
func TestChoices(t *testing.T) {
	for flag, words := range map[string]string{
		"client list --status":          "active\ndisabled\n",
		"client list --sort":            "name\n-name\ncreated\n-created\n",
		"client create x --auth-method": "client_secret_basic\nclient_secret_post\nprivate_key_jwt\ntls_client_auth\nself_signed_tls_client_auth\nfederated_jwt\nspiffe_jwt\nspiffe_x509\n",
		"api create x --token-format":   "jwt\nopaque\n",
		"api create x --algorithm":      "ES256\nRS256\nPS256\nEdDSA\n",
		"key rotate --algorithm":        "ES256\nRS256\nPS256\nEdDSA\n",
		"token get --auth-method":       "client_secret_basic\nclient_secret_post\n",
	} {
		f := newFake(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{}`) })
		args := strings.Fields(flag)
		got := run(t, call{environ: f.environ(), args: append(args, "other")})
		if got.code != cli.ExitUsage || f.calls() != 0 || !strings.Contains(got.errors, strings.ReplaceAll(strings.TrimSpace(words), "\n", ", ")) {
			t.Errorf("%s: %+v after %d calls", flag, got, f.calls())
		}
		if got = run(t, call{environ: f.environ(), args: append(append([]string{"__complete"}, args...), "")}); !strings.HasPrefix(got.out, words) {
			t.Errorf("%s: offers %q", flag, got.out)
		}
	}
}
