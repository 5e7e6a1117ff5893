package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// arguments wants what the words behind the command's name in Use say: NAME is one argument, [NAME] one that may be left out, NAME...
// one or more.
func arguments(cmd *cobra.Command, args []string) error {
	least, most := 0, 0
	for _, word := range strings.Fields(cmd.Use)[1:] {
		most++
		if !strings.HasPrefix(word, "[") {
			least++
		}
		if strings.HasSuffix(strings.TrimSuffix(word, "]"), "...") {
			most = len(args)
		}
	}
	if len(args) < least || len(args) > most {
		return usagef("got %d arguments: allowed is `%s %s`", len(args), cmd.Parent().CommandPath(), cmd.Use)
	}
	return nil
}

// apart refuses flags of which only one may be given, and wants one of them.
func apart(cmd *cobra.Command, names ...string) error {
	var given []string
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	switch len(given) {
	case 1:
		return nil
	case 0:
		return usagef("one of --%s is needed", strings.Join(names, ", --"))
	}
	return usagef("%s exclude each other", strings.Join(given, " and "))
}

// given reports whether any of the flags is.
func given(cmd *cobra.Command, names ...string) bool {
	for _, name := range names {
		if cmd.Flags().Changed(name) {
			return true
		}
	}
	return false
}

// changeable lets the flags of an update say what they leave alone.
func wantsChange(cmd *cobra.Command, names ...string) error {
	if given(cmd, names...) {
		return nil
	}
	return usagef("nothing to change: name at least one of --%s", strings.Join(names, ", --"))
}
