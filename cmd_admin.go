package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/cli"
	"github.com/countersign/countersign/internal/terminal"
)

// newAPICmds are the commands that speak to the admin API of a running system.
func newAPICmds(env environment) []*cobra.Command {
	commands := cli.Commands(cli.Environment{
		Environ: env.environ, Stdin: env.stdin, Stdout: env.stdout, Stderr: env.stderr,
		Interactive: terminal.Is(env.stdin) && terminal.Is(env.stderr),
		Load:        func(cmd *cobra.Command, settings any) error { return load(cmd, env, settings) },
		Version:     version, Now: time.Now,
	})
	asGroups(commands)
	return commands
}

// asGroups makes groups of those that hold others, at whatever depth.
func asGroups(commands []*cobra.Command) {
	for _, cmd := range commands {
		if cmd.HasSubCommands() {
			asGroup(cmd)
			asGroups(cmd.Commands())
		}
	}
}
