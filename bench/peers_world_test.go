package bench

import (
	"bytes"
	"database/sql"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/countersign/countersign/internal/testbed"
)

// The sides of the peers' rows beside countersign.
const (
	onSQLite     = "Countersign on SQLite"
	hydra        = "Ory Hydra"
	hydraOnce    = "Ory Hydra, one round of PBKDF2"
	glewlwyd     = "glewlwyd"
	oidcProvider = "oidc-provider"
	fosite       = "fosite"
	fositeBCrypt = "fosite, bcrypt"
	goOAuth2     = "go-oauth2"
)

// The client of every server that lets one choose.
const (
	peerClient = "bench"
	peerSecret = "a-secret-for-the-benchmark"
)

// peersWorld has our server twice and every peer, each with one client.
type peersWorld struct {
	*scene
	mariadb  *testbed.Server
	all      []authority
	bcrypt   authority
	versions map[string]string
}

func newPeersWorld(b *testing.B) *peersWorld {
	b.Helper()
	// As in the benchmark of the server.
	mariadb := testbed.StartMariaDB(b, "--innodb-log-file-size=1G", "--innodb-buffer-pool-size=512M")
	w := &peersWorld{scene: newScene(b), mariadb: mariadb, versions: map[string]string{}}
	w.addOurs(countersign, w.scene, mariadb.URL(), map[string]int{"MariaDB": mariadb.PID()}, "countersign.tokens")
	other := &scene{B: b, folder: b.TempDir(), binary: w.countersign()}
	w.addOurs(onSQLite, other, "sqlite:"+filepath.Join(other.folder, "server.db"), nil, "")
	w.addHydra()
	w.addGlewlwyd()
	w.addOIDCProvider()
	w.addLibraries()
	var version string
	w.check(testbed.OpenMySQL(w, mariadb.URL()).QueryRowContext(b.Context(), "SELECT VERSION()").Scan(&version))
	w.versions["MariaDB"] = version
	for _, a := range append(w.all, w.bcrypt) {
		a.tokens(w.scene, 1) // it works, and has made what it makes at the first
	}
	return w
}

// of returns the servers of a kind of token that are so.
func (w *peersWorld) of(jwt bool, so func(authority) bool) (some []authority) {
	for _, a := range w.all {
		if a.jwt == jwt && so(a) {
			some = append(some, a)
		}
	}
	return some
}

// addOurs starts Countersign.
func (w *peersWorld) addOurs(name string, s *scene, database string, with map[string]int, rows string) {
	w.Helper()
	i := s.startIssuer(database)
	for api, jwt := range map[string]bool{jwtAPI: true, opaqueAPI: false} {
		w.all = append(w.all, authority{
			program: i.server, name: name, id: i.caller.ID.String(), secret: i.caller.Secret.Reveal(), jwt: jwt, with: with,
			token: "/oauth2/token", form: asking(api), issued: issued(jwt), introspect: "/oauth2/introspect",
			rows: rows,
		})
	}
}

// formats are the kinds of token, as those peers call them that are told.
func formats() map[string]bool { return map[string]bool{"jwt": true, "opaque": false} }

// scoped is the form that asks for a token where there are no resources.
func scoped() url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "scope": {"read write"}}
}

// addLibraries starts the reference servers of peers/, one for each kind of token.
func (w *peersWorld) addLibraries() {
	w.Helper()
	const kept = "durability; grants and limits of clients; log and metrics"
	library := func(name, binary, format, hasher, lacks string) authority {
		address := w.loopback()
		cmd := exec.Command(binary)
		cmd.Env = []string{
			"PEER_LISTEN=" + address, "PEER_CLIENT=" + peerClient, "PEER_SECRET=" + peerSecret, "PEER_FORMAT=" + format, "PEER_HASHER=" + hasher,
		}
		jwt := formats()[format]
		return authority{
			program: w.start(name+"-"+format+"-"+hasher, cmd, address), name: name, id: peerClient, secret: peerSecret, jwt: jwt, token: "/token",
			form: scoped(), issued: granted(jwt), lacks: lacks,
		}
	}
	ofFosite, ofGoOAuth2 := w.buildIn("peers", "./fosite"), w.buildIn("peers", "./gooauth2")
	w.versionIn(ofFosite, "github.com/ory/fosite")
	w.versionIn(ofGoOAuth2, "github.com/go-oauth2/oauth2/v4")
	for format := range formats() {
		a := library(fosite, ofFosite, format, "sha256", kept)
		a.introspect, a.knows = "/introspect", "durability; log and metrics"
		w.all = append(w.all, a, library(goOAuth2, ofGoOAuth2, format, "sha256", kept+"; check of scopes; hashed secrets"))
	}
	w.bcrypt = library(fositeBCrypt, ofFosite, "opaque", "bcrypt", kept)
}

// addOIDCProvider starts the oidc-provider that the end-to-end tests have, too.
func (w *peersWorld) addOIDCProvider() {
	w.Helper()
	folder := testbed.NPMInstall(w, "../e2e/oidcprovider")
	w.versions[oidcProvider] = packageVersion(w.scene, filepath.Join(folder, "node_modules/oidc-provider/package.json"))
	node := testbed.FindProgram(w, "node")
	w.versions["Node.js"] = w.versionOf(node, "--version")
	port := testbed.FreePort(w)
	told, err := json.Marshal(map[string]any{
		"clients": []map[string]string{{"id": peerClient, "secret": peerSecret}}, "resources": map[string]string{jwtAPI: "jwt", opaqueAPI: "opaque"},
		"lifetime": time.Hour.Seconds(), "port": port,
	})
	w.check(err)
	in, out, err := os.Pipe() // it ends when the pipe does
	w.check(err)
	w.Cleanup(func() { _ = out.Close() })
	_, err = out.Write(append(told, '\n'))
	w.check(err)
	cmd := exec.Command(node, filepath.Join(folder, "server.mjs"))
	cmd.Stdin, cmd.Env = in, []string{"NODE_ENV=production"}
	p := w.start(oidcProvider, cmd, fmt.Sprintf("127.0.0.1:%d", port))
	w.check(in.Close())
	for api, jwt := range map[string]bool{jwtAPI: true, opaqueAPI: false} {
		a := authority{
			program: p, name: oidcProvider, id: peerClient, secret: peerSecret, jwt: jwt, token: "/token", form: scoped(), issued: granted(jwt),
			lacks: "durability, and memory of more than 1,000 tokens; log and metrics; hashed secrets", knows: "durability; log and metrics; hashed secrets",
		}
		a.form.Set("resource", api)
		if !jwt {
			a.introspect = "/token/introspection"
		}
		w.all = append(w.all, a)
	}
}

func packageVersion(s *scene, file string) string {
	s.Helper()
	text, err := os.ReadFile(file)
	s.check(err)
	var described struct{ Version string }
	s.check(json.Unmarshal(text, &described))
	return described.Version
}

// buildIn makes a program of a module below this folder.
func (s *scene) buildIn(module, from string) string {
	s.Helper()
	path := filepath.Join(s.folder, filepath.Base(module)+"-"+filepath.Base(from))
	output, err := exec.CommandContext(s.Context(), "go", "-C", module, "build", "-trimpath", "-o", path, from).CombinedOutput()
	if err != nil {
		s.Fatalf("build %s in %s: %v\n%s", from, module, err, output)
	}
	return path
}

// versionIn remembers which version of a module a program is, or is built with.
func (w *peersWorld) versionIn(binary, module string) {
	w.Helper()
	info, err := buildinfo.ReadFile(binary)
	w.check(err)
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module {
			w.versions[module] = m.Version
		}
	}
}

// createSchema makes a schema of the benchmark's MariaDB, runs statements on it, and returns how it is reached.
func (w *peersWorld) createSchema(name, statements string) *mysql.Config {
	w.Helper()
	_, err := testbed.OpenMySQL(w, w.mariadb.URL()).ExecContext(w.Context(), "CREATE DATABASE "+name)
	w.check(err)
	u, err := url.Parse(w.mariadb.URL())
	w.check(err)
	dsn := mysql.NewConfig()
	dsn.Net, dsn.Addr, dsn.User, dsn.DBName, dsn.MultiStatements = "tcp", u.Host, u.User.Username(), name, true
	dsn.Passwd, _ = u.User.Password()
	connector, err := mysql.NewConnector(dsn)
	w.check(err)
	db := sql.OpenDB(connector)
	defer db.Close()
	_, err = db.ExecContext(w.Context(), statements)
	w.check(err)
	return dsn
}

// send posts JSON to a peer's API of administration, which must like it.
func (s *scene) send(client *http.Client, endpoint string, body any) {
	s.Helper()
	text, err := json.Marshal(body)
	s.check(err)
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPost, endpoint, bytes.NewReader(text))
	s.check(err)
	r.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(r)
	s.check(err)
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	s.check(err)
	if answer.StatusCode >= http.StatusMultipleChoices {
		s.Fatalf("%s: %s %s", endpoint, answer.Status, said)
	}
}
