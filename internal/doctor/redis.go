package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
)

const (
	// slowRedis: beyond it a look into the token store costs more than it saves.
	slowRedis = 5 * time.Millisecond
	// oldestRedis is the first version with access control lists.
	oldestRedis = 6

	unseen = "cannot be seen: the user of token_store may not ask"
)

func (c Config) redis() []step {
	if c.Redis == nil {
		return []step{single("redis", func(_ context.Context, s step) Finding {
			return s.ok("none: the token store is in the process (setting token_store)")
		})}
	}
	var info map[string]string
	return []step{
		{check: "redis sentinels", look: c.sentinels},
		gate("redis", func(ctx context.Context, s step) (found Finding) {
			info, found = c.openRedis(ctx, s)
			return found
		}),
		single("redis access", c.redisAccess),
		single("redis rights", c.redisRights),
		single("redis memory", func(_ context.Context, s step) Finding { return redisMemory(s, info) }),
		single("redis latency", c.redisLatency),
		single("redis clock", func(ctx context.Context, s step) Finding {
			found := c.compareClock(ctx, s, "Redis", c.Redis.Time)
			if strings.Contains(found.Found, "NOPERM") {
				return s.ok(unseen)
			}
			return found
		}),
	}
}

func (c Config) sentinels(ctx context.Context) ([]Finding, bool) {
	s := step{check: "redis sentinels"}
	all := c.Redis.Sentinels(ctx)
	if len(all) == 0 {
		return nil, true // the address is that of a Redis
	}
	var named []string
	for _, one := range all {
		if one.Primary != "" {
			named = append(named, one.Primary)
		}
	}
	found := fmt.Sprintf("%d of %d name a primary", len(named), len(all))
	switch {
	case len(named) == 0:
		return []Finding{s.fail(found, "start them, or correct addresses, name and sentinel_password in the setting token_store")}, false
	case len(named) < len(all):
		return []Finding{s.warn(found, "see to those that do not answer: a failover needs most of them")}, true
	case strings.Count(strings.Join(named, " ")+" ", named[0]+" ") < len(named):
		return []Finding{s.warn("they name different primaries: "+strings.Join(named, ", "), "wait for a failover to end, or see why they do not hear each other")}, true
	case len(all) < 3:
		return []Finding{s.warn(found, "run three: fewer cannot agree once one is gone")}, true
	}
	return []Finding{s.ok(found + ": " + named[0])}, true
}

func (c Config) openRedis(ctx context.Context, s step) (map[string]string, Finding) {
	if err := c.Redis.Ping(ctx); err != nil {
		return nil, s.fail(c.Redis.String()+": "+err.Error(), "start it, or correct address, user and password in the setting token_store; meanwhile everything works from memory and database, more slowly")
	}
	info, err := c.Redis.Info(ctx)
	switch {
	case redisconn.Denied(err):
		return nil, s.ok(c.Redis.String() + " answers; its version " + unseen)
	case err != nil:
		return nil, s.fail(err.Error(), "see whether it still answers")
	}
	found := "Redis " + info["redis_version"] + " at " + c.Redis.String()
	major, _, _ := strings.Cut(info["redis_version"], ".")
	if number, err := strconv.Atoi(major); err != nil || number < oldestRedis {
		return info, s.warn(found, "run Redis 6 or newer: older ones cannot tell users apart")
	}
	if info["role"] == "slave" {
		return info, s.fail(found+" is a replica", "point the setting token_store at the primary, or at its Sentinels by redis+sentinel://")
	}
	return info, s.ok(found)
}

// redisAccess looks whether the way to Redis is as safe as what goes along it.
func (c Config) redisAccess(_ context.Context, s step) Finding {
	scheme, rest, _ := strings.Cut(c.Redis.String(), "://")
	authority, _, _ := strings.Cut(rest, "/")
	near := true
	for host := range strings.SplitSeq(authority, ",") {
		near = near && local(host)
	}
	switch {
	case near:
		return s.ok("on this machine")
	case !c.RedisUser:
		return s.warn("anybody who reaches Redis may read and write there", "make it ask for a user, as docs/token-store.md shows, and name the user in the setting token_store")
	case scheme != "rediss":
		return s.warn("without TLS: who listens on the way learns the password", "use rediss://, or a network of its own")
	}
	return s.ok("by user and password, over TLS")
}

// listener awaits one message.
type listener struct{ subscribed, heard chan struct{} }

func (l listener) Subscribed()    { offer(l.subscribed) }
func (l listener) Message(string) { offer(l.heard) }

func offer(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// redisRights does what a server does there: writes a record, reads it, and sends a hint that it hears itself. Other servers hear it
// too, and look for changes that there are not.
func (c Config) redisRights(ctx context.Context, s step) Finding {
	const cure = "give the user of the setting token_store the rights that docs/token-store.md names"
	key, value := "cst:{doctor}:"+rand.Text(), []byte("a record of countersign doctor")
	if err := c.Redis.Set(ctx, key, value, time.Second); err != nil {
		return s.fail("cannot write: "+err.Error(), cure)
	}
	got, err := c.Redis.Get(ctx, key)
	if err != nil {
		return s.fail("cannot read: "+err.Error(), cure)
	}
	if !bytes.Equal(got, value) {
		return s.fail("does not keep what was written", "see whether it runs out of memory, or is a cluster or a proxy: Redis itself is needed")
	}
	ctx, cancel := context.WithTimeout(ctx, Within/2)
	defer cancel()
	l := listener{make(chan struct{}, 1), make(chan struct{}, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.Redis.Subscribe(ctx, c.HintChannel, l)
	}()
	defer func() { cancel(); <-ended }()
	select {
	case <-l.subscribed:
	case <-ctx.Done():
		return s.fail("cannot subscribe to "+c.HintChannel, cure)
	}
	if err := c.Redis.Publish(ctx, c.HintChannel, "changed"); err != nil {
		return s.fail("cannot publish: "+err.Error(), cure)
	}
	select {
	case <-l.heard:
		return s.ok("a record can be written and read, a hint be sent and heard")
	case <-ctx.Done():
		return s.fail("a hint is sent and not heard", "see whether there is a proxy in between: Redis itself is needed")
	}
}

func redisMemory(s step, info map[string]string) Finding {
	policy := info["maxmemory_policy"]
	switch limit := info["maxmemory"]; {
	case policy == "":
		return s.ok(unseen)
	case limit == "0":
		return s.warn("no limit", "set maxmemory, and maxmemory-policy volatile-ttl or allkeys-lru: a record that is dropped is a miss")
	case policy == "noeviction":
		return s.warn("at most "+info["maxmemory_human"]+", and writes are refused then (noeviction)", "set maxmemory-policy volatile-ttl or allkeys-lru: a record that is dropped is a miss")
	}
	return s.ok("at most " + info["maxmemory_human"] + ", " + policy)
}

func (c Config) redisLatency(ctx context.Context, s step) Finding {
	median, err := medianOf(func() error { return c.Redis.Ping(ctx) })
	if err != nil {
		return s.fail(err.Error(), "see to Redis, or to the network between")
	}
	found := fmt.Sprintf("%s a round trip (median of %d)", rounded(median), rounds)
	switch {
	case median > redisconn.DefaultBudget:
		return s.fail(fmt.Sprintf("%s: a server waits for %v", found, redisconn.DefaultBudget), "run Redis beside the servers")
	case median > slowRedis:
		return s.warn(found, "run Redis beside the servers")
	}
	return s.ok(found)
}
