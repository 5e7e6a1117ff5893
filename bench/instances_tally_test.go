package bench

import (
	"bufio"
	"strconv"
	"strings"
	"testing"

	"github.com/countersign/countersign/bench/report"
)

// tally is what database and Redis count of their work, by the names of figures.
type tally map[string]float64

// counters says which figure each counter of MariaDB adds to (SHOW GLOBAL STATUS). Those of the files count the redo log's fsyncs, too; of the binary
// log it is one for each group of commits, since sync_binlog is 1.
func counters() map[string]string {
	return map[string]string{
		"QUESTIONS": report.Statements, "COM_INSERT": inserts,
		"INNODB_OS_LOG_WRITTEN": report.RedoLog, "BINLOG_BYTES_WRITTEN": report.BinaryLog, "INNODB_DATA_WRITTEN": report.DataFiles,
		"INNODB_DATA_FSYNCS": report.Flushes, "BINLOG_GROUP_COMMITS": report.Flushes,
		"INNODB_ROW_LOCK_WAITS": report.LockWaits, "BYTES_RECEIVED": report.DatabaseBytes, "BYTES_SENT": report.DatabaseBytes,
	}
}

// inserts are the batches: each is one statement.
const inserts = "inserts"

// count reads the counters of MariaDB and Redis.
func (w *instancesWorld) count() tally {
	w.Helper()
	t, of := tally{report.Rows: w.rows()}, counters()
	rows, err := w.db.QueryContext(w.Context(), "SHOW GLOBAL STATUS")
	w.check(err)
	defer rows.Close()
	for rows.Next() {
		var name, text string
		w.check(rows.Scan(&name, &text))
		if figure, found := of[strings.ToUpper(name)]; found {
			t[figure] += w.number(text)
		}
	}
	w.check(rows.Err())
	w.ofRedis(func(name, value string) {
		switch {
		case strings.HasPrefix(name, "cmdstat_") && name != "cmdstat_info": // which is how they are read
			calls, _, _ := strings.Cut(strings.TrimPrefix(value, "calls="), ",")
			t[report.RedisCommands] += w.number(calls)
		case name == "total_net_input_bytes", name == "total_net_output_bytes":
			t[report.RedisBytes] += w.number(value)
		}
	})
	return t
}

// ofRedis calls do for each line of what Redis tells of itself.
func (w *instancesWorld) ofRedis(do func(name, value string)) {
	w.Helper()
	info, err := w.store.Info(w.Context(), "all").Result()
	w.check(err)
	for lines := bufio.NewScanner(strings.NewReader(info)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		do(name, value)
	}
}

func (w *instancesWorld) number(text string) float64 {
	w.Helper()
	n, err := strconv.ParseFloat(text, 64)
	w.check(err)
	return n
}

// memoryOfRedis is how many bytes Redis has in use, and for how many records.
func (w *instancesWorld) memoryOfRedis() (bytes, records float64) {
	w.Helper()
	w.ofRedis(func(name, value string) {
		if name == "used_memory" {
			bytes = w.number(value)
		}
	})
	keys, err := w.store.DBSize(w.Context()).Result()
	w.check(err)
	return bytes, float64(keys)
}

// rows is how many tokens the database has.
func (w *instancesWorld) rows() (n float64) {
	w.Helper()
	w.check(w.db.QueryRowContext(w.Context(), "SELECT COUNT(*) FROM tokens").Scan(&n))
	return n
}

// since returns what was counted after another reading. The statements of this one are not counted.
func (t tally) since(before tally) tally {
	delta := tally{}
	for name, n := range t {
		delta[name] = n - before[name]
	}
	delta[report.Statements] -= 2
	return delta
}

// less takes off what happens each second anyway.
func (t tally) less(idle tally, seconds float64) tally {
	rest := tally{}
	for name, n := range t {
		rest[name] = max(0, n-idle[name]*seconds)
	}
	return rest
}

// per divides everything by n, and adds how many answers shared a batch if n is a number of answers.
func (t tally) per(n float64) tally {
	each := tally{}
	for name, sum := range t {
		each[name] = sum / n
	}
	if each[inserts] > 0 {
		each[report.PerCommit] = 1 / each[inserts]
	}
	return each
}

func TestTally(t *testing.T) {
	t.Parallel()
	before := tally{report.Statements: 100, report.RedisCommands: 7}
	after := tally{report.Statements: 342, report.RedisCommands: 17, inserts: 25}
	counted := after.since(before).less(tally{report.Statements: 16, report.RedisCommands: 6}, 2.5).per(100)
	// Of 242 statements two are those of the second reading, and 40 would have been there without a request.
	if counted[report.Statements] != 2 || counted[report.RedisCommands] != 0 || counted[report.PerCommit] != 4 {
		t.Error(counted)
	}
}
