package report

// The rows, sides and figures of results/instances.json by which deployments are sized.
const (
	IdleWork      = "nothing is asked"
	JWTCosts      = "an ES256 JWT issued: each costs"
	OpaqueCosts   = "an opaque token issued: each costs"
	SightCosts    = "introspection at first sight on an instance: each costs"
	PollCosts     = "a poll of the revocation feed: each costs"
	WireWork      = "on the network, without TLS"
	KeptWork      = "what a token takes while it lives"
	AnInstance    = "an instance"
	OneInstance   = "1 instance"
	Ours          = "Countersign"
	Alone         = "one at a time"
	FourInstances = "4 instances"
	InRedis       = "opaque token, in Redis"
	InDatabase    = "opaque token, in the database alone"
	AsJWT         = "ES256 JWT"
	AsOpaque      = "opaque token"
	Introspection = "introspection"
	Poll          = "poll of the feed"

	// Of each request, or per second of an instance that nobody asks.
	Statements    = "statements"
	PerCommit     = "tokens a commit"
	Rows          = "rows"
	RedoLog       = "redo log, bytes"
	BinaryLog     = "binary log, bytes"
	DataFiles     = "data files, bytes"
	Flushes       = "fsyncs"
	LockWaits     = "waits for a row"
	DatabaseBytes = "to and from MariaDB, bytes"
	RedisCommands = "Redis commands"
	RedisBytes    = "to and from Redis, bytes"

	RequestBytes = "request, bytes"
	AnswerBytes  = "answer, bytes"
	DiskBytes    = "on the disk, bytes"
	MemoryBytes  = "in Redis, bytes"
)
