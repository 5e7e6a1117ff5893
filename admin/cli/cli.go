// Package cli is the command line over the admin API: `countersign client`, `api`, `grant` and their like. It knows the API's JSON
// (admin/wire) and HTTP, and nothing of the server.
package cli

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
)

// Environment is what the commands have of the process that they run in.
type Environment struct {
	// Environ is the environment, as os.Environ returns it.
	Environ []string
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	// Interactive says that a person reads Stderr and types at Stdin, so that questions can be asked.
	Interactive bool
	// Load fills the settings that config.Bind made flags of.
	Load func(cmd *cobra.Command, settings any) error
	// Version is sent to the server as part of the User-Agent.
	Version string
	Now     func() time.Time
}

// Commands returns the commands, to be added to a root. A command that only holds others has no RunE: the caller says what it does by
// itself.
func Commands(env Environment) []*cobra.Command {
	a := &app{env: env}
	all := []*cobra.Command{
		newClientCmd(a), newAPICmd(a), newGrantCmd(a), newIssuerCmd(a), newExchangeCmd(a), newSecretCmd(a), newTokenCmd(a), newKeyCmd(a), newAuditCmd(a),
		newExplainCmd(a), newGraphCmd(a), newUnusedCmd(a), newExportCmd(a), newApplyCmd(a), newWhoamiCmd(a),
	}
	for _, cmd := range all {
		a.connects(cmd)
	}
	return append(all, newProfileCmd(a))
}

// app is what the commands share while the command line is read. One command runs in a process.
type app struct {
	env      Environment
	settings connection
	format   string
	yes      bool
}

// connects gives cmd, and what is below it, the flags that say where the admin API is and how to print.
func (a *app) connects(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	config.Bind(flags, &a.settings)
	_ = flags.MarkHidden("client-secret") // exists, by Bind
	flags.Lookup("client-secret-file").Usage = "`file` that holds the secret of that client\n" +
		"COUNTERSIGN_CLIENT_SECRET_FILE, client_secret_file; or the secret itself in COUNTERSIGN_CLIENT_SECRET"
	_ = cmd.RegisterFlagCompletionFunc("profile", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.profileNames(cmd, nil, typed)
	})
	a.prints(cmd)
}

// prints gives cmd, and what is below it, the flag --output.
func (a *app) prints(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVarP(&a.format, "output", "o", "", "`form` of the answer: table, json or yaml")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{table, asJSON, asYAML}, cobra.ShellCompDirectiveNoFileComp))
}

// session is one command at work.
type session struct {
	env    Environment
	cmd    *cobra.Command
	target target
	api    *remote
	print  *printer
	yes    bool
}

// run makes the RunE of a command that speaks to the admin API. ctx ends when the user interrupts.
func (a *app) run(do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		s, err := a.open(cmd)
		if err != nil {
			return err
		}
		return do(cmd.Context(), s, args)
	}
}

// open reads the settings. Nothing is sent yet.
func (a *app) open(cmd *cobra.Command) (*session, error) {
	print, err := newPrinter(a.env, a.format)
	if err != nil {
		return nil, err
	}
	if err := a.env.Load(cmd, &a.settings); err != nil {
		return nil, err
	}
	at, err := a.settings.target(cmd.Flags(), a.env.Environ)
	if err != nil {
		return nil, err
	}
	api, err := newRemote(at, a.settings.RequestTimeout, a.env)
	if err != nil {
		return nil, err
	}
	return &session{env: a.env, cmd: cmd, target: at, api: api, print: print, yes: a.yes}, nil
}

// get reads one thing and prints it.
func get[T any](ctx context.Context, s *session, at string, rows func(T) []row) error {
	got, err := s.api.do(ctx, request{method: "GET", path: at})
	if err != nil {
		return err
	}
	return printOne(s.print, got.body, rows)
}

// decode reads what the server answered.
func decode[T any](body json.RawMessage) (v T, err error) {
	if err := json.Unmarshal(body, &v); err != nil {
		return v, &remoteError{what: "the admin API answers with something else than its JSON: is --admin-url right?", err: err}
	}
	return v, nil
}
