package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/seed"
)

// outputs keeps what the programs of a run printed.
type outputs struct {
	mu  sync.Mutex
	all []printedBy
}

type printedBy struct {
	test string
	args []string
	out  *output
}

//nolint:gochecknoglobals // every program of the run is looked at when the run is over
var printed outputs

func (o *outputs) add(test string, args []string, out *output) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, printedBy{test, args, out})
}

// credentialPattern finds secrets, tokens, master keys and private keys by their form: plain, and as Basic credentials (base64 of `cl_`).
var credentialPattern = regexp.MustCompile(`cs_(secret|at|master)_[0-9A-Za-z_-]{30,}|eyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.|-----BEGIN [A-Z ]*PRIVATE KEY|Y2xf[0-9A-Za-z+/]{40,}`)

// credentials returns where a program that runs for long, or fails, printed a credential. The secret of the first administrator is
// printed once, on purpose, on a line of its own.
func (o *outputs) credentials() (found []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range o.all {
		if len(p.args) == 0 || !slices.Contains([]string{"server", "up", "part", "migrate", "key", "audit", "gateway", "lb"}, p.args[0]) {
			continue // its purpose may be to show one
		}
		for line := range strings.Lines(p.out.String()) {
			if match := credentialPattern.FindString(line); match != "" && !firstLine.MatchString(line) {
				found = append(found, fmt.Sprintf("%s, %v: %.20s…", p.test, p.args, match))
			}
		}
	}
	return found
}

// planted are values that must be nowhere but where they belong, by what they are.
type planted map[string]string

// in returns which of them are in text.
func (p planted) in(text []byte) (found []string) {
	for _, what := range slices.Sorted(maps.Keys(p)) {
		if bytes.Contains(text, []byte(p[what])) {
			found = append(found, what)
		}
	}
	return found
}

// searched is a server with passwords to everything, on which all is done that might let one of them out.
type searched struct {
	*testing.T
	*serverProcess

	secrets planted
	seeded  *seeded
	admin   credential
	bearer  string
	answers bytes.Buffer // bodies of answers to calls that fail
}

// No credential is in what a server prints, answers to a mistake, counts, records or shows in the process list.
func TestNoCredentialGetsOut(t *testing.T) {
	t.Parallel()
	const databasePassword, redisPassword = "planted-database-password", "planted-redis-password"
	mariadb, redis := testbed.StartMariaDB(t), testbed.StartRedis(t, "--requirepass", redisPassword)
	grantAll(t, mariadb.URL(), databasePassword)
	databaseURL := fmt.Sprintf("mysql://planted:%s@%s/countersign", databasePassword, mariadb.Addr())
	s := &searched{T: t, seeded: seedClients(t, databaseURL, filepath.Join(t.TempDir(), "master.key"))}
	made, err := seed.Client(t.Context(), s.seeded.Registry, seed.Admin())
	if err != nil {
		t.Fatal(err)
	}
	s.admin = credential{ID: made.ID.String(), Secret: made.Secret.Reveal()}
	master, err := os.ReadFile(s.seeded.MasterKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	s.serverProcess = startInstance(t, s.seeded, "log-level=debug", "token-store=redis://:"+redisPassword+"@"+redis.Addr()+"/0")
	s.bearer = token(t, s.URL, s.admin, url.Values{"resource": {auth.AdminAPI}})
	s.secrets = planted{
		"the database's password": databasePassword, "Redis's password": redisPassword,
		"the master key":          strings.TrimSpace(string(master)),
		"the admin's secret":      s.admin.Secret,
		"the admin's token":       s.bearer,
		"the caller's secret":     s.seeded.Caller.Secret,
		"the caller's Basic form": base64.StdEncoding.EncodeToString([]byte(s.seeded.Caller.ID + ":" + s.seeded.Caller.Secret)),
		"a JWT":                   token(t, s.URL, s.seeded.Caller, url.Values{"resource": {jwtAPI}}),
		"an opaque token":         token(t, s.URL, s.seeded.Caller, url.Values{"resource": {opaqueAPI}}),
		"an imported secret":      "planted-imported-secret-0123456789",
		"an Idempotency-Key":      "planted-idempotency-key-0123456789",
	}
	s.useEverything()
	s.mistakeEverything()
	s.look("the answers to mistakes", s.answers.Bytes())
	for _, address := range []string{s.AdminURL + "/metrics", s.AdminURL + "/readyz", s.AdminURL + "/admin/v1/openapi.json"} {
		got, err := get(t.Context(), address)
		if err != nil {
			t.Fatal(err)
		}
		s.look(address, got.Body)
	}
	for _, path := range []string{"/audit?limit=200", "/audit/failures", "/clients?limit=200", "/keys", "/export", "/graph"} {
		status, body := s.call(http.MethodGet, path, nil)
		if status != http.StatusOK {
			t.Errorf("GET %s: %d: %s", path, status, body)
		}
		s.look("GET "+path, body)
	}
	s.lookAtProcess()
	s.lookAtRows(testbed.OpenMySQL(t, mariadb.URL()))
	mariadb.Stop()
	redis.Stop()
	for range 3 { // errors of drivers name addresses
		_, _ = askToken(t.Context(), s.URL, s.seeded.Caller, url.Values{"grant_type": {"client_credentials"}})
		status, body := s.call(http.MethodGet, "/clients", nil)
		s.look(fmt.Sprintf("an answer of %d", status), body)
	}
	s.Signal(t, 15)
	s.Exit(t, endWithin)
	s.look("what the server printed", []byte(s.out.String()))
}

// grantAll makes the user planted.
func grantAll(t *testing.T, adminURL, password string) {
	t.Helper()
	db := testbed.OpenMySQL(t, adminURL)
	for _, statement := range []string{"CREATE USER planted IDENTIFIED BY '" + password + "'", "GRANT ALL ON *.* TO planted"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *searched) look(where string, text []byte) {
	s.Helper()
	if len(text) == 0 {
		s.Errorf("there is nothing to look at in %s", where)
	}
	for _, what := range s.secrets.in(text) {
		s.Errorf("%s is in %s", what, where)
	}
}

// call sends a call to the admin API.
func (s *searched) call(method, path string, body any, header ...string) (status int, answer []byte) {
	s.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.Fatal(err)
	}
	if body == nil {
		text = nil
	}
	if raw, ok := body.(string); ok {
		text = []byte(raw)
	}
	request, err := http.NewRequestWithContext(s.Context(), method, s.AdminURL+"/admin/v1"+path, bytes.NewReader(text))
	if err != nil {
		s.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+s.bearer)
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	got, err := do(request)
	if err != nil {
		s.Fatal(err)
	}
	return got.Status, got.Body
}

// useEverything does what bears credentials, as it should be done.
func (s *searched) useEverything() {
	s.Helper()
	caller := s.seeded.Caller.ID
	for n, c := range []struct {
		path string
		body any
		want int
	}{
		{"/clients/" + caller + "/secrets", map[string]any{"value": s.secrets["an imported secret"]}, http.StatusCreated},
		{"/clients/" + caller + "/secrets/rotate", map[string]any{"overlap_seconds": 3600}, http.StatusCreated},
		{"/leaks", map[string]any{"value": s.secrets["an opaque token"]}, http.StatusOK},
		{"/leaks", map[string]any{"value": "planted, and nobody's"}, http.StatusOK},
	} {
		status, body := s.call(http.MethodPost, c.path, c.body, "Idempotency-Key", fmt.Sprint(s.secrets["an Idempotency-Key"], n))
		if status != c.want {
			s.Fatalf("POST %s: %d: %s", c.path, status, body)
		}
		var made struct {
			Value string `json:"client_secret"`
		}
		if err := json.Unmarshal(body, &made); err != nil {
			s.Fatal(err)
		}
		if made.Value != "" && made.Value != s.secrets["an imported secret"] {
			s.secrets["the new secret"] = made.Value
		}
	}
	introspect(s.T, s.URL, s.seeded.Server, s.secrets["a JWT"])
	introspect(s.T, s.URL, s.seeded.Server, s.secrets["an opaque token"])
	revoke(s.T, s.URL, s.seeded.Caller, s.secrets["a JWT"])
	token(s.T, s.URL, credential{ID: caller, Secret: s.secrets["the new secret"]}, url.Values{"resource": {jwtAPI}})
	token(s.T, s.URL, credential{ID: caller, Secret: s.secrets["an imported secret"]}, url.Values{"resource": {jwtAPI}})
}

// mistakeEverything puts credentials where they do not belong.
func (s *searched) mistakeEverything() {
	s.Helper()
	keep := func(body []byte) { s.answers.Write(body) }
	for _, what := range slices.Sorted(maps.Keys(s.secrets)) {
		value := s.secrets[what]
		for _, c := range []struct {
			method, path string
			body         any
		}{
			{http.MethodGet, "/clients/" + url.PathEscape(value), nil},
			{http.MethodGet, "/tokens/" + url.PathEscape(value), nil},
			{http.MethodDelete, "/clients/" + s.seeded.Caller.ID + "/secrets/" + url.PathEscape(value), nil},
			{http.MethodGet, "/clients?cursor=" + url.QueryEscape(value), nil},
			{http.MethodGet, "/clients?sort=" + url.QueryEscape(value), nil},
			{http.MethodPost, "/clients", map[string]any{"name": "x", "token_endpoint_auth_method": value}},
			{http.MethodPost, "/apis", map[string]any{"identifier": value, "name": "x"}},
			{http.MethodPost, "/revocations", map[string]any{"secret_id": value}},
			{http.MethodPost, "/clients", `{"name": "` + value},
			{http.MethodPost, "/leaks", map[string]any{"value": value, "expires_at": value}},
		} {
			status, body := s.call(c.method, c.path, c.body)
			if status < http.StatusBadRequest {
				s.Errorf("%s with %s as a mistake: %d", c.method, what, status)
			}
			keep(body)
		}
		for _, form := range []url.Values{
			{"grant_type": {"client_credentials"}, "resource": {value}},
			{"grant_type": {"client_credentials"}, "scope": {value}},
			{"grant_type": {value}},
			{"grant_type": {"client_credentials"}, "client_id": {value}, "client_secret": {value}},
		} {
			got, err := post(s.Context(), s.URL+"/oauth2/token", s.seeded.Operator, form)
			if err != nil {
				s.Fatal(err)
			}
			keep(got.Body)
		}
		wrong, err := askToken(s.Context(), s.URL, credential{ID: value, Secret: value}, url.Values{"grant_type": {"client_credentials"}})
		if err != nil {
			s.Fatal(err)
		}
		keep(wrong.Body)
		got, err := get(s.Context(), s.URL+"/oauth2/token?access_token="+url.QueryEscape(value))
		if err != nil {
			s.Fatal(err)
		}
		keep(got.Body)
	}
}

// lookAtProcess looks at what every user of the machine can see of the server.
func (s *searched) lookAtProcess() {
	s.Helper()
	for _, pid := range append(childrenOf(s.T, s.PID()), s.PID()) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			s.Fatal(err)
		}
		s.look("the process list", text)
	}
}

// lookAtRows looks at all that the database holds.
func (s *searched) lookAtRows(db *sql.DB) {
	s.Helper()
	for _, table := range column(s.Context(), s.T, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()") {
		rows, err := db.QueryContext(s.Context(), "SELECT * FROM `"+table+"`")
		if err != nil {
			s.Fatal(err)
		}
		text, err := dump(rows)
		if err != nil {
			s.Fatal(err)
		}
		for _, what := range s.secrets.in(text) {
			s.Errorf("%s is in the table %s", what, table)
		}
	}
}

func column(ctx context.Context, t *testing.T, db *sql.DB, query string) (values []string) {
	t.Helper()
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	if err := rows.Err(); err != nil || len(values) == 0 {
		t.Fatalf("%s: %v, %d rows", query, err, len(values))
	}
	return values
}

// dump returns all fields of all rows.
func dump(rows *sql.Rows) ([]byte, error) {
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	fields := make([]sql.RawBytes, len(names))
	into := make([]any, len(names))
	for i := range fields {
		into[i] = &fields[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for _, field := range fields {
			all.Write(field)
			all.WriteByte('\n')
		}
	}
	return all.Bytes(), rows.Err()
}

// The parts of `up` get what is secret by a pipe, and `up` prints none of it.
func TestUpKeepsCredentialsOutOfTheProcessList(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	secrets := planted{}
	for name, c := range s.Bootstrap.Clients {
		secrets["the secret of "+name] = c.ClientSecret
	}
	master, err := os.ReadFile(filepath.Join(s.Folder, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	secrets["the master key"] = strings.TrimSpace(string(master))
	found := secrets.in([]byte(s.out.String()))
	for _, pid := range append(childrenOf(t, s.PID()), s.PID()) {
		for _, file := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, secrets.in(text)...)
		}
	}
	logs, err := filepath.Glob(filepath.Join(s.Folder, "logs", "*"))
	if err != nil || len(logs) == 0 {
		t.Fatal(err, "no logs")
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, secrets.in(text)...)
	}
	if len(found) > 0 {
		t.Errorf("found %v", found)
	}
}
