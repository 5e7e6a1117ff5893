package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/countersign/countersign/admin/wire"
)

func newAuditCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Read and verify the audit log",
		Long: "Read and verify the audit log: who changed what, from where, and which authentications failed.",
	}
	cmd.AddCommand(newAuditListCmd(a), newAuditShowCmd(a), newAuditExportCmd(a), newAuditHeadCmd(a), newAuditVerifyCmd(a), newAuditFailuresCmd(a))
	return cmd
}

// auditFlags select events.
type auditFlags struct{ actor, target, action, since, until string }

func (f *auditFlags) bind(cmd *cobra.Command, a *app) {
	flags := cmd.Flags()
	flags.StringVar(&f.actor, "actor", "", "only what this `client` did")
	flags.StringVar(&f.target, "target", "", "only what was done to the thing with this `id`, or the client or API of this name")
	flags.StringVar(&f.action, "action", "", "only this `action`, such as client.disable")
	flags.StringVar(&f.since, "since", "", "only from this `time` on: a moment such as 2030-01-31T12:00:00Z, or how long ago, such as 24h or 7d")
	flags.StringVar(&f.until, "until", "", "only before this `time`")
	a.completeFlag(cmd, "actor", clientNames)
	a.completeFlag(cmd, "target", clientNames)
}

// query makes the query out of the flags.
func (f *auditFlags) query(ctx context.Context, s *session) (query map[string][]string, err error) {
	actor := f.actor
	if actor != "" {
		if actor, err = s.api.client(ctx, actor); err != nil {
			return nil, err
		}
	}
	target, err := s.api.auditTarget(ctx, f.target)
	if err != nil {
		return nil, err
	}
	since, err := pastTime("since", f.since, s.print.now())
	if err != nil {
		return nil, err
	}
	until, err := pastTime("until", f.until, s.print.now())
	if err != nil {
		return nil, err
	}
	return where("actor", actor, "target", target, "action", f.action, "from", since, "until", until), nil
}

// auditTarget returns the id of the client or API that the user names; what is no such name stands for itself, such as the id of a secret.
func (r *remote) auditTarget(ctx context.Context, named string) (string, error) {
	if named == "" || targetForm.MatchString(named) {
		return named, nil
	}
	for _, find := range []func(context.Context, string) (string, error){r.client, r.apiID} {
		id, err := find(ctx, named)
		found, ok := errors.AsType[*remoteError](err)
		if err == nil || !ok || found.status != http.StatusNotFound && found.status != http.StatusForbidden {
			return id, err
		}
	}
	return named, nil
}

// pastTime reads a moment, or how long ago it was.
func pastTime(flag, text string, now time.Time) (string, error) {
	if text == "" {
		return "", nil
	}
	if ago, err := parseLength(text); err == nil && ago >= 0 {
		return now.Add(-ago).UTC().Format(time.RFC3339), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC().Format(time.RFC3339Nano), nil
	}
	return "", usagef("--%s is %q: allowed is a moment such as 2030-01-31T12:00:00Z, or how long ago, such as 24h or 7d", flag, text)
}

func newAuditListCmd(a *app) *cobra.Command {
	var f auditFlags
	var limit int
	var oldest bool
	cmd := &cobra.Command{
		Use: "list", Short: "List events, the newest first", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign audit list --since 24h\n  countersign audit list --actor pipeline --action secret.rotate -o json",
	}
	f.bind(cmd, a)
	cmd.Flags().IntVar(&limit, "limit", 50, "show at most this many; 0: all")
	cmd.Flags().BoolVar(&oldest, "oldest-first", false, "the other way round")
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		query, err := f.query(ctx, s)
		if err != nil {
			return err
		}
		order := "newest"
		if oldest {
			order = "oldest"
		}
		query["order"] = []string{order}
		return show(ctx, s, listing{path: "/audit", query: query, limit: limit}, eventColumns())
	})
	return cmd
}

func eventColumns() []column[wire.Event] {
	return []column[wire.Event]{
		{"NUMBER", func(e wire.Event) string { return strconv.FormatUint(e.Number, 10) }},
		{"AT", func(e wire.Event) string { return e.At.UTC().Format(time.RFC3339) }},
		{"ACTOR", func(e wire.Event) string { return e.Actor.Name }},
		{"ACTION", func(e wire.Event) string { return e.Action }},
		{"TARGET", func(e wire.Event) string { return e.Target }},
		{"FROM", func(e wire.Event) string { return e.Actor.Source }},
		{"EVENT ID", func(e wire.Event) string { return e.ID }},
	}
}

func newAuditHeadCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "head", Short: "Print how far the audit log has come, to be kept elsewhere", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Print how far the audit log has come, as JSON. Keep it where nobody who can change the database can change it:\n" +
			"`countersign audit verify --head FILE` proves later that nothing up to it was changed, removed or reordered.",
		Example: "  countersign audit head > audit-head.json",
		RunE: a.run(func(ctx context.Context, s *session, _ []string) error {
			if s.print.form == table {
				s.print.form = asJSON
			}
			return get(ctx, s, "/audit/head", func(wire.AuditHead) []row { return nil })
		}),
	}
}

func newAuditVerifyCmd(a *app) *cobra.Command {
	var head string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that no event was changed, removed or reordered", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Check that no event was changed, removed or reordered. Without a head from earlier (`countersign audit\n" +
			"head`) it cannot be seen that the newest events were cut off. It ends with exit code 1 if the log does\n" +
			"not hold.",
		Example: "  countersign audit verify --head audit-head.json",
	}
	cmd.Flags().StringVar(&head, "head", "", "`file` with a head that must still hold; - is standard input")
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		var body wire.AuditVerification
		if head != "" {
			known, err := s.readHead(head)
			if err != nil {
				return err
			}
			body.Head = known
		}
		done, err := s.api.do(ctx, request{method: http.MethodPost, path: "/audit/verify", body: body, large: true})
		if err != nil {
			return err
		}
		return s.printReport(done.body)
	})
	return cmd
}

// readHead reads what `audit head` printed, JSON or YAML.
func (s *session) readHead(name string) (*wire.AuditHead, error) {
	in := s.env.Stdin
	if name != "-" {
		file, err := os.Open(name) //nolint:gosec // the user names it
		if err != nil {
			return nil, usagef("read the head: %w", err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxSecret))
	if err != nil {
		return nil, usagef("read the head: %w", err)
	}
	var members map[string]any
	var head wire.AuditHead
	if err := yaml.Unmarshal(text, &members); err == nil { // JSON is YAML
		text, _ = json.Marshal(members)
	}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&head); err != nil || head.Chain == "" || head.Seal == "" {
		return nil, usagef("%s holds no head of an audit log: it is what `countersign audit head` prints", name)
	}
	return &head, nil
}

func (s *session) printReport(body json.RawMessage) error {
	report, err := decode[wire.AuditReport](body)
	if err != nil {
		return err
	}
	if s.print.machine() {
		err = s.print.raw(body)
	} else if report.OK {
		s.print.line("the audit log holds: %d events, from number %d to %d", report.Events, report.From, report.To)
	} else {
		err = printTable(s.print.out, report.Broken, []column[wire.AuditDefect]{
			{"NUMBER", func(d wire.AuditDefect) string { return strconv.FormatUint(d.Number, 10) }},
			{"WHAT DOES NOT HOLD", func(d wire.AuditDefect) string { return d.What }},
		})
	}
	if err == nil && report.Note != "" && !s.print.machine() {
		s.print.line("%s", report.Note)
	}
	if err == nil && !report.OK {
		err = &remoteError{what: "the audit log does not hold: somebody changed it behind the server's back"}
	}
	return err
}

func newAuditFailuresCmd(a *app) *cobra.Command {
	var client string
	var limit int
	cmd := &cobra.Command{
		Use: "failures", Short: "List failed authentications, the newest first", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "List failed authentications, the newest first. One that just happened is listed within half a minute. What\n" +
			"exactly was wrong with an assertion or a certificate is in the server's log, with the REQUEST shown here.",
		Example: "  countersign audit failures --client orders",
	}
	cmd.Flags().StringVar(&client, "client", "", "only those of this `client`")
	cmd.Flags().IntVar(&limit, "limit", 50, "show at most this many, up to 200")
	a.completeFlag(cmd, "client", clientNames)
	cmd.RunE = a.run(func(ctx context.Context, s *session, _ []string) error {
		if limit < 1 || limit > pageSize {
			return usagef("--limit is %d: allowed is 1 to %d", limit, pageSize)
		}
		query, err := s.filter(ctx, client, "")
		if err != nil {
			return err
		}
		p, clients := s.print, func(f wire.Failure) []string { return []string{f.Client} }
		return showNamed(ctx, s, listing{path: "/audit/failures", query: query, limit: limit}, clients, func(known names) []column[wire.Failure] {
			return []column[wire.Failure]{
				{"LAST", func(f wire.Failure) string { return p.ago(f.At) }},
				{"CLIENT", func(f wire.Failure) string { return known.of(f.Client) }},
				{"REASON", func(f wire.Failure) string { return f.Reason }},
				{"TIMES", func(f wire.Failure) string { return strconv.FormatInt(f.Count, 10) }},
				{"FROM", func(f wire.Failure) string { return f.Source }},
				{"REQUEST", func(f wire.Failure) string { return f.Request }},
			}
		})
	})
	return cmd
}
