package bench

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"
	"golang.org/x/sync/errgroup"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
)

const (
	mostInstances  = 4
	sharedIssuer   = "https://auth.bench" // of all instances: nobody follows it
	sightsPerRound = 2000
)

// instancesWorld is several of our servers on one database and one Redis, as in production.
type instancesWorld struct {
	*issuer
	mariadb, redis *testbed.Server
	db             *sql.DB
	store          *redis.Client
	servers        []program
	idle           tally // what all of them do in a second by themselves
}

func newInstancesWorld(b *testing.B) *instancesWorld {
	b.Helper()
	s := newScene(b)
	s.countersign()
	// The binary log is on, as where a replica follows.
	mariadb := testbed.StartMariaDB(b, "--innodb-log-file-size=1G", "--innodb-buffer-pool-size=512M", "--log-bin=binlog", "--sync-binlog=1", "--binlog-format=ROW")
	w := &instancesWorld{mariadb: mariadb, redis: testbed.StartRedis(b), db: testbed.OpenMySQL(b, mariadb.URL())}
	w.issuer = &issuer{scene: s, database: mariadb.URL(), key: s.folder + "/master.key"}
	w.seed()
	options, err := redis.ParseURL(w.redis.URL())
	w.check(err)
	w.store = redis.NewClient(options)
	b.Cleanup(func() { _ = w.store.Close() }) // it was only to look
	for n := range mostInstances {
		w.servers = append(w.servers, w.another(fmt.Sprintf("server-%d", n), "COUNTERSIGN_TOKEN_STORE="+w.redis.URL(), "COUNTERSIGN_ISSUER="+sharedIssuer))
	}
	w.server = w.servers[0]
	return w
}

// spread is a load that some of the instances share evenly, and what was counted of it.
type spread struct {
	name  string
	loads []generator.Load // of an instance each
	pids  map[string]int

	rates    []float64
	spent    []map[string]time.Duration
	counted  []tally // per answer
	requests int
}

// over returns a load on the first instances, with so many connections in all. Each instance is sent the requests that of makes for it.
func (w *instancesWorld) over(name string, instances, connections int, of func(p program) generator.Load) *spread {
	s := &spread{name: name, pids: map[string]int{"MariaDB": w.mariadb.PID(), "Redis": w.redis.PID()}}
	for _, p := range w.servers[:instances] {
		load := of(p)
		load.Address, load.Connections = p.address, connections/instances
		s.loads = append(s.loads, load)
		s.pids[p.address] = p.PID()
	}
	return s
}

// run puts the load on all instances at once.
func (s *spread) run(ctx context.Context, d time.Duration) (answers int, rate float64, cpu time.Duration, err error) {
	samples := make([]generator.Sample, len(s.loads))
	running, ctx := errgroup.WithContext(ctx)
	for n, load := range s.loads {
		load.Duration = d
		running.Go(func() (err error) {
			samples[n], err = load.Run(ctx)
			return err
		})
	}
	if err := running.Wait(); err != nil {
		return 0, 0, 0, fmt.Errorf("%s: %w", s.name, err)
	}
	for _, sample := range samples {
		answers, rate, cpu = answers+sample.Answers, rate+sample.Rate(), cpu+sample.CPU
	}
	return answers, rate, cpu, nil
}

// round runs the load once, and counts what it had database and Redis do, beyond what the instances do by themselves.
func (w *instancesWorld) round(s *spread, d time.Duration) error {
	var answers int
	var rate float64
	var cpu time.Duration
	before, began := w.count(), time.Now()
	spent, err := spentDuring(s.pids, func() (err error) {
		answers, rate, cpu, err = s.run(w.Context(), d)
		return err
	})
	if err != nil {
		return err
	}
	counted := w.count().since(before).less(w.idle, time.Since(began).Seconds())
	total := map[string]time.Duration{loadProcess: cpu}
	for name, t := range spent {
		if strings.Contains(name, ":") { // an instance's address
			name = "server"
		}
		total[name] += t
	}
	s.rates, s.spent, s.requests = append(s.rates, rate), append(s.spent, total), s.requests+answers
	s.counted = append(s.counted, counted.per(float64(answers)))
	return nil
}

// takeTurns runs all loads in rounds, of which each begins with another one.
func (w *instancesWorld) takeTurns(rounds Rounds, all ...*spread) error {
	for _, s := range all {
		if _, _, _, err := s.run(w.Context(), rounds.WarmUp); err != nil {
			return err
		}
	}
	for n := range rounds.Count {
		for k := range all {
			if err := w.round(all[(n+k)%len(all)], rounds.Each); err != nil {
				return err
			}
		}
	}
	return nil
}

// rated is how many requests were answered, and by how much processor time.
func (s *spread) rated() report.Side {
	return report.Side{
		Name: s.name, Figures: []report.Figure{report.NewFigure(report.Rate, report.PerSecond, s.rates...)},
		CPU: perThousand(s.spent, s.requests), Requests: s.requests,
	}
}

// costs are the named counts per answer.
func (s *spread) costs(names ...string) report.Side {
	side := report.Side{Name: s.name, CPU: perThousand(s.spent, s.requests), Requests: s.requests}
	for _, name := range names {
		var rounds []float64
		for _, c := range s.counted {
			rounds = append(rounds, c[name])
		}
		side.Figures = append(side.Figures, report.NewFigure(name, "", rounds...))
	}
	return side
}

// idling is what an instance does by itself, without a request, and what database and Redis do for it.
func (w *instancesWorld) idling(d time.Duration) (report.Row, error) {
	pids := map[string]int{"MariaDB": w.mariadb.PID(), "Redis": w.redis.PID()}
	for _, p := range w.servers {
		pids[p.address] = p.PID()
	}
	before, began := w.count(), time.Now()
	spent, err := spentDuring(pids, func() error {
		select {
		case <-w.Context().Done():
			return w.Context().Err()
		case <-time.After(d): // nothing is awaited: it is what happens meanwhile
			return nil
		}
	})
	if err != nil {
		return report.Row{}, err
	}
	seconds := time.Since(began).Seconds()
	w.idle = w.count().since(before).per(seconds)
	var servers time.Duration
	for _, p := range w.servers {
		servers += spent[p.address]
	}
	each := func(n float64) float64 { return n / mostInstances }
	side := report.Side{Name: report.AnInstance, Figures: []report.Figure{
		report.NewFigure(report.Statements, report.PerSecond, each(w.idle[report.Statements])),
		report.NewFigure(report.RedisCommands, report.PerSecond, each(w.idle[report.RedisCommands])),
		report.NewFigure("its processor time, ms", report.PerSecond, each(millis(servers)/seconds)),
		report.NewFigure("of MariaDB for it, ms", report.PerSecond, each(millis(spent["MariaDB"])/seconds)),
	}}
	row := report.Row{Work: report.IdleWork, Sides: []report.Side{side}}
	return row, row.Judge(report.Verdict{Figure: report.Statements, Of: report.AnInstance, AtMost: true, Floor: 20, Goal: 8})
}

// memory is what the instances have in use, in MiB.
func (w *instancesWorld) memory() (each []float64) {
	w.Helper()
	for _, p := range w.servers {
		used, err := resident(p.PID())
		w.check(err)
		each = append(each, mebibytes(used))
	}
	return each
}

// exchange sends a request, and returns how many bytes the answer has in all, and its body.
func (w *instancesWorld) exchange(request []byte) (size int, body []byte) {
	w.Helper()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(w.Context(), "tcp", w.server.address)
	w.check(err)
	defer func() { _ = conn.Close() }()
	w.check(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	_, err = conn.Write(request)
	w.check(err)
	var read bytes.Buffer
	answer, err := http.ReadResponse(bufio.NewReader(io.TeeReader(conn, &read)), nil)
	w.check(err)
	body, err = io.ReadAll(answer.Body)
	w.check(errors.Join(err, answer.Body.Close()))
	if answer.StatusCode != http.StatusOK {
		w.Fatal(answer.Status)
	}
	return read.Len(), body
}

// firstSights are introspections of tokens, each once, at an instance that has not issued them.
func (w *instancesWorld) firstSights(name, api string, runs int) *spread {
	w.Helper()
	issuing, asked := w.servers[0], w.servers[1]
	load := generator.Load{Address: asked.address, Connections: generator.Connections, Body: active, Once: &generator.Once{PerRun: sightsPerRound}}
	for _, token := range w.tokens(issuing, "/oauth2/token", asking(api), runs*sightsPerRound) {
		load.Requests = append(load.Requests, w.introspection(asked, token))
	}
	return &spread{
		name: name, loads: []generator.Load{load}, pids: map[string]int{"MariaDB": w.mariadb.PID(), "Redis": w.redis.PID(), asked.address: asked.PID()},
	}
}

func (w *instancesWorld) introspection(p program, token string) []byte {
	return w.post(p, "/oauth2/introspect", url.Values{"token": {token}})
}

// poll is a question for what is new in the revocation feed, as each verifier puts it a few times a second.
func (w *instancesWorld) poll(p program) []byte {
	w.Helper()
	const path = "/oauth2/revocations"
	credentials := base64.StdEncoding.EncodeToString([]byte(w.caller.ID.String() + ":" + w.caller.Secret.Reveal()))
	get := func(path string) []byte {
		return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n\r\n", path, p.address, credentials)
	}
	var feed struct {
		Generation string `json:"generation"`
		Sequence   uint64 `json:"seq"`
	}
	_, body := w.exchange(get(path))
	w.check(json.Unmarshal(body, &feed))
	return get(fmt.Sprintf("%s?after=%s.%d", path, feed.Generation, feed.Sequence))
}

// polled checks that the feed had nothing new.
func polled(body []byte) error {
	var feed struct {
		Entries  []json.RawMessage `json:"entries"`
		Snapshot bool              `json:"snapshot"`
	}
	if err := json.Unmarshal(body, &feed); err != nil {
		return err
	}
	if feed.Snapshot || len(feed.Entries) > 0 {
		return errors.New("not the answer to who knows all")
	}
	return nil
}

func (w *instancesWorld) versions() map[string]string {
	w.Helper()
	var mariadb string
	w.check(w.db.QueryRowContext(w.Context(), "SELECT VERSION()").Scan(&mariadb))
	info, err := w.store.Info(w.Context(), "server").Result()
	w.check(err)
	_, after, _ := strings.Cut(info, "redis_version:")
	version, _, _ := strings.Cut(after, "\r\n")
	return map[string]string{"MariaDB": strings.TrimSuffix(mariadb, "-log"), "Redis": version}
}
