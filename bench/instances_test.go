package bench

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
)

const (
	idleFor   = 20 * time.Second
	aloneRate = 100 // per second, on one connection: each token is committed by itself

	// unanswered is the share of the counts that may belong to requests which are on their way when a round ends, and to what instances do
	// by themselves.
	unanswered = 0.05
)

// BenchmarkInstances is several instances of the authorization server on one database and one Redis: what a request costs each of them, counted. Its
// rows are those of results/instances.md, of which docs/sizing.md is computed.
func BenchmarkInstances(b *testing.B) {
	w := newInstancesWorld(b)
	var rows []report.Row
	measure := func(name string, work func(*testing.B) ([]report.Row, error)) {
		b.Run(name, func(b *testing.B) {
			all, err := work(b)
			if err != nil {
				b.Error(err)
			}
			rows = append(rows, all...)
			tell(b, all...)
		})
	}
	measure("idle", func(*testing.B) ([]report.Row, error) {
		row, err := w.idling(idleFor)
		return []report.Row{row}, err
	})
	measure("token-jwt", func(*testing.B) ([]report.Row, error) {
		return w.issued(jwtAPI, "an ES256 JWT issued", report.JWTCosts)
	})
	var inRedis float64
	measure("token-opaque", func(*testing.B) (all []report.Row, err error) {
		inRedis = w.perRecord(func() { all, err = w.issued(opaqueAPI, "an opaque token issued", report.OpaqueCosts) })
		return all, err
	})
	measure("introspect", func(*testing.B) ([]report.Row, error) { return w.introspected() })
	measure("poll", func(*testing.B) ([]report.Row, error) { return w.polled() })
	measure("size", func(*testing.B) ([]report.Row, error) { return w.sizes(inRedis), nil })
	const all = 9
	if len(rows) < all {
		return // some were not asked for, or could not be measured; that a bound is missed is told
	}
	w.publish(&report.Report{
		Name: "instances", Title: "Several instances on one database", Versions: w.versions(), Rows: rows,
		Setting: fmt.Sprintf("%d instances of `countersign server` on one MariaDB, with `innodb_flush_log_at_trx_commit=1`, the binary log and `sync_binlog=1`, and one Redis; "+
			"the first, the first two, or all of them are asked, over %d connections in all. Everything shares %d processors: rates cannot grow by instances here, and "+
			"fall, since each has fewer tokens to put into a batch. What one request costs is counted by MariaDB and Redis themselves.",
			mostInstances, generator.Connections, report.ThisMachine().Cores),
		Notes: []string{
			fmt.Sprintf("**%s**: %d requests a second on one connection, so that every token is a batch of its own: the most that one can cost. "+
				"What the instances do by themselves, the first row, is taken off all others. What is on its way when a round ends is counted, and no answer: some 1 %%.", report.Alone, aloneRate),
			"fsyncs are those of the redo log and the binary log. Pages of the data files are written later, when the redo log needs room: their bytes are those of having each page that was changed " +
				"written once, when all was done, the doublewrite buffer included. Pages that are changed over a longer time are written several times.",
			"Not measured: a real network and a real disk. On loopback and in a temporary folder no wait for either is in the figures, and the counts do not depend on it.",
		},
	})
}

// issued asks one, two and four instances for tokens in turn, and one for a token at a time.
func (w *instancesWorld) issued(api, what, each string) ([]report.Row, error) {
	w.Helper()
	load := func(p program) generator.Load {
		return generator.Load{Requests: [][]byte{w.post(p, "/oauth2/token", asking(api))}, Body: issued(api == jwtAPI)}
	}
	paced := func(p program) generator.Load {
		l := load(p)
		l.Rate = aloneRate
		return l
	}
	all := []*spread{
		w.over(report.Alone, 1, 1, paced), w.over(report.OneInstance, 1, generator.Connections, load),
		w.over("2 instances", 2, generator.Connections, load), w.over(report.FourInstances, mostInstances, generator.Connections, load),
	}
	if err := w.takeTurns(Rounds{Count: 5, Each: 2 * time.Second, WarmUp: time.Second}, all...); err != nil {
		return nil, err
	}
	rate, cost := report.Row{Work: what}, report.Row{Work: each}
	for _, s := range all {
		cost.Sides = append(cost.Sides, s.costs(report.PerCommit, report.Statements, report.Rows, report.RedoLog, report.BinaryLog, report.Flushes,
			report.LockWaits, report.DatabaseBytes, report.RedisCommands, report.RedisBytes))
		if s.name != report.Alone {
			rate.Sides = append(rate.Sides, s.rated())
		}
	}
	records := float64(1) // a record is written once
	if api == jwtAPI {
		records = 0
	}
	return []report.Row{rate, cost}, judge(&cost,
		report.Verdict{Figure: report.LockWaits, Of: report.FourInstances},
		report.Verdict{Figure: report.Statements, Of: report.Alone, Floor: 2.2, Goal: 2},
		report.Verdict{Figure: report.Rows, Of: report.FourInstances, Floor: 1 + unanswered},
		report.Verdict{Figure: report.RedisCommands, Of: report.FourInstances, Floor: records + unanswered},
	)
}

// judge looks at figures that may be so much at most.
func judge(row *report.Row, verdicts ...report.Verdict) error {
	var missed []error
	for _, v := range verdicts {
		v.AtMost = true
		missed = append(missed, row.Judge(v))
	}
	return errors.Join(missed...)
}

// introspected asks an instance about tokens that others have issued.
func (w *instancesWorld) introspected() ([]report.Row, error) {
	w.Helper()
	rounds := Rounds{Count: 5, Each: 5 * time.Second, WarmUp: time.Second}
	row := report.Row{Work: report.SightCosts}
	measure := func(s *spread) error {
		err := w.takeTurns(rounds, s)
		if err == nil {
			row.Sides = append(row.Sides, s.costs(report.Statements, report.DatabaseBytes, report.RedisCommands, report.RedisBytes))
		}
		return err
	}
	runs := rounds.Count + 1
	if err := measure(w.firstSights(report.AsJWT, jwtAPI, runs)); err != nil {
		return nil, err
	}
	if err := measure(w.firstSights(report.InRedis, opaqueAPI, runs)); err != nil {
		return nil, err
	}
	forgotten := w.firstSights(report.InDatabase, opaqueAPI, runs)
	w.check(w.store.FlushDB(w.Context()).Err())
	if err := measure(forgotten); err != nil {
		return nil, err
	}
	return []report.Row{row}, judge(&row,
		report.Verdict{Figure: report.Statements, Of: report.AsJWT, Floor: unanswered},
		report.Verdict{Figure: report.Statements, Of: report.InRedis, Floor: unanswered},
		report.Verdict{Figure: report.Statements, Of: report.InDatabase, Floor: 1 + unanswered},
	)
}

// polled asks for revocations as verifiers do that know them all.
func (w *instancesWorld) polled() ([]report.Row, error) {
	w.Helper()
	s := w.over(report.OneInstance, 1, generator.Connections, func(p program) generator.Load {
		return generator.Load{Requests: [][]byte{w.poll(p)}, Body: polled}
	})
	if err := w.takeTurns(Rounds{Count: 5, Each: time.Second, WarmUp: time.Second}, s); err != nil {
		return nil, err
	}
	row := report.Row{Work: report.PollCosts, Sides: []report.Side{s.costs(report.Statements, report.DatabaseBytes, report.RedisCommands, report.RedisBytes)}}
	return []report.Row{row}, judge(&row, report.Verdict{Figure: report.Statements, Of: report.OneInstance, Floor: unanswered})
}

// sizes is what tokens take on the network, on the disk and in Redis.
func (w *instancesWorld) sizes(inRedis float64) []report.Row {
	w.Helper()
	wire := report.Row{Work: report.WireWork}
	send := func(name string, request []byte) {
		size, _ := w.exchange(request)
		wire.Sides = append(wire.Sides, report.Side{Name: name, Figures: []report.Figure{
			report.NewFigure(report.RequestBytes, "", float64(len(request))), report.NewFigure(report.AnswerBytes, "", float64(size)),
		}})
	}
	send(report.AsJWT, w.post(w.server, "/oauth2/token", asking(jwtAPI)))
	send(report.AsOpaque, w.post(w.server, "/oauth2/token", asking(opaqueAPI)))
	send(report.Introspection, w.introspection(w.server, w.tokens(w.server, "/oauth2/token", asking(opaqueAPI), 1)[0]))
	send(report.Poll, w.poll(w.server))
	onDisk, written := w.flushed()
	return []report.Row{wire, {Work: report.KeptWork, Sides: []report.Side{{Name: countersign, Figures: []report.Figure{
		report.NewFigure(report.DiskBytes, "", onDisk), report.NewFigure(report.DataFiles, "", written),
		report.NewFigure(report.MemoryBytes, "", inRedis), report.NewFigure("memory of an instance after all", "MiB", w.memory()...),
	}}}}}
}

// perRecord returns how much Redis grew for each token that was issued meanwhile, in bytes.
func (w *instancesWorld) perRecord(issue func()) float64 {
	w.Helper()
	bytes, records := w.memoryOfRedis()
	issue()
	after, more := w.memoryOfRedis()
	return (after - bytes) / (more - records)
}

// flushed has MariaDB write all that it holds back, and returns how many bytes a token has on the disk, and how many were written for it.
func (w *instancesWorld) flushed() (onDisk, written float64) {
	w.Helper()
	_, err := w.db.ExecContext(w.Context(), "SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0, innodb_max_dirty_pages_pct = 0")
	w.check(err)
	testbed.Wait(w, time.Minute, func() error {
		var name string
		var dirty int
		err := w.db.QueryRowContext(w.Context(), "SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'").Scan(&name, &dirty)
		if err == nil && dirty > 0 {
			err = fmt.Errorf("%d pages are to be written", dirty)
		}
		return err
	})
	var size float64
	w.check(w.db.QueryRowContext(w.Context(), "SELECT SUM(file_size) FROM information_schema.innodb_sys_tablespaces WHERE name LIKE 'countersign/tokens#%'").Scan(&size))
	rows := w.rows()
	return size / rows, w.count()[report.DataFiles] / rows
}
