package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// confirmable gives cmd the flag --yes.
func (a *app) confirmable(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask whether it is meant")
	return cmd
}

// confirm asks before something is done that cannot be undone, such as "delete client orders". Where nobody can be asked it refuses.
func (s *session) confirm(format string, args ...any) error {
	what := printable(fmt.Sprintf(format, args...))
	if s.yes {
		return nil
	}
	if !s.env.Interactive {
		return usagef("not done: would %s; nobody can be asked here, so say --yes if it is meant", what)
	}
	fmt.Fprintf(s.env.Stderr, "%s%s? [y/N] ", strings.ToUpper(what[:1]), what[1:])
	answer, err := bufio.NewReader(s.env.Stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	if err != nil {
		fmt.Fprintln(s.env.Stderr)
	}
	return usagef("not done")
}

// note tells people something beside the output.
func (s *session) note(format string, args ...any) {
	fmt.Fprintln(s.env.Stderr, printable(fmt.Sprintf(format, args...)))
}
