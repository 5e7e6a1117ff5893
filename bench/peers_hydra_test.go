package bench

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os/exec"
	"time"
)

// hydraMigrated marks two of Hydra's migrations as done, in the table that Hydra would make. They only rewrite the rows of older versions, of which a
// new schema has none, in words of MySQL that MariaDB lacks: CAST(… AS JSON). All else of Hydra runs on MariaDB.
const hydraMigrated = "CREATE TABLE schema_migration (version VARCHAR(48) NOT NULL, version_self INT NOT NULL DEFAULT 0); " +
	"CREATE UNIQUE INDEX schema_migration_version_idx ON schema_migration (version); " +
	"CREATE INDEX schema_migration_version_self_idx ON schema_migration (version_self); " +
	"INSERT INTO schema_migration (version) VALUES ('20220513000001000001'), ('20220513000001000007')"

// addHydra starts Hydra twice on one schema: as it is by default, and with secrets that are hardly hashed.
func (w *peersWorld) addHydra() {
	w.Helper()
	const module = "github.com/ory/hydra/v2"
	binary := w.buildIn("peers/hydra", module)
	w.versionIn(binary, module)
	dsn := w.createSchema("hydra", hydraMigrated)
	// A token's transaction stays open while its signing key is read on another connection: with the pool that is the default, two for each
	// processor, 32 callers wait for each other until they are all refused.
	database := fmt.Sprintf("mysql://%s:%s@tcp(%s)/%s?parseTime=true&max_conns=64&max_idle_conns=64", dsn.User, dsn.Passwd, dsn.Addr, dsn.DBName)
	printed, err := exec.CommandContext(w.Context(), binary, "migrate", "sql", "up", database, "--yes").CombinedOutput()
	if err != nil {
		w.Fatalf("migrate Hydra's schema: %v\n%s", err, printed)
	}
	secret := rand.Text()
	for _, set := range []struct {
		name       string
		iterations string
		formats    map[string]bool
	}{
		{hydra, "25000", formats()},
		{hydraOnce, "1", map[string]bool{"opaque": false}},
	} {
		p := w.run(proxy{
			name: "hydra-" + set.iterations, binary: binary, folder: "peers/hydra", config: "hydra.yml",
			args: []string{"serve", "all", "--sqa-opt-out", "--config"}, ways: []string{"Public", "Admin"},
			more: map[string]string{"Database": database, "Secret": secret, "Iterations": set.iterations},
		})
		for format, jwt := range set.formats {
			w.all = append(w.all, w.hydraClient(set.name, p, format, jwt))
		}
	}
}

// hydraClient makes a client of its own for a kind of token, as Hydra has it.
func (w *peersWorld) hydraClient(name string, p proxyProgram, format string, jwt bool) authority {
	w.Helper()
	a := authority{
		program: p.program, name: name, id: p.name + "-" + format, secret: peerSecret, jwt: jwt, token: "/oauth2/token", form: scoped(), issued: granted(jwt),
		introspect: "/admin/oauth2/introspect", admin: p.at["Admin"], with: map[string]int{"MariaDB": w.mariadb.PID()},
		rows: "hydra.hydra_oauth2_access", knows: "authentication of who asks",
	}
	w.send(&http.Client{Timeout: time.Minute}, "http://"+a.admin+"/admin/clients", map[string]any{
		"client_id": a.id, "client_secret": a.secret, "grant_types": []string{"client_credentials"}, "scope": "read write",
		"token_endpoint_auth_method": "client_secret_basic", "access_token_strategy": format,
	})
	return a
}
