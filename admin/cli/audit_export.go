package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newAuditExportCmd(a *app) *cobra.Command {
	var f auditFlags
	var follow bool
	var after uint64
	cmd := &cobra.Command{
		Use: "export", Short: "Write events as JSON lines, the oldest first", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Write events as JSON lines, the oldest first. With --follow it goes on as new ones come, until it is\n" +
			"interrupted, and over restarts of the server. --after goes on where an earlier export ended.",
		Example: "  countersign audit export > audit.jsonl\n  countersign audit export --follow --after 1207 | vector",
	}
	f.bind(cmd, a)
	cmd.Flags().BoolVar(&follow, "follow", false, "go on as new events come")
	cmd.Flags().Uint64Var(&after, "after", 0, "only events behind this `number`")
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		if s.print.form == asYAML {
			return usagef("--output is yaml: an export is always JSON lines")
		}
		query, err := f.query(ctx, s)
		if err != nil {
			return err
		}
		lines := &eventLines{out: s.print.out, last: after}
		if !follow {
			return s.api.export(ctx, query, lines)
		}
		query["follow"] = []string{"true"}
		return s.followEvents(ctx, query, lines)
	})
	return cmd
}

// eventLines copies whole lines and remembers how far it came.
type eventLines struct {
	out  io.Writer
	last uint64
}

// maxEvent bounds one line of an export, in bytes.
const maxEvent = 4 << 20

// longestQuiet is how long a stream may say nothing: the server writes an empty line every 15 seconds.
const longestQuiet = time.Minute

// copy writes each line as it comes, and tells of it by heard. Lines that are empty keep a stream alive.
func (l *eventLines) copy(in io.Reader, heard func()) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		heard()
		if len(lines.Bytes()) == 0 {
			continue
		}
		var event wire.Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return &silence{err: errors.New("a line of the export is not whole")}
		}
		if _, err := fmt.Fprintf(l.out, "%s\n", lines.Bytes()); err != nil {
			return fmt.Errorf("print the event: %w", err)
		}
		l.last = event.Number
	}
	if err := lines.Err(); err != nil {
		return &silence{err: err}
	}
	return nil
}

// export copies the events behind those that lines has.
func (r *remote) export(ctx context.Context, query url.Values, lines *eventLines) error {
	if err := r.authorize(ctx); err != nil {
		return err
	}
	if lines.last > 0 {
		query.Set("after", fmt.Sprint(lines.last))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(longestQuiet, func() { cancel(context.DeadlineExceeded) })
	defer quiet.Stop()
	resp, err := r.send(ctx, request{method: http.MethodGet, path: "/audit/export", query: query}, nil, "")
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			_, err = read(resp)
		} else {
			err = lines.copy(resp.Body, func() { quiet.Reset(longestQuiet) })
		}
	}
	if silent, ok := errors.AsType[*silence](err); ok {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			silent.err = context.DeadlineExceeded
		}
		silent.url = r.base
		return silent.fault("the admin API", r.issuer.at.start)
	}
	return err
}

// followEvents exports until the user interrupts. What ends for a while, such as a server that restarts, is asked again; what is refused
// is not.
func (s *session) followEvents(ctx context.Context, query url.Values, lines *eventLines) error {
	const pause = time.Second
	for told := false; ; {
		before := lines.last
		err := s.api.export(ctx, query, lines)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted: that is how it ends
		}
		if err != nil && ExitCode(err) != ExitUnavailable {
			return err
		}
		if err != nil && (!told || lines.last > before) {
			s.note("countersign: %v; trying again", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}
