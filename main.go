// Command countersign is the identity server for services: it proves which service is calling, lets it call only what it
// may, and takes that permission back within a second.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/countersign/countersign/admin/cli"
	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/fault"
)

// version is stamped by the linker.
var version = "dev"

// environment is what a command has of the process that it runs in.
type environment struct {
	args    []string // the program's name and its arguments
	environ []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	env := environment{args: os.Args, environ: os.Environ(), stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	code := run(ctx, env)
	stop()
	os.Exit(code)
}

// Exit codes that scripts can use. Commands that speak to the admin API have some more: cli.ExitCode.
const (
	exitOK    = 0
	exitUsage = cli.ExitUsage
)

// usageError is a mistake in how the command was called.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }

func (e usageError) Unwrap() error { return e.err }

// run carries out one command and returns its exit code.
func run(ctx context.Context, env environment) int {
	root := newRootCmd(env)
	root.SetArgs(env.args[1:])
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(env.stderr, "countersign:", message(err))
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return cli.ExitCode(err)
}

// message is what people read of err. The code of a failure is for programs.
func message(err error) string {
	text := err.Error()
	if found, ok := errors.AsType[*fault.Error](err); ok {
		text = strings.TrimPrefix(text, found.Code.Error()+": ")
	}
	return text
}

func newRootCmd(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "countersign",
		Short: "The identity server for services",
		Long: "Countersign proves which service is calling, lets it call only what it may, and takes that permission\n" +
			"back within a second. Start with `countersign up`: it runs the whole system on this machine.\n\n" + cli.ExitHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version, // makes --version
	}
	root.SetVersionTemplate("countersign {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: `%s --help` lists what is allowed", err, cmd.CommandPath())}
	})
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", ".FlagUsagesWrapped 100"))
	asGroup(root)
	addGroup(root, "run", "Run it:", newUpCmd(env), newServerCmd(env), newGatewayCmd(env), newLBCmd(env), newHealthCmd(env), newDemoCmd(env), newDrillCmd(env))
	addGroup(root, "administration", "Administer a running system:", newAPICmds(env)...)
	addGroup(root, "care", "Look after it:", newDoctorCmd(env), newMigrateCmd(env), newMasterKeyCmd(env), newKeyPairCmd(env), newAdminCmd(env), newDevCertCmd(env))
	addGroup(root, "program", "The program itself:", newVersionCmd(env))
	root.SetCompletionCommandGroupID("program")
	root.SetHelpCommandGroupID("program")
	root.AddCommand(newPartCmd(env))
	return root
}

// addGroup adds commands that the help shows together.
func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = id
	}
	root.AddCommand(commands...)
}

// asGroup makes parent a command that only holds others: by itself it shows its help, and it knows which it does not have.
func asGroup(parent *cobra.Command) {
	parent.Args = subcommand
	parent.SuggestionsMinimumDistance = 2                                          // of letters: cobra itself asks for this only where it handles unknown commands
	parent.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() } //nolint:wrapcheck // standard output is gone
}

// subcommand refuses arguments, as names of commands that do not exist.
func subcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usageError{fmt.Errorf("unknown command %q: did you mean `%s %s`?", cmd.CommandPath()+" "+args[0], cmd.CommandPath(), near[0])}
	}
	return usageError{fmt.Errorf("unknown command %q: `%s --help` lists what there is", cmd.CommandPath()+" "+args[0], cmd.CommandPath())}
}

// arguments wants exactly the named arguments.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return usageError{fmt.Errorf("got %q: allowed is `%s`", args, strings.Join(append([]string{cmd.CommandPath()}, names...), " "))}
	}
}

// load fills the settings of cmd. Settings of other commands are let pass where one environment or file serves several.
func load(cmd *cobra.Command, env environment, settings any) error {
	if err := config.Load(cmd.Flags(), env.environ, settings, flagsBelow(cmd.Root())...); err != nil {
		return usageError{err}
	}
	return nil
}

func flagsBelow(cmd *cobra.Command) []*pflag.FlagSet {
	sets := []*pflag.FlagSet{cmd.Flags(), cmd.PersistentFlags()}
	for _, child := range cmd.Commands() {
		sets = append(sets, flagsBelow(child)...)
	}
	return sets
}

func newVersionCmd(env environment) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: arguments(),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(env.stdout, "countersign", version)
			return err //nolint:wrapcheck // standard output is gone
		},
	}
}
