package cli_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/cli"
)

// Every command says what it is for and shows an example of itself, in lines that fit a terminal, and takes no argument that its usage
// does not name.
func TestHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		const width = 110
		for line := range strings.SplitSeq(cmd.Long+"\n"+cmd.Short, "\n") {
			if utf8.RuneCountInString(line) > width {
				t.Errorf("%s: more than %d characters: %s", cmd.CommandPath(), width, line)
			}
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
		if cmd.HasSubCommands() {
			return
		}
		if !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s has no example of itself", cmd.CommandPath())
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help is %q", cmd.CommandPath(), cmd.Short)
		}
		if err := cmd.Args(cmd, strings.Fields(strings.Repeat("x ", 9))); err == nil && !strings.HasSuffix(cmd.Use, "...") {
			t.Errorf("%s takes nine arguments", cmd.CommandPath())
		}
		if cmd.ValidArgsFunction == nil && cmd.Name() != "revoke" {
			t.Errorf("%s completes arguments by names of files", cmd.CommandPath())
		}
	}
	root := &cobra.Command{Use: "countersign"}
	root.AddCommand(cli.Commands(cli.Environment{Now: time.Now})...)
	for _, cmd := range root.Commands() {
		walk(cmd)
	}
}
