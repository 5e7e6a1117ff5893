package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
)

const (
	residentFigure = "resident"
	megabyte       = "MB" // 1,000,000 bytes

	// untilIdle is when a process has given back what only its start needed.
	untilIdle = 10 * time.Second

	memoryStep  = 100_000 // tokens, as many as a server keeps in its memory by default
	memorySteps = 10
	// fullStep is when a server has all that it will ever have: by then its memory of tokens was filled three times over.
	fullStep = 3
	// look is how often the memory is looked at, and looks how often at most.
	look, looks = 2 * time.Second, 300
)

// BenchmarkMemory is how much memory processes have that nobody asks, and a server that issues a million tokens. Its rows are those of
// results/memory.md.
func BenchmarkMemory(b *testing.B) {
	w := newEdgeWorld(b)
	mariadb := testbed.StartMariaDB(b, "--innodb-log-file-size=1G")
	onMariaDB := (&scene{B: b, folder: b.TempDir(), binary: w.countersign()}).startIssuer(mariadb.URL())
	gateway, balancer := w.gateway("gateway", false), w.balancer("lb")
	var rows []report.Row
	b.Run("idle", func(b *testing.B) {
		time.Sleep(untilIdle) // it is measured what becomes of them by themselves
		for _, p := range []struct {
			work string
			pid  int
		}{
			{"idle server on SQLite", w.server.PID()},
			{"idle server on MariaDB", onMariaDB.server.PID()},
			{"idle gateway", gateway.PID()},
			{"idle load balancer", balancer.PID()},
		} {
			side, err := holding(countersign, p.pid)
			w.check(err)
			row := report.Row{Work: p.work, Sides: []report.Side{side}}
			v := report.Verdict{Figure: residentFigure, Of: countersign, AtMost: true, Floor: 40, Goal: 25, Summary: "memory, " + p.work}
			if err := row.Judge(v); err != nil {
				b.Error(err)
			}
			rows = append(rows, row)
		}
		tell(b, rows...)
	})
	b.Run("million", func(b *testing.B) {
		row := onMariaDB.growing(b)
		v := report.Verdict{
			Figure: residentFigure, Of: afterTokens(memorySteps), Beside: afterTokens(fullStep), AtMost: true, Floor: 1.1, Goal: 1,
			Summary: fmt.Sprintf("memory of a server %s, beside %s", afterTokens(memorySteps), afterTokens(fullStep)),
		}
		if err := row.Judge(v); err != nil {
			b.Error(err)
		}
		rows = append(rows, row)
		tell(b, row)
	})
	const all = 5
	if len(rows) < all {
		return // some were not asked for, or could not be measured; that a floor is missed is told
	}
	w.publish(&report.Report{
		Name: "memory", Title: "Memory", Rows: rows,
		Setting: "As `/proc/PID/status` has it: VmRSS, and of that RssAnon, which the process has alone, and RssFile, the mapped pages of files, which all processes of a binary share. " +
			"Idle is ten seconds after the start, when nobody has asked for more than a token.",
		Notes: []string{
			fmt.Sprintf("The million are opaque tokens on MariaDB, from %d connections. A server keeps %s tokens in its own memory unless it is told otherwise, "+
				"so after the first %[2]s it is full, and after three times as many so is what is allocated around that. It is looked at every %[3]v, so a little later than is said.",
				generator.Connections, report.Number(memoryStep), look),
		},
	})
}

// growing issues tokens, and looks at the memory of the server after each step.
func (i *issuer) growing(b *testing.B) report.Row {
	b.Helper()
	row := report.Row{Work: "a server that issues opaque tokens"}
	load := generator.Load{
		Address: i.server.address, Connections: generator.Connections, Duration: look, Body: issued(false),
		Requests: [][]byte{i.post(i.server, "/oauth2/token", asking(opaqueAPI))},
	}
	issuedSoFar := 0
	for range looks {
		sample, err := load.Run(b.Context())
		i.check(err)
		issuedSoFar += sample.Answers
		if issuedSoFar < (len(row.Sides)+1)*memoryStep {
			continue
		}
		side, err := holding(afterTokens(len(row.Sides)+1), i.server.PID())
		i.check(err)
		if row.Sides = append(row.Sides, side); len(row.Sides) == memorySteps {
			return row
		}
	}
	b.Fatalf("%d tokens in %v", issuedSoFar, looks*look)
	return row
}

// afterTokens names a server by how many it has issued.
func afterTokens(steps int) string {
	return "after " + report.Number(float64(steps*memoryStep)) + " tokens"
}

// holding is a side that has the memory of a process.
func holding(name string, pid int) (report.Side, error) {
	side := report.Side{Name: name}
	for _, f := range []struct{ name, field string }{{residentFigure, "VmRSS"}, {"private", "RssAnon"}, {"of files", "RssFile"}} {
		bytes, err := memory(pid, f.field)
		if err != nil {
			return side, err
		}
		side.Figures = append(side.Figures, report.NewFigure(f.name, megabyte, float64(bytes)/1e6))
	}
	return side, nil
}
