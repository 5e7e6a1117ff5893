package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newExportCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "export", Short: "Write APIs, clients and grants as a file for apply", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Write APIs, clients and grants as a file for `countersign apply`, as YAML or, with -o json, as JSON. It\n" +
			"holds no secret: where a system is made anew from it, clients get new ones.",
		Example: "  countersign export > system.yaml",
		RunE: a.run(func(ctx context.Context, s *session, _ []string) error {
			got, err := s.api.do(ctx, request{method: http.MethodGet, path: "/export"})
			if err != nil {
				return err
			}
			if s.print.form == table {
				s.print.form = asYAML
			}
			return s.print.raw(got.body)
		}),
	}
}

func newApplyCmd(a *app) *cobra.Command {
	var files []string
	var dry, prune, schema bool
	cmd := &cobra.Command{
		Use: "apply -f FILE|FOLDER", Short: "Make APIs, clients and grants as files declare them", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "Make APIs, clients and grants as files declare them, all or nothing. What will change is shown first,\n" +
			"and just that is done after a question: + is added, ~ changed, - removed. What the files do not name\n" +
			"stays, unless --prune says that it goes. A folder stands for its .yaml, .yml and .json files; - is\n" +
			"standard input; several are taken together, and so are several documents in a file (---).\n\n" +
			"Secrets never stand in these files. `value_file: PATH` gives a client the secret in that file;\n" +
			"`generate_file: PATH` has a secret made, unless the client has one, and written to that file, for its\n" +
			"owner alone. Paths are relative to the file that names them.",
		Example: "  countersign apply -f system.yaml --dry-run\n  countersign apply -f teams/ -f shared.yaml --prune --yes",
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "`file` or folder, or - for standard input; may be repeated")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what would change, and change nothing")
	cmd.Flags().BoolVar(&prune, "prune", false, "remove APIs, clients, grants and servers that the files do not name")
	a.confirmable(cmd)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("got %q: files are named by -f, each by its own", args)
		}
		return nil
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of these files, for editors, and do nothing else")
	run := a.run(func(ctx context.Context, s *session, _ []string) error {
		if len(files) == 0 {
			return usagef("-f is missing: the file or folder with the configuration")
		}
		if slices.Contains(files, "-") && !dry && !s.yes {
			return usagef("-f - takes standard input, so no question can be asked there: say --yes or --dry-run")
		}
		wanted, err := s.readConfiguration(files)
		if err != nil {
			return err
		}
		return s.apply(ctx, wanted, wire.ApplyBody{Document: wanted.document, DryRun: dry, Prune: prune})
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if schema {
			_, err := io.WriteString(a.env.Stdout, wire.Schema())
			return err
		}
		return run(cmd, args)
	}
	return cmd
}

// apply shows the plan, asks, and has just this plan carried out.
func (s *session) apply(ctx context.Context, wanted *configuration, body wire.ApplyBody) error {
	dry := body.DryRun
	body.DryRun = true
	plan, raw, err := s.plan(ctx, wanted, body)
	if err != nil {
		return err
	}
	if dry || len(plan.Steps) == 0 {
		return s.printPlan(plan, raw)
	}
	if !s.print.machine() {
		if err := s.printPlan(plan, nil); err != nil {
			return err
		}
	}
	if err := s.confirm("carry out these %d changes", len(plan.Steps)); err != nil {
		return err
	}
	box, err := wanted.open(plan)
	if err != nil {
		return err
	}
	body.DryRun, body.Digest = false, plan.Digest
	done, raw, err := s.plan(ctx, wanted, body)
	if err != nil {
		return errors.Join(err, box.close())
	}
	if err := errors.Join(box.keep(done.Secrets), box.close()); err != nil {
		return err
	}
	return s.printApplied(done, raw, wanted)
}

func (s *session) plan(ctx context.Context, wanted *configuration, body wire.ApplyBody) (plan wire.Plan, raw json.RawMessage, err error) {
	got, err := s.api.do(ctx, request{method: http.MethodPost, path: "/apply", body: body, large: true})
	if err != nil {
		return plan, nil, wanted.located(err)
	}
	plan, err = decode[wire.Plan](got.body)
	return plan, got.body, err
}

func (s *session) printPlan(plan wire.Plan, raw json.RawMessage) error {
	if s.print.machine() {
		return s.print.raw(raw)
	}
	if len(plan.Steps) == 0 {
		s.print.line("nothing to change")
	}
	for _, step := range plan.Steps {
		s.print.line("%s %s %s", map[string]string{"add": "+", "change": "~", "remove": "-"}[step.Verb], step.Kind, step.Name)
		for _, f := range step.Fields {
			switch {
			case f.Before == "":
				s.print.line("    %s: %s", f.Name, f.After)
			case f.After == "":
				s.print.line("    %s: no longer %s", f.Name, f.Before)
			default:
				s.print.line("    %s: %s → %s", f.Name, f.Before, f.After)
			}
		}
	}
	return nil
}

// printApplied tells what was done. Values that went to files are not shown.
func (s *session) printApplied(done wire.Plan, raw json.RawMessage, wanted *configuration) error {
	if s.print.machine() {
		for i := range done.Secrets {
			done.Secrets[i].Value = ""
		}
		if len(done.Secrets) > 0 {
			return s.print.value(done)
		}
		return s.print.raw(raw)
	}
	for _, secret := range done.Secrets {
		if file, ok := wanted.generate[secret.Name]; ok {
			s.print.line("secret %s of client %s is in %s", secret.Secret, named(secret.Name, secret.Client), file)
		}
	}
	s.print.line("%s", sentence("done: %d changes", len(done.Steps)))
	return nil
}
