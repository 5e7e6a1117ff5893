package sqlstore_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

// planned is what the log of slow queries, here of all, tells of one: how it was carried out, not how it might be.
type planned struct {
	statement string
	examined  int
	steps     []step
}

// step is a line of EXPLAIN with what really was read.
type step struct {
	table, access, key, extra string
	rows                      float64
}

// TestIndexes has MariaDB tell how it answers each list and look-up of a big database.
func TestIndexes(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "slow.log")
	server := testbed.StartMariaDB(t, "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=96M", "--slow-query-log-file="+file,
		"--log-output=FILE", "--long-query-time=0", "--log-slow-verbosity=query_plan,explain")
	migrated(t, server.URL())
	db := testbed.OpenMySQL(t, server.URL())
	began := time.Now()
	b := fill(t, db)
	analyze(t, db)
	execute(t, db, "SET GLOBAL slow_query_log = 1")
	t.Logf("filled in %s", time.Since(began))
	s := open(t, server.URL()) // connections from before do not tell
	s.Chain(auditKeys())
	read := 0
	for _, q := range b.queries() {
		if err := q.call(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", q.name, err)
		}
		var plans []planned
		for deadline := time.Now().Add(10 * time.Second); len(plans) == 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if plans = parsePlans(string(text[read:])); len(plans) > 0 {
				read = len(text)
			}
		}
		if len(plans) == 0 {
			t.Fatalf("%s: the server tells of no query", q.name)
		}
		for _, p := range plans {
			p.check(t, q)
		}
	}
}

// analyze tells MariaDB what the tables hold by now, as it finds out by itself after a while.
func analyze(tb testing.TB, db *sql.DB) {
	tb.Helper()
	execute(tb, db, "ANALYZE TABLE clients, client_labels, apis, api_servers, grants, secrets, secret_uses, grant_uses, tokens, audit_events, "+
		"auth_failures, replays")
}

func (p planned) check(t *testing.T, q query) {
	t.Helper()
	most := max(q.rows, 6*pageLimit)
	bad := p.examined > most
	for _, s := range p.steps {
		sorts := strings.Contains(s.extra, "filesort") || strings.Contains(s.extra, "temporary")
		small := s.table == "a" || strings.HasPrefix(s.table, "<") // the APIs; what the statement itself brings
		bad = bad || s.access == "ALL" && !small || sorts && int(s.rows) > most
	}
	if bad {
		t.Errorf("%s: %d rows are examined\n%+v\n%.300q", q.name, p.examined, p.steps, p.statement)
	}
	if testing.Verbose() {
		t.Logf("%s: %d rows, %+v", q.name, p.examined, p.steps)
	}
}

// parsePlans reads the SELECTs of a log that are there to their end.
func parsePlans(log string) (plans []planned) {
	examined := regexp.MustCompile(`Rows_examined: (\d+)`)
	for entry := range strings.SplitSeq(log, "# User@Host:") {
		_, rest, _ := strings.Cut(entry, "\nSET timestamp=")
		_, rest, _ = strings.Cut(rest, ";\n")
		statement, _, complete := strings.Cut(rest, ";\n")
		if !complete || !strings.HasPrefix(statement, "SELECT") && !strings.HasPrefix(statement, "INSERT") {
			continue
		}
		p := planned{statement: statement}
		if m := examined.FindStringSubmatch(entry); m != nil {
			p.examined, _ = strconv.Atoi(m[1])
		}
		var columns []string
		for line := range strings.Lines(entry) {
			text, is := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "# explain: ")
			if !is {
				continue
			}
			fields := strings.Split(text, "\t")
			if columns == nil {
				columns = fields
				continue
			}
			field := func(name string) string { return fields[slices.Index(columns, name)] }
			rows, _ := strconv.ParseFloat(field("r_rows"), 64)
			p.steps = append(p.steps, step{field("table"), field("type"), field("key"), field("Extra"), rows})
		}
		plans = append(plans, p)
	}
	return plans
}
