package report

import (
	"fmt"
	"math"
	"strings"
)

// What a deployment is sized by beside what was measured.
const (
	instancesEach = 5.0        // of a service
	callsEach     = 5.0        // APIs that an instance calls, with a token for each
	lifetime      = 3600.0     // of a token, in seconds
	renewedAt     = 0.75       // of its lifetime, on average
	keptAfter     = 3600 + 900 // seconds that a row may outlive its token: a partition is a quarter of an hour, and is dropped an hour after its end
	opaqueShare   = 0.2        // of the tokens
	redeployTime  = 60.0       // seconds in which every instance of every service starts anew
	pollsEach     = 3.0        // a second, of each verifier: within a bound of 1 s
	batchesEach   = 500.0      // that a server commits in a second, one after the other, if the disk takes 2 ms for one
	coresEach     = 2.0        // of a server
	mostBusy      = 0.5        // of them at the worst
	leastServers  = 2.0
	connections   = 18.0 // of a server to the database
)

// demand is what a number of services ask for, per second.
type demand struct {
	tokens, introspections, polls float64
}

// load is what the demand has servers, database and Redis do.
type load struct {
	cores, forPolls, commits, statements, flushes, written, database, redis, network float64
}

// deployment is what so many services take, on average and while all of them start.
type deployment struct {
	services, instances, servers float64
	usual, start                 demand
	atUsual, atStart             load
	rows, disk, memory           float64
}

// price is what requests cost: of the server in µs of processor time, and so on. batched is of tokens that share a commit, and all others are of
// tokens that do not, so that the counts are the most that there can be.
type price struct {
	alone, batched         mixed
	sight, poll            float64 // processor time
	sightOps               float64 // of Redis
	idle, idleOps          float64 // statements, and operations of Redis, of a server by itself per second
	statements, flushes    float64 // of a commit
	written                float64 // bytes of redo log, binary log and data files, of a token
	tokenBytes, sightBytes float64 // on the network
	pollBytes              float64
	records                float64 // operations of Redis, of a token
	rowBytes, recordBytes  float64
}

// mixed is processor time of a token, in µs.
type mixed struct{ server, database float64 }

// figures reads values of a report, and notes whether one was missing.
type figures struct {
	report *Report
	lacks  bool
}

func (f *figures) side(work, name string) *Side {
	for n := range f.report.Rows {
		if row := &f.report.Rows[n]; row.Work == work {
			if s := row.Side(name); s != nil {
				return s
			}
		}
	}
	f.lacks = true
	return new(Side)
}

func (f *figures) of(work, side string, names ...string) (sum float64) {
	s := f.side(work, side)
	for _, name := range names {
		if v := s.Figure(name); v != nil {
			sum += v.Value
		} else {
			f.lacks = true
		}
	}
	return sum
}

// blend is a value of JWTs and one of opaque tokens, as they are mixed.
func blend(jwt, opaque float64) float64 { return (1-opaqueShare)*jwt + opaqueShare*opaque }

func (f *figures) cpu(side string) mixed {
	jwt, opaque := f.side(JWTCosts, side).CPU, f.side(OpaqueCosts, side).CPU
	return mixed{blend(jwt["server"], opaque["server"]), blend(jwt["MariaDB"], opaque["MariaDB"])}
}

// token is the sum of figures of a token that is issued alone.
func (f *figures) token(names ...string) float64 {
	return blend(f.of(JWTCosts, Alone, names...), f.of(OpaqueCosts, Alone, names...))
}

// prices reads what requests cost. It reports false if something was not measured.
func prices(r *Report) (price, bool) {
	f := &figures{report: r}
	wire := func(side string) float64 { return f.of(WireWork, side, RequestBytes, AnswerBytes) }
	p := price{
		alone: f.cpu(Alone), batched: f.cpu(FourInstances),
		sight: f.side(SightCosts, InRedis).CPU["server"], sightOps: f.of(SightCosts, InRedis, RedisCommands),
		poll: f.side(PollCosts, OneInstance).CPU["server"],
		idle: f.of(IdleWork, AnInstance, Statements), idleOps: f.of(IdleWork, AnInstance, RedisCommands),
		statements: f.token(Statements), flushes: f.token(Flushes), written: f.token(RedoLog, BinaryLog) + f.of(KeptWork, Ours, DataFiles),
		tokenBytes: blend(wire(AsJWT), wire(AsOpaque)), sightBytes: wire(Introspection), pollBytes: wire(Poll),
		records: f.token(RedisCommands), rowBytes: f.of(KeptWork, Ours, DiskBytes), recordBytes: f.of(KeptWork, Ours, MemoryBytes),
	}
	return p, !f.lacks
}

// of is what so many services take.
func (p *price) of(services float64) deployment {
	d := deployment{services: services, instances: services * instancesEach}
	held := d.instances * callsEach // tokens at a time
	asked := func(tokens float64) demand {
		return demand{tokens: tokens, introspections: tokens * opaqueShare * instancesEach, polls: d.instances * pollsEach}
	}
	d.usual, d.start = asked(held/(renewedAt*lifetime)), asked(held/redeployTime)
	d.servers = max(leastServers, math.Ceil(p.cores(d.start, p.batched)/(coresEach*mostBusy)))
	d.atUsual, d.atStart = p.load(d.usual, p.alone, d.servers), p.load(d.start, p.batched, d.servers)
	live := d.usual.tokens*lifetime + held // those of the instances before the start have not expired
	d.rows = live + d.usual.tokens*keptAfter
	d.disk, d.memory = d.rows*p.rowBytes, live*opaqueShare*p.recordBytes
	return d
}

func (p *price) cores(d demand, token mixed) float64 {
	return (d.tokens*token.server + d.introspections*p.sight + d.polls*p.poll) / 1e6
}

func (p *price) load(d demand, token mixed, servers float64) load {
	commits := min(d.tokens, servers*batchesEach)
	return load{
		cores: p.cores(d, token), forPolls: d.polls * p.poll / 1e6, commits: commits,
		statements: servers*p.idle + commits*p.statements, flushes: commits * p.flushes, written: d.tokens * p.written, database: d.tokens * token.database / 1e6,
		redis:   servers*p.idleOps + d.tokens*p.records + d.introspections*p.sightOps,
		network: d.tokens*p.tokenBytes + d.introspections*p.sightBytes + d.polls*p.pollBytes,
	}
}

// assumptions is a table of what is assumed, and why.
func assumptions() string {
	return fmt.Sprintf(`| assumed | | |
|---|---|---|
| instances of a service | %s | |
| APIs that an instance calls | %s | it holds a token for each; instances do not share (`+"`WithSharedTokens`"+`) |
| lifetime of a token | %s s | the default of an API |
| renewed at | %s of it | the SDK: between 70 and 80 %%, at random |
| opaque tokens | %s of all | the others are JWTs, about which nobody asks the server |
| introspections of an opaque token | %s | one by each instance of the service that it is for; then the verifier remembers it |
| polls of a verifier | %s /s | a bound of 1 s; every instance of every service verifies |
| all start within | %s s | a synchronous redeploy of everything: each instance asks for all of its tokens |
| commits of a server | %s /s | at most: it commits one batch after the other, and a disk that takes 2 ms for one allows so many |
| a server has | %s cores | a share of %s of them is busy while all start |
| a row outlives its token by | %s s | until its partition is dropped, at most |

`, Number(instancesEach), Number(callsEach), Number(lifetime), Number(renewedAt), Number(opaqueShare), Number(instancesEach), Number(pollsEach), Number(redeployTime),
		Number(batchesEach), Number(coresEach), Number(mostBusy), Number(keptAfter))
}

// Sizing is a table of what some numbers of services take, computed from results/instances.json, below one of what is assumed. What stands behind a
// slash is while all start.
func Sizing(r *Report) string {
	p, complete := prices(r)
	if !complete {
		return ""
	}
	all := []deployment{p.of(100), p.of(1000), p.of(10_000)}
	var b strings.Builder
	b.WriteString(assumptions())
	b.WriteString("| | how it is computed |")
	for _, d := range all {
		fmt.Fprintf(&b, " %s services |", Number(d.services))
	}
	b.WriteString("\n|---|---|---|---|---|\n")
	line := func(what, formula string, values func(d deployment) []float64) {
		fmt.Fprintf(&b, "| %s | %s |", what, formula)
		for _, d := range all {
			var cells []string
			for _, v := range values(d) {
				cells = append(cells, Number(v))
			}
			fmt.Fprintf(&b, " %s |", strings.Join(cells, " / "))
		}
		b.WriteString("\n")
	}
	both := func(of func(demand, load) float64) func(deployment) []float64 {
		return func(d deployment) []float64 { return []float64{of(d.usual, d.atUsual), of(d.start, d.atStart)} }
	}
	one := func(of func(deployment) float64) func(deployment) []float64 {
		return func(d deployment) []float64 { return []float64{of(d)} }
	}
	text := func(format string, values ...float64) string {
		said := make([]any, len(values))
		for n, v := range values {
			said[n] = Number(v)
		}
		return fmt.Sprintf(format, said...)
	}
	line("instances of services, *I*", text("services × %s", instancesEach), one(func(d deployment) float64 { return d.instances }))
	line("tokens/s, *T*", text("*I* × %s ÷ (%s × %s s) / *I* × %s ÷ %s s", callsEach, renewedAt, lifetime, callsEach, redeployTime), both(func(d demand, _ load) float64 { return d.tokens }))
	line("introspections/s, *Q*", text("*T* × %s × %s", opaqueShare, instancesEach), both(func(d demand, _ load) float64 { return d.introspections }))
	line("polls/s, *V*", text("*I* × %s", pollsEach), one(func(d deployment) float64 { return d.usual.polls }))
	line("cores of the servers", text("*T* × %s µs / %s µs + *Q* × %s µs + *V* × %s µs", p.alone.server, p.batched.server, p.sight, p.poll), both(func(_ demand, l load) float64 { return l.cores }))
	line("of them for polls", "*V* alone", one(func(d deployment) float64 { return d.atUsual.forPolls }))
	line("servers, *S*", text("cores ÷ (%s × %s), at least %s", coresEach, mostBusy, leastServers), one(func(d deployment) float64 { return d.servers }))
	line("connections to the database", text("*S* × %s", connections), one(func(d deployment) float64 { return d.servers * connections }))
	line("commits/s, *C*", text("*T*, at most *S* × %s", batchesEach), both(func(_ demand, l load) float64 { return l.commits }))
	line("statements/s", text("*S* × %s + *C* × %s", p.idle, p.statements), both(func(_ demand, l load) float64 { return l.statements }))
	line("fsyncs/s", text("*C* × %s", p.flushes), both(func(_ demand, l load) float64 { return l.flushes }))
	line("written by MariaDB, kB/s", text("*T* × %s bytes", p.written), both(func(_ demand, l load) float64 { return l.written / 1e3 }))
	line("cores of MariaDB", text("*T* × %s µs / %s µs", p.alone.database, p.batched.database), both(func(_ demand, l load) float64 { return l.database }))
	line("rows", text("*T* × (%s s + %s s) + *I* × %s", lifetime, keptAfter, callsEach), one(func(d deployment) float64 { return d.rows }))
	line("on the disk, MB", text("rows × %s bytes", p.rowBytes), one(func(d deployment) float64 { return d.disk / 1e6 }))
	line("operations of Redis, /s", text("*S* × %s + *T* × %s + *Q* × %s", p.idleOps, p.records, p.sightOps), both(func(_ demand, l load) float64 { return l.redis }))
	line("memory of Redis, MB", text("(*T* × %s s + *I* × %s) × %s × %s bytes", lifetime, callsEach, opaqueShare, p.recordBytes), one(func(d deployment) float64 { return d.memory / 1e6 }))
	line("network of the servers, MB/s", text("*T* × %s + *Q* × %s + *V* × %s bytes", p.tokenBytes, p.sightBytes, p.pollBytes), both(func(_ demand, l load) float64 { return l.network / 1e6 }))
	fmt.Fprintf(&b, "\nMeasured on %s.%s\n", r.when(), r.versions())
	return b.String()
}
