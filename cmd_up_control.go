package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/internal/config"
	"github.com/countersign/countersign/internal/up"
)

// newUpControlCmds are the commands that speak to a running `up` by its control socket.
func newUpControlCmds(env environment) []*cobra.Command {
	one := func(use, short string, args cobra.PositionalArgs) *cobra.Command {
		var settings struct {
			DataDir string `name:"data-dir" default:"./countersign-data" help:"the data folder of the running system"`
		}
		cmd := &cobra.Command{Use: use, Short: short, Args: args}
		cmd.Example = "  countersign up " + strings.Replace(use, "PART", "auth-1", 1)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			if err := load(cmd, env, &settings); err != nil {
				return err
			}
			command := cmd.Name()
			if len(args) > 0 {
				command += " " + args[0]
			}
			parts, err := up.Tell(cmd.Context(), settings.DataDir, command)
			if err != nil {
				return err
			}
			return printParts(env.stdout, parts)
		}
		config.Bind(cmd.Flags(), &settings)
		return cmd
	}
	return []*cobra.Command{
		one("status", "Show the parts of the running system", arguments()),
		one("stop PART", "End a part; it stays down", arguments("PART")),
		one("kill PART", "End a part by SIGKILL; it stays down", arguments("PART")),
		one("pause PART", "Hang a part by SIGSTOP", arguments("PART")),
		one("start PART", "Start a part again, or let a paused one go on", arguments("PART")),
		newUpFaultCmd(env),
	}
}

func printParts(out io.Writer, parts []up.PartStatus) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PART\tSTATE\tFOR\tPID\tRESTARTS\tURL\tLOG")
	for _, part := range parts {
		pid := "-"
		if part.PID != 0 {
			pid = strconv.Itoa(part.PID)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
			part.Name, part.State, time.Since(part.Since).Round(time.Second), pid, part.Restarts, part.URL, part.Log)
	}
	return table.Flush() //nolint:wrapcheck // standard output is gone
}
