package archtest_test

const module = "github.com/countersign/countersign/"

// plant is one import that rule must catch in dir and, unless flat, in folders below it.
type plant struct {
	rule, dir, imported string
	flat                bool
}

// permit is one import that no rule may catch in file.
type permit struct{ file, imported string }

// plants breaks every depguard rule at least once. A rule without folders of its own is broken in the folder that a
// careless change would most likely choose.
func plants() []plant {
	return []plant{
		{rule: "fault", dir: "internal/fault", imported: module + "internal/httpx"},
		{rule: "domain", dir: "server/auth", imported: "net/http"},
		{rule: "domain", dir: "server/auth", imported: "database/sql"},
		{rule: "domain", dir: "server/auth", imported: module + "server/keys"},
		{rule: "domain", dir: "server/auth", imported: "golang.org/x/crypto/argon2"},
		{rule: "migrations", dir: "migrations", imported: module + "server/auth"},
		{rule: "shared", dir: "internal/httpx", imported: "github.com/spf13/cobra"},
		{rule: "plumbing", dir: "internal/config", imported: module + "server"},
		{rule: "plumbing", dir: "internal/telemetry", imported: module + "server/auth"},
		{rule: "plumbing", dir: "internal/seal", imported: module + "internal/up"},
		{rule: "plumbing", dir: "internal/redisconn", imported: module + "lb"},
		{rule: "plumbing", dir: "internal/privatefile", imported: module + "server/auth"},
		{rule: "plumbing", dir: "internal/document", imported: module + "lb"},
		{rule: "plumbing", dir: "internal/listeners", imported: module + "lb"},
		{rule: "plumbing", dir: "internal/statuspage", imported: module + "gateway"},
		{rule: "plumbing", dir: "internal/up", imported: module + "server/seed"},
		{rule: "stores", dir: "server/sqlstore", imported: module + "server/oauth"},
		{rule: "stores", dir: "server/redisstore", imported: module + "server/memory"},
		{rule: "stores", dir: "server/memstore", imported: "net/http"},
		{rule: "suite", dir: "server/storetest", imported: module + "server/oauth"},
		{rule: "engine", dir: "server/feed", imported: module + "server"},
		{rule: "engine", dir: "server/imported", imported: module + "server/sqlstore"},
		{rule: "engine", dir: "server/issue", imported: "database/sql"},
		{rule: "engine", dir: "server/keys", imported: module + "server/oauth"},
		{rule: "engine", dir: "server/lookup", imported: module + "server/redisstore"},
		{rule: "engine", dir: "server/memory", imported: module + "internal/redisconn"},
		{rule: "engine", dir: "server/registry", imported: "database/sql"},
		{rule: "engine", dir: "server/registry", imported: module + "admin/wire"},
		{rule: "engine", dir: "server/seed", imported: module + "lb"},
		{rule: "engine", dir: "server/usage", imported: module + "internal/httpx"},
		{rule: "protocol", dir: "server/oauth", imported: module + "server/sqlstore"},
		{rule: "protocol", dir: "server/oauth", imported: "database/sql"},
		{rule: "http", dir: "server", imported: module + "server/sqlstore", flat: true},
		{rule: "http", dir: "server", imported: module + "gateway", flat: true},
		{rule: "lb", dir: "lb", imported: module + "gateway"},
		{rule: "gateway", dir: "gateway", imported: module + "demo-services/a"},
		{rule: "demo", dir: "demo-services", imported: module + "internal/httpx"},
		{rule: "admin-wire", dir: "admin/wire", imported: module + "server/auth"},
		{rule: "admin-api", dir: "admin/api", imported: module + "server/oauth"},
		{rule: "admin-api", dir: "admin/api", imported: module + "server/memory"},
		{rule: "admin-api", dir: "admin/api", imported: "database/sql"},
		{rule: "admin-cli", dir: "admin/cli", imported: module + "server/auth"},
		{rule: "admin-cli", dir: "admin/cli", imported: module + "server/registry"},
		{rule: "main", dir: "", imported: "github.com/google/uuid", flat: true},
		{rule: "main", dir: "server/instance", imported: "github.com/google/uuid"},
		{rule: "stores-named-by-main", dir: "server/issue", imported: module + "server/sqlstore"},
		{rule: "stores-named-by-main", dir: "internal/testbed", imported: module + "server/memstore"},
		{rule: "stores-named-by-main", dir: "internal/newcomer", imported: module + "server/redisstore"},
		{rule: "edges", dir: "gateway", imported: module + "server/auth"},
		{rule: "edges", dir: "lb", imported: module + "server"},
		{rule: "edges", dir: "demo-services", imported: module + "admin/wire"},
		{rule: "sdk-core", dir: "sdk", imported: "github.com/golang-jwt/jwt/v5", flat: true},
		{rule: "sdk-core", dir: "sdk/internal/jose", imported: module + "sdk"},
		{rule: "sdk-core", dir: "sdk/internal/newcomer", imported: module + "sdk/sdkredis"},
		{rule: "sdk-apart", dir: "sdk/sdkotel", imported: module + "internal/fault"},
		{rule: "fosite-in-one-place", dir: "server/keys", imported: "github.com/ory/fosite"},
		{rule: "fosite-in-one-place", dir: "internal/newcomer", imported: "github.com/ory/fosite/storage"},
		{rule: "gin-in-http-layers", dir: "internal/httpx", imported: "github.com/gin-gonic/gin"},
		{rule: "gin-in-http-layers", dir: "server/oauth", imported: "github.com/gin-gonic/gin"},
		{rule: "gin-in-http-layers", dir: "internal/newcomer", imported: "github.com/danielgtaylor/huma/v2"},
		{rule: "drivers-in-one-place", dir: "server/redisstore", imported: "github.com/go-redis/redis/v8"},
		{rule: "drivers-in-one-place", dir: "sdk/sdkotel", imported: "github.com/go-redis/redis/v8"},
		{rule: "drivers-in-one-place", dir: "gateway/ratelimit", imported: "github.com/go-redis/redis/v8"},
		{rule: "drivers-in-one-place", dir: "internal/newcomer", imported: "github.com/go-sql-driver/mysql"},
		{rule: "drivers-in-one-place", dir: "internal/newcomer", imported: "modernc.org/sqlite"},
		{rule: "drivers-in-one-place", dir: "migrations", imported: "github.com/pressly/goose/v3"},
		{rule: "testbed-in-tests", dir: "server/sqlstore", imported: module + "internal/testbed"},
		{rule: "testbed-in-tests", dir: "", imported: module + "server/storetest", flat: true},
		{rule: "testbed-in-tests", dir: "internal/newcomer", imported: "github.com/go-oauth2/oauth2/v4"},
		{rule: "old", dir: "e2e", imported: "log"},
		{rule: "old", dir: "e2e", imported: "math/rand"},
		{rule: "old", dir: "bench", imported: "io/ioutil"},
		{rule: "old", dir: "bench", imported: "github.com/pkg/errors"},
	}
}

// legal are imports that the rules must let pass: a rule that forbids everything would catch every plant too.
func legal() []permit {
	return []permit{
		{"main.go", module + "server/sqlstore"},
		{"server/instance/instance.go", module + "server/memstore"},
		{"server/server.go", "github.com/gin-gonic/gin"},
		{"server/server.go", module + "server/oauth"},
		{"server/oauth/oauth.go", "github.com/ory/fosite/handler/oauth2"},
		{"server/oauth/oauth.go", "net/http"},
		{"server/lookup/lookup.go", module + "server/memory"},
		{"server/seed/seed.go", module + "server/registry"},
		{"server/registry/registry.go", module + "server/keys"},
		{"server/imported/hash.go", "golang.org/x/crypto/argon2"},
		{"admin/api/api.go", module + "server/registry"},
		{"admin/api/api.go", "github.com/danielgtaylor/huma/v2"},
		{"admin/cli/cli.go", module + "admin/wire"},
		{"server/auth/auth.go", module + "internal/fault"},
		{"server/auth/auth_test.go", module + "internal/testbed"},
		{"server/sqlstore/sqlstore.go", "database/sql"},
		{"server/sqlstore/sqlstore.go", "modernc.org/sqlite"},
		{"server/sqlstore/sqlstore.go", module + "migrations"},
		{"server/sqlstore/sqlstore_test.go", module + "server/storetest"},
		{"server/storetest/tokens.go", module + "internal/testbed"},
		{"internal/redisconn/redisconn.go", "github.com/go-redis/redis/v8"},
		{"sdk/sdkredis/client.go", "github.com/go-redis/redis/v8"},
		{"internal/testbed/testbed.go", "github.com/go-sql-driver/mysql"},
		{"gateway/gateway.go", module + "sdk"},
		{"gateway/gateway.go", module + "internal/document"},
		{"internal/document/document.go", "go.yaml.in/yaml/v3"},
		{"gateway/ratelimit/local.go", "github.com/maypok86/otter/v2"},
		{"sdk/sdkgin/sdkgin.go", module + "sdk"},
		{"e2e/e2e.go", "math/rand/v2"},
		{"e2e/e2e.go", "log/slog"},
		{"bench/bench.go", "github.com/ory/fosite"},
	}
}
