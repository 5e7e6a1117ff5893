package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/doctor"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

// patient is a deployment that doctor looks at. Its settings are environment variables without their prefix.
type patient struct {
	t        *testing.T
	settings map[string]string
	folder   string
}

// healthy returns a deployment on MariaDB and Redis, whose issuer answers.
func healthy(t *testing.T) *patient {
	t.Helper()
	var metadata *httptest.Server
	metadata = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": metadata.URL})
	}))
	t.Cleanup(metadata.Close)
	p := &patient{t: t, folder: t.TempDir(), settings: map[string]string{
		"ISSUER": metadata.URL, "LISTEN": up.Address(testbed.FreePort(t)), "ADMIN_LISTEN": up.Address(testbed.FreePort(t)),
		"DATABASE": testbed.MariaDB(t).New(t),
	}}
	p.settings["TOKEN_STORE"] = testbed.StartRedis(t, "--maxmemory", "64mb", "--maxmemory-policy", "volatile-ttl").URL()
	p.settings["MASTER_KEY_FILE"] = p.file("master.key")
	master, err := seal.CreateKeyFile(p.settings["MASTER_KEY_FILE"])
	p.check(err)
	p.prepare(master)
	return p
}

func (p *patient) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *patient) file(name string) string { return filepath.Join(p.folder, name) }

// prepare makes schema and keys, as the first start of a server does.
func (p *patient) prepare(master seal.Key) {
	p.t.Helper()
	store, err := sqlstore.Open(p.t.Context(), sqlstore.Config{URL: p.settings["DATABASE"], Timeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	p.check(err)
	p.check(store.Migrate(p.t.Context()))
	_, err = seed.System(p.t.Context(), store, master, time.Now)
	p.check(err)
	p.check(store.Close())
}

// examine runs the command, and returns its exit code and what it printed.
func (p *patient) examine(args ...string) (code int, text string) {
	p.t.Helper()
	var environ []string
	for name, value := range p.settings {
		environ = append(environ, "COUNTERSIGN_"+name+"="+value)
	}
	var stdout, stderr bytes.Buffer
	args = append([]string{"countersign", "doctor"}, args...)
	code = run(p.t.Context(), environment{args: args, environ: environ, stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr})
	if (code == 0) != (stderr.Len() == 0) {
		p.t.Errorf("exit code %d, and standard error says %q", code, &stderr)
	}
	return code, stdout.String()
}

func TestDoctorOfTheHealthy(t *testing.T) {
	p := healthy(t)
	code, got := p.examine()
	if code != 0 {
		t.Errorf("exit code %d:\n%s", code, got)
	}
	if strings.Contains(got, "\x1b") {
		t.Error("colours where there is no terminal")
	}
	got = regexp.MustCompile(`(?s)\n[a-z]+ +open files.*`).ReplaceAllString(got, "") // what follows is of the machine that the test runs on
	for _, one := range []struct{ pattern, stands string }{
		{`MariaDB \S+`, "MariaDB VERSION"},
		{`Redis \d\S+`, "Redis VERSION"},
		{`127\.0\.0\.1:\d+`, "127.0.0.1:PORT"},
		{`[0-9.]+[mµ]s a round trip`, "TIME a round trip"},
		{`TLSv1\.\d \S+`, "TLS CIPHER"},
		{`this machine is [0-9.mµ]+s (behind|ahead of) (the database|Redis)`, "as that of this machine"},
		{regexp.QuoteMeta(p.folder), "FOLDER"},
		{`level \d+, of this binary \d+, works from \d+ on`, "level N, of this binary N, works from N on"},
		{`(?m)^(?:ok|warn) +(\w+ latency.*\n)(?: +▸.*\n)?`, "ok    $1"}, // of a busy machine
	} {
		got = regexp.MustCompile(one.pattern).ReplaceAllString(got, one.stands)
	}
	const golden = "testdata/doctor.txt"
	if os.Getenv("COUNTERSIGN_TEST_UPDATE") != "" {
		p.check(os.WriteFile(golden, []byte(got+"\n"), 0o600))
	}
	want, err := os.ReadFile(golden)
	p.check(err)
	if diff := cmp.Diff(string(want), got+"\n"); diff != "" {
		t.Error(diff)
	}
}

// findings examines the patient, and returns the findings by the name of their check. No password is among them.
func (p *patient) findings() map[string]doctor.Finding {
	p.t.Helper()
	code, text := p.examine("-o", "json")
	var all []doctor.Finding
	p.check(json.Unmarshal([]byte(text), &all))
	if want := map[bool]int{true: 1, false: 0}[doctor.Worst(all) == doctor.Fail]; code != want {
		p.t.Errorf("exit code %d, want %d:\n%s", code, want, text)
	}
	if u, err := url.Parse(p.settings["DATABASE"]); err == nil && u.User != nil {
		if password, _ := u.User.Password(); strings.Contains(text, password) {
			p.t.Errorf("the password of the database is shown:\n%s", text)
		}
	}
	found := map[string]doctor.Finding{}
	for _, f := range all {
		if (f.Level == doctor.OK) != (f.Cure == "") {
			p.t.Errorf("level and cure do not go together: %+v", f)
		}
		found[f.Check] = f
	}
	return found
}

// ailment makes a healthy deployment ill, and says how that shows.
type ailment struct {
	name  string
	make  func(*patient)
	check string
	level doctor.Level
	found string // part of what is found
}

func (a ailment) test(t *testing.T, p *patient) {
	t.Run(a.name, func(t *testing.T) {
		ill := &patient{t: t, settings: maps.Clone(p.settings), folder: t.TempDir()}
		a.make(ill)
		began := time.Now()
		got := ill.findings()[a.check]
		if got.Level != a.level || !strings.Contains(got.Found, a.found) {
			t.Errorf("%s: %s, %q (%s); want %s, %q", a.check, got.Level, got.Found, got.Cure, a.level, a.found)
		}
		if took := time.Since(began); took > 4*doctor.Within {
			t.Errorf("it took %v", took)
		}
	})
}

// through puts a proxy before the server that a setting names.
func (p *patient) through(setting string) *testbed.Proxy {
	p.t.Helper()
	u, err := url.Parse(p.settings[setting])
	p.check(err)
	proxy := testbed.StartProxy(p.t, u.Host)
	u.Host = proxy.Addr()
	p.settings[setting] = u.String()
	return proxy
}

// as makes a user of the database who has some rights on its schema.
func (p *patient) as(rights string) {
	p.t.Helper()
	u, err := url.Parse(p.settings["DATABASE"])
	p.check(err)
	name := strings.TrimPrefix(u.Path, "/")
	db := testbed.OpenMySQL(p.t, testbed.MariaDB(p.t).AdminURL())
	user := "d" + strings.ToLower(fmt.Sprintf("%x", time.Now().UnixNano()))[4:]
	for _, statement := range []string{
		"CREATE USER '" + user + "'@'%' IDENTIFIED BY 'hush-hush-hush'",
		"GRANT " + rights + " ON " + name + ".* TO '" + user + "'@'%'",
	} {
		_, err := db.ExecContext(p.t.Context(), statement)
		p.check(err)
	}
	p.t.Cleanup(func() { _, _ = db.Exec("DROP USER '" + user + "'@'%'") })
	u.User = url.UserPassword(user, "hush-hush-hush")
	p.settings["DATABASE"] = u.String()
}

func TestDoctorOfDatabases(t *testing.T) {
	p := healthy(t)
	for _, a := range []ailment{
		{"refused", func(p *patient) { p.through("DATABASE").Refuse() }, "database", doctor.Fail, "connection refused"},
		{"hung", func(p *patient) { p.through("DATABASE").BlackHole() }, "database", doctor.Fail, ""},
		{"wrong password", func(p *patient) {
			u, err := url.Parse(p.settings["DATABASE"])
			p.check(err)
			u.User = url.UserPassword(u.User.Username(), "hush-hush-hush")
			p.settings["DATABASE"] = u.String()
		}, "database", doctor.Fail, "Access denied"},
		{"no file", func(p *patient) { p.settings["DATABASE"] = "sqlite:" + p.file("none.db") }, "database", doctor.Fail, "there is no database file"},
		{"may not change the schema", func(p *patient) { p.as("SELECT, INSERT, UPDATE, DELETE") }, "database rights", doctor.Warn, "lacks CREATE, ALTER, DROP, INDEX"},
		{"may not write", func(p *patient) { p.as("SELECT") }, "database rights", doctor.Fail, "lacks INSERT, UPDATE, DELETE"},
		{"far away", func(p *patient) { p.through("DATABASE").Delay(6*time.Millisecond, 6*time.Millisecond) }, "database latency", doctor.Warn, "median of 9"},
		{"empty", func(p *patient) { p.settings["DATABASE"] = testbed.MariaDB(p.t).New(p.t) }, "schema", doctor.OK, "the next start of a server"},
		{"empty, and not to be changed", func(p *patient) {
			p.settings["DATABASE"], p.settings["MIGRATE"] = testbed.MariaDB(p.t).New(p.t), "false"
		}, "schema", doctor.Fail, "countersign migrate up"},
		{"of a later version", func(p *patient) {
			p.settings["DATABASE"] = testbed.MariaDB(p.t).New(p.t)
			master, err := seal.ReadKeyFile(p.settings["MASTER_KEY_FILE"])
			p.check(err)
			p.prepare(master)
			_, err = testbed.OpenMySQL(p.t, p.settings["DATABASE"]).ExecContext(p.t.Context(), "UPDATE schema_info SET min_compatible = 9999")
			p.check(err)
		}, "schema", doctor.Fail, "needs a version of Countersign that knows schema level 9999"},
		{"a table in latin1", func(p *patient) {
			p.settings["DATABASE"] = testbed.MariaDB(p.t).New(p.t)
			_, err := testbed.OpenMySQL(p.t, p.settings["DATABASE"]).ExecContext(p.t.Context(), "CREATE TABLE old (c CHAR(9)) CHARACTER SET latin1")
			p.check(err)
		}, "database charset", doctor.Fail, "not utf8mb4: old"},
		{"another master key", func(p *patient) {
			p.settings["MASTER_KEY_FILE"] = p.file("other.key")
			_, err := seal.CreateKeyFile(p.settings["MASTER_KEY_FILE"])
			p.check(err)
		}, "master key", doctor.Fail, "not the one of this database"},
		{"no master key file", func(p *patient) { p.settings["MASTER_KEY_FILE"] = p.file("none") }, "master key file", doctor.Fail, "there is no file"},
		{"master key that others may read", func(p *patient) {
			p.settings["MASTER_KEY_FILE"] = p.file("other.key")
			_, err := seal.CreateKeyFile(p.settings["MASTER_KEY_FILE"])
			p.check(err)
			p.check(os.Chmod(p.settings["MASTER_KEY_FILE"], 0o644))
		}, "master key file", doctor.Fail, "others may read it"},
	} {
		a.test(t, p)
	}
}

func TestDoctorOfADatabaseOfItsOwn(t *testing.T) {
	p := healthy(t)
	server := testbed.StartMariaDB(t, "--innodb-flush-log-at-trx-commit=2")
	db := testbed.OpenMySQL(t, server.URL())
	database := func(p *patient) { p.settings["DATABASE"] = server.URL() }
	ailment{"careless", database, "durability", doctor.Warn, "innodb_flush_log_at_trx_commit is 2"}.test(t, p)
	_, err := db.ExecContext(t.Context(), "SET GLOBAL read_only = 1")
	p.check(err)
	ailment{"replica", database, "database", doctor.Fail, "read-only"}.test(t, p)
}

func TestDoctorOfRedis(t *testing.T) {
	p := healthy(t)
	redis := func(args ...string) func(*patient) {
		return func(p *patient) { p.settings["TOKEN_STORE"] = testbed.StartRedis(p.t, args...).URL() }
	}
	// The user of docs/token-store.md, and one who may do less.
	user := func(rights string) func(*patient) {
		return func(p *patient) {
			file := p.file("users.acl")
			p.check(os.WriteFile(file, []byte("user default on nopass ~* &* +@all\nuser countersign on >hush-hush-hush "+rights+"\n"), 0o600))
			redis("--aclfile", file)(p)
			p.settings["TOKEN_STORE"] = strings.Replace(p.settings["TOKEN_STORE"], "//", "//countersign:hush-hush-hush@", 1)
		}
	}
	const rights = "resetkeys ~cst:* resetchannels &countersign:* -@all +getrange +set +ping +publish +subscribe +unsubscribe"
	for _, a := range []ailment{
		{"refused", func(p *patient) { p.through("TOKEN_STORE").Refuse() }, "redis", doctor.Fail, "connection refused"},
		{"hung", func(p *patient) { p.through("TOKEN_STORE").BlackHole() }, "redis", doctor.Fail, ""},
		{"no limit", redis(), "redis memory", doctor.Warn, "no limit"},
		{"full some day", redis("--maxmemory", "64mb"), "redis memory", doctor.Warn, "noeviction"},
		{"far away", func(p *patient) { p.through("TOKEN_STORE").Delay(4*time.Millisecond, 4*time.Millisecond) }, "redis latency", doctor.Warn, "median of 9"},
		{"too far away", func(p *patient) { p.through("TOKEN_STORE").Delay(30*time.Millisecond, 30*time.Millisecond) }, "redis latency", doctor.Fail, "a server waits for 50ms"},
		{"least rights", user(rights), "redis rights", doctor.OK, "heard"},
		{"least rights, without INFO", user(rights), "redis memory", doctor.OK, "cannot be seen"},
		{"may not write", user(strings.Replace(rights, "+set ", "", 1)), "redis rights", doctor.Fail, "cannot write"},
		{"may not read", user(strings.Replace(rights, "+getrange ", "", 1)), "redis rights", doctor.Fail, "cannot read"},
		{"may not subscribe", user(strings.Replace(rights, "&countersign:*", "", 1)), "redis rights", doctor.Fail, "cannot subscribe"},
		{"wrong password", func(p *patient) {
			user(rights)(p)
			p.settings["TOKEN_STORE"] = strings.Replace(p.settings["TOKEN_STORE"], "hush@", "hash@", 1)
		}, "redis", doctor.Fail, "WRONGPASS"},
		{"replica", func(p *patient) {
			host, port, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(p.settings["TOKEN_STORE"], "redis://"), "/0"), ":")
			redis("--replicaof", host+" "+port)(p)
		}, "redis", doctor.Fail, "is a replica"},
		{"no Sentinel", func(p *patient) {
			p.settings["TOKEN_STORE"] = "redis+sentinel://" + up.Address(testbed.FreePort(p.t)) + "/primary"
		}, "redis sentinels", doctor.Fail, "0 of 1"},
	} {
		a.test(t, p)
	}
}

func TestDoctorOfTheRest(t *testing.T) {
	p := healthy(t)
	answers := func(status int, issuer string) func(*patient) {
		return func(p *patient) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer})
			}))
			p.t.Cleanup(server.Close)
			p.settings["ISSUER"] = server.URL
		}
	}
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	p.check(err)
	defer func() { _ = taken.Close() }()
	for _, a := range []ailment{
		{"another issuer", answers(http.StatusOK, "https://auth.example.com"), "metadata", doctor.Fail, `issuer "https://auth.example.com"`},
		{"another program", answers(http.StatusNotFound, ""), "metadata", doctor.Fail, "status 404"},
		{"nobody", func(p *patient) { p.settings["ISSUER"] = "http://" + up.Address(testbed.FreePort(p.t)) }, "metadata", doctor.Warn, "connection refused"},
		{"port taken", func(p *patient) { p.settings["LISTEN"] = taken.Addr().String() }, "listen", doctor.Fail, fmt.Sprintf("(process %d)", os.Getpid())},
		{"admin port taken", func(p *patient) { p.settings["ADMIN_LISTEN"] = taken.Addr().String() }, "admin_listen", doctor.Fail, fmt.Sprintf("(process %d)", os.Getpid())},
		{"address of another machine", func(p *patient) { p.settings["LISTEN"] = "192.0.2.1:9001" }, "listen", doctor.Fail, "192.0.2.1"},
		{"issuer in the clear", func(p *patient) { p.settings["ISSUER"] = "http://auth.example.com" }, "settings", doctor.Fail, "setting issuer"},
		{"everybody trusted", func(p *patient) { p.settings["TRUSTED_PROXIES"] = "0.0.0.0/0" }, "trusted proxies", doctor.Fail, "everybody"},
		{"certificate without key", func(p *patient) { p.settings["TLS_CERT"] = p.file("tls.crt") }, "settings", doctor.Fail, "tls_cert and tls_key"},
	} {
		a.test(t, p)
	}
}
