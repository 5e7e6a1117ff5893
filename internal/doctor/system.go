package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Part is a part of a running `countersign up`.
type Part struct {
	Name     string
	State    string // running, or another one
	URL      string // where it answers
	Restarts int
}

// System is a running `countersign up`.
type System struct {
	Flags    string // what follows `countersign up COMMAND` to mean this system, such as ` --data-dir here`; may be empty
	Parts    []Part
	Issuer   string
	AdminURL string
	EntryURL string
	HTTP     *http.Client
}

// running is the state of a part that runs.
const running = "running"

// ExamineSystem looks at the parts of a running system and asks each whether it is there.
func ExamineSystem(ctx context.Context, sys System) []Finding {
	c := Config{Issuer: sys.Issuer, HTTP: sys.HTTP}
	var lists [][]step
	for _, part := range sys.Parts {
		lists = append(lists, []step{single(part.Name, func(ctx context.Context, s step) Finding { return sys.part(ctx, s, part) })})
	}
	lists = append(lists,
		[]step{single("issuer", c.metadata)},
		[]step{single("admin", func(ctx context.Context, s step) Finding { return sys.answers(ctx, s, sys.AdminURL) })},
		[]step{single("entry", func(ctx context.Context, s step) Finding { return sys.answers(ctx, s, sys.EntryURL) })},
	)
	return examine(ctx, lists)
}

func (sys System) command(text string) string { return "countersign up " + text + sys.Flags }

func (sys System) part(ctx context.Context, s step, part Part) Finding {
	if part.State != running {
		return s.fail("it is "+part.State, sys.command("start "+part.Name))
	}
	found := sys.answers(ctx, s, part.URL)
	if found.Level == OK && part.Restarts > 0 {
		return s.warn(fmt.Sprintf("%s; it was started again %d times", found.Found, part.Restarts), "read its log, which `"+sys.command("status")+"` names")
	}
	if found.Level == Fail {
		found.Cure = "read its log, which `" + sys.command("status") + "` names; then kill the part and start it again"
	}
	return found
}

// answers asks for anything at all: whatever the status, somebody is there who speaks HTTP.
func (sys System) answers(ctx context.Context, s step, address string) Finding {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/healthz", http.NoBody)
	if err != nil {
		return s.fail(err.Error(), "see whether the data folder is that of the system")
	}
	began := time.Now()
	response, err := sys.HTTP.Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return s.fail(address+" does not answer within "+Within.String(), "see whether it is paused: "+sys.command("status"))
	}
	if err != nil {
		return s.fail(err.Error(), "see whether a part of it is down: "+sys.command("status"))
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, maxMetadata))
	if response.StatusCode == http.StatusBadGateway || response.StatusCode == http.StatusServiceUnavailable {
		return s.fail(fmt.Sprintf("%s answers with status %d", address, response.StatusCode), "see whether the parts behind it are down: "+sys.command("status"))
	}
	return s.ok(fmt.Sprintf("%s answers, %v", address, rounded(time.Since(began))))
}
