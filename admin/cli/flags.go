package cli

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// length is the value of a flag that takes a time span, in days too, as the tables show them.
type length struct {
	of   *time.Duration
	text string
}

// lengthFlag gives cmd a flag for a time span. usage holds the name of its value in backticks.
func lengthFlag(cmd *cobra.Command, of *time.Duration, name, initial, usage string) {
	value := &length{of: of}
	if initial != "" {
		value.text = initial
		*of, _ = parseLength(initial)
	}
	cmd.Flags().Var(value, name, usage)
}

// String implements pflag.Value.
func (l *length) String() string { return l.text }

// Set implements pflag.Value.
func (l *length) Set(text string) error {
	parsed, err := parseLength(text)
	if err != nil {
		return err
	}
	*l.of, l.text = parsed, text
	return nil
}

// Type implements pflag.Value.
func (l *length) Type() string { return "time" }

// longestDays bounds a number of days.
const longestDays = 36500

// parseLength reads a time span as time.ParseDuration does, or a number of days, such as 30d.
func parseLength(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= longestDays {
			return time.Duration(n) * day, nil
		}
	} else if parsed, err := time.ParseDuration(text); err == nil {
		return parsed, nil
	}
	return 0, usagef("allowed is a time such as 90m, 24h or 30d")
}

// choice is the value of a flag that takes one of a few words.
type choice struct {
	of    *string
	among []string
}

// choiceFlag gives cmd a flag that takes one of the words, and offers them to the shell.
func choiceFlag(cmd *cobra.Command, of *string, name, usage string, among ...string) {
	cmd.Flags().Var(&choice{of, among}, name, usage)
	_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(among, cobra.ShellCompDirectiveNoFileComp))
}

// String implements pflag.Value.
func (c *choice) String() string { return *c.of }

// Set implements pflag.Value.
func (c *choice) Set(text string) error {
	if !slices.Contains(c.among, text) {
		return usagef("allowed is %s", strings.Join(c.among, ", "))
	}
	*c.of = text
	return nil
}

// Type implements pflag.Value.
func (c *choice) Type() string { return "word" }

// algorithms are those of signing keys (RFC 7518, RFC 8037).
func algorithms() []string { return []string{"ES256", "RS256", "PS256", "EdDSA"} }
