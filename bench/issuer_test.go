package bench

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

const (
	jwtAPI    = "https://jwt.bench"
	opaqueAPI = "https://opaque.bench"
)

// issuer is our server with something to ask it about.
type issuer struct {
	*scene
	server        program
	caller        seed.Credential // has a grant for both APIs, and serves them
	database, key string          // address, and file of the master key
}

// startIssuer runs our server on a new database, with the settings that it has by default, but without a budget: a client that
// measures asks for more tokens than one that works.
func (s *scene) startIssuer(database string) *issuer {
	s.Helper()
	i := &issuer{scene: s, database: database, key: filepath.Join(s.folder, "master.key")}
	i.seed()
	i.server = i.another("server")
	return i
}

// another runs one more instance of our server on the same database. settings are COUNTERSIGN_NAME=value.
func (i *issuer) another(name string, settings ...string) program {
	i.Helper()
	address, admin := i.loopback(), i.loopback()
	cmd := exec.Command(i.countersign(), "server", "--listen", address, "--admin-listen", admin, "--master-key-file", i.key)
	cmd.Env = append([]string{"COUNTERSIGN_DATABASE=" + i.database, "COUNTERSIGN_TOKEN_BUDGET=0"}, settings...) // and nothing that the caller has set
	p := i.start(name, cmd, address)
	p.admin = admin
	return p
}

// seed makes what the server is asked about, by the same operations as an operator does.
func (i *issuer) seed() {
	i.Helper()
	ctx := i.Context()
	store, err := sqlstore.Open(ctx, sqlstore.Config{URL: i.database, Logger: slog.New(slog.DiscardHandler)})
	i.check(err)
	defer store.Close()
	i.check(store.Migrate(ctx))
	master, err := seal.CreateKeyFile(i.key)
	i.check(err)
	registry, err := seed.System(ctx, store, master, time.Now)
	i.check(err)
	scopes := []auth.ScopeDefinition{{Name: "read"}, {Name: "write"}}
	for identifier, format := range map[string]auth.Format{jwtAPI: auth.JWT, opaqueAPI: auth.Opaque} {
		_, err := seed.API(ctx, registry, auth.API{Identifier: identifier, Name: identifier, Format: format, Scopes: scopes})
		i.check(err)
		i.caller, err = seed.Client(ctx, registry, seed.Role{Name: "bench", Calls: identifier, Serves: identifier})
		i.check(err)
	}
}

// post returns a request of the caller.
func (i *issuer) post(p program, path string, form url.Values) []byte {
	credentials := base64.StdEncoding.EncodeToString([]byte(i.caller.ID.String() + ":" + i.caller.Secret.Reveal()))
	return generator.Post(path, p.address, "Basic "+credentials, form.Encode())
}

// tokens asks for n tokens, on as many connections as a load has.
func (i *issuer) tokens(p program, path string, form url.Values, n int) []string {
	i.Helper()
	return authority{program: p, id: i.caller.ID.String(), secret: i.caller.Secret.Reveal(), token: path, form: form}.tokens(i.scene, n)
}

// tokenAnswer is what RFC 6749 §5.1 promises.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope"`
}

// issued checks a token answer.
func issued(jwt bool) func([]byte) error {
	return func(body []byte) error {
		var answer tokenAnswer
		if err := json.Unmarshal(body, &answer); err != nil {
			return err
		}
		if answer.AccessToken == "" || answer.TokenType != "Bearer" || answer.ExpiresIn != 3600 || answer.Scope != "read write" ||
			jwt != (strings.Count(answer.AccessToken, ".") == 2) {
			return errors.New("not the token that was asked for")
		}
		return nil
	}
}

// active checks an introspection answer.
func active(body []byte) error {
	var answer struct {
		Active   bool   `json:"active"`
		Scope    string `json:"scope"`
		ClientID string `json:"client_id"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return err
	}
	if !answer.Active || answer.Scope != "read write" || answer.ClientID == "" {
		return errors.New("not the answer for an active token")
	}
	return nil
}
