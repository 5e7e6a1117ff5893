package doctor

import (
	"context"
	"time"
)

// Within the package the machine is looked at by parts.
func (c Config) Memory(told int64) Finding { return c.memory(step{check: "memory"}, told) }

func Files(limit uint64) Finding { return judgeFiles(step{check: "open files"}, limit) }

func (c Config) Certificate() Finding { return c.lookAtCertificate(step{check: "certificate"}) }

func (c Config) Issuers(ctx context.Context) []Finding { return examine(ctx, [][]step{c.issuer()}) }

func (c Config) Proxies() Finding { return c.lookAtProxies(step{check: "trusted proxies"}) }

func (c Config) CompareClock(ctx context.Context, read func(context.Context) (time.Time, error)) Finding {
	return c.compareClock(ctx, step{check: "clock"}, "the database", read)
}

func (c Config) DatabaseTLSOf(facts Facts) Finding {
	return c.databaseTLS(context.Background(), step{check: "database TLS"}, nil, facts)
}

// Steps examines two lists: one whose first step hangs, and one that is quick.
func Steps(ctx context.Context, hang, quick func(context.Context) string) []Finding {
	look := func(check string, do func(context.Context) string) step {
		return single(check, func(ctx context.Context, s step) Finding { return s.ok(do(ctx)) })
	}
	return examine(ctx, [][]step{{look("hangs", hang), look("after", quick)}, {look("quick", quick)}})
}
