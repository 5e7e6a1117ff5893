package api

import (
	"bufio"
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

type exportInput struct {
	Filter

	After  uint64 `query:"after" maximum:"9007199254740991" doc:"Only events with a higher number."`
	Follow bool   `query:"follow" doc:"Go on with what happens."`
}

// lines is an answer that is written as it goes.
type lines struct {
	Body func(huma.Context)
}

const (
	linesType = "application/jsonl"

	exportPage  = 500
	exportWrite = 30 * time.Second // for a reader to make room
	exportQuiet = 15 * time.Second // until an empty line says that the stream lives
)

// exportAudit finds the first events before the answer begins, so that a caller who may not read them is told in the usual way.
func (s *service) exportAudit(ctx context.Context, in *exportInput) (*lines, error) {
	e := &export{service: s, call: from(ctx), query: in.query(), follow: in.Follow}
	e.query.After, e.query.Limit = in.After, exportPage
	first, err := e.registry.Events(ctx, e.actor, e.query)
	if err != nil {
		return nil, err
	}
	if e.follow && s.ended(ctx) {
		return nil, fault.New(fault.Unavailable, "the server is stopping")
	}
	return &lines{Body: func(x huma.Context) {
		exchange, ok := x.(*exchange)
		if ok {
			e.run(ctx, exchange.answer, first)
		}
	}}, nil
}

// export is one reader of the audit log.
type export struct {
	*service
	*call

	query  auth.AuditQuery
	follow bool
	out    *bufio.Writer
	answer http.ResponseWriter
	spoke  time.Time
}

// run writes until there is no more, or, when following, until the reader is gone, may read no more, or the server ends. From here on
// the answer has begun: how it ends is seen by the end of the connection alone.
func (e *export) run(ctx context.Context, w http.ResponseWriter, page []*auth.AuditEvent) {
	e.answer, e.out, e.spoke = w, bufio.NewWriter(w), time.Now()
	w.Header().Set("Content-Type", linesType)
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold the lines back
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	for e.send(page) {
		if len(page) < exportPage && (!e.follow || !e.rest(ctx)) {
			return
		}
		var err error
		if page, err = e.registry.Events(ctx, e.actor, e.query); err != nil {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
	}
}

// send writes a page, and an empty line if there was nothing to write for long.
func (e *export) send(page []*auth.AuditEvent) bool {
	control := http.NewResponseController(e.answer)
	_ = control.SetWriteDeadline(time.Now().Add(exportWrite))
	for _, event := range page {
		if encode(e.out, showEvent(event)) != nil {
			return false
		}
		e.query.After = event.Number
	}
	if len(page) == 0 && e.follow && time.Since(e.spoke) > exportQuiet {
		_ = e.out.WriteByte('\n') // kept by the writer until it is flushed
	}
	if e.out.Buffered() > 0 || len(page) > 0 {
		e.spoke = time.Now()
	}
	return e.out.Flush() == nil && control.Flush() == nil
}

// rest waits for news. It returns false if the stream is to end: who was revoked or disabled meanwhile reads no more.
func (e *export) rest(ctx context.Context) bool {
	select {
	case <-time.After(e.Follow):
	case <-ctx.Done():
	case <-e.Draining:
	}
	if e.ended(ctx) {
		return false
	}
	_, err := e.Authenticator.Authenticate(ctx, e.bearer)
	return err == nil
}

func (s *service) ended(ctx context.Context) bool {
	select {
	case <-s.Draining:
		return true
	case <-ctx.Done():
		return true
	default:
		return false
	}
}
