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
	"syscall"

	"github.com/spf13/cobra"
)

// version is stamped by the linker.
var version = "dev"

// environment is what a command has of the process that it runs in.
type environment struct {
	args    []string // the program's name and its arguments
	environ []string
	stdout  io.Writer
	stderr  io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	env := environment{args: os.Args, environ: os.Environ(), stdout: os.Stdout, stderr: os.Stderr}
	code := run(ctx, env)
	stop()
	os.Exit(code)
}

// Exit codes that scripts can use.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
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
	fmt.Fprintln(env.stderr, "countersign:", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

func newRootCmd(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "countersign",
		Short: "The identity server for services",
		Long: "Countersign proves which service is calling, lets it call only what it may, and takes that permission\n" +
			"back within a second. Start with `countersign up`: it runs the whole system on this machine.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; `%s --help` lists what is allowed", err, cmd.CommandPath())}
	})
	root.AddCommand(newUpCmd(env), newServerCmd(env), newMigrateCmd(env), newKeyCmd(env), newMasterKeyCmd(env),
		newVersionCmd(env), newPartCmd(env))
	return root
}

func newVersionCmd(env environment) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(env.stdout, "countersign", version)
			return err //nolint:wrapcheck // standard output is gone
		},
	}
}
