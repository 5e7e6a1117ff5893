package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/cli"
)

// newAPICmds are the commands that speak to the admin API of a running system.
func newAPICmds(env environment) []*cobra.Command {
	commands := cli.Commands(cli.Environment{
		Environ: env.environ, Stdin: env.stdin, Stdout: env.stdout, Stderr: env.stderr,
		Interactive: terminal(env.stdin) && terminal(env.stderr),
		Load:        func(cmd *cobra.Command, settings any) error { return load(cmd, env, settings) },
		Version:     version, Now: time.Now,
	})
	for _, cmd := range commands {
		if cmd.HasSubCommands() {
			asGroup(cmd)
		}
	}
	return commands
}

// terminal reports whether a person is at the other end.
func terminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
