package bench

import (
	"bufio"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-redis/redis/v8"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
	"github.com/countersign/countersign/internal/testbed"
)

// firstSights is how many tokens are introspected in a round, each once.
const firstSights = 20_000

// shared is two servers on one database and one Redis: tokens are issued by the one and introspected at the other, which sees each for the first time.
type shared struct {
	*world
	redis           *testbed.Server
	issuing, asking program
	limit           program
}

func (w *world) startShared() *shared {
	w.Helper()
	s := &shared{world: w, redis: testbed.StartRedis(w)}
	settings := []string{"COUNTERSIGN_TOKEN_STORE=" + s.redis.URL(), "COUNTERSIGN_ISSUER=http://" + w.server.address} // to which records are bound
	s.issuing, s.asking = w.another("issuing", settings...), w.another("asking", settings...)
	s.limit = w.startLimit("limit-redis", "LIMIT_REDIS="+strings.TrimSuffix(s.redis.URL(), "0")+"1") // in a database of its own
	return s
}

// sides introspect tokens that are in Redis, each once. They suffice for so many runs.
func (s *shared) sides(runs int) []Side {
	s.Helper()
	load := func(from, to program, issue, introspect string) generator.Load {
		l := generator.Load{
			Address: to.address, Connections: generator.Connections, Body: active, Once: &generator.Once{PerRun: firstSights},
		}
		for _, token := range s.tokens(from, issue, asking(opaqueAPI), runs*firstSights) {
			l.Requests = append(l.Requests, s.post(to, introspect, url.Values{"token": {token}}))
		}
		return l
	}
	sides := []Side{
		{countersign, load(s.issuing, s.asking, "/oauth2/token", "/oauth2/introspect"), map[string]int{
			"server": s.asking.PID(), "Redis": s.redis.PID(), "MariaDB": s.mariadb.PID(),
		}},
		{limit, load(s.limit, s.limit, "/opaque", "/introspect"), map[string]int{
			"server": s.limit.PID(), "Redis": s.redis.PID(), "MariaDB": s.mariadb.PID(),
		}},
	}
	s.stored(runs * firstSights)
	return sides
}

// missing is the share of tokens that may be looked up in the database: servers put records into Redis on the way, and ask it within a budget of
// time; a machine that is busy misses some.
const missing = 0.002

// stored waits until the records of ours are in Redis.
func (s *shared) stored(count int) {
	s.Helper()
	options, err := redis.ParseURL(s.redis.URL())
	s.check(err)
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }() // it was only to look
	testbed.Wait(s, time.Minute, func() error {
		keys, err := client.DBSize(s.Context()).Result()
		if err == nil && float64(keys) < float64(count)*(1-missing) {
			err = fmt.Errorf("%d of %d tokens are in Redis", keys, count)
		}
		return err
	})
}

// settled checks that Redis settled the look-ups, and the database next to none.
func (s *shared) settled(b *testing.B, row report.Row) {
	b.Helper()
	by := s.lookups(s.asking)
	if answered := row.Side(countersign).Requests; by["store"]+by["database"] < answered || float64(by["database"]) > 2*missing*float64(answered) || by["memory"] != 0 {
		b.Fatalf("%d answers, look-ups were settled by %v", answered, by)
	}
}

// lookups returns how many presented tokens each layer of a server settled.
func (s *scene) lookups(p program) map[string]int {
	s.Helper()
	response, err := (&http.Client{Timeout: time.Minute}).Get("http://" + p.admin + "/metrics")
	s.check(err)
	defer response.Body.Close()
	by := map[string]int{}
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		labels, found := strings.CutPrefix(lines.Text(), `countersign_token_lookups_total{layer="`)
		if !found {
			continue
		}
		layer, rest, _ := strings.Cut(labels, `"`)
		_, count, _ := strings.Cut(rest, "} ")
		n, err := strconv.ParseFloat(count, 64)
		s.check(err)
		by[layer] += int(n)
	}
	if len(by) == 0 {
		s.Fatal("no look-ups are counted")
	}
	return by
}
