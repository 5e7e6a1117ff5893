package cli

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

func newAuditShowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show EVENT", Short: "Show an event, with what was before and after", Args: arguments, ValidArgsFunction: cobra.NoFileCompletions,
		Example: "  countersign audit show evt_0vN6d1hYQm3ZJ4cW8kXb2T",
		RunE: a.run(func(ctx context.Context, s *session, args []string) error {
			return get(ctx, s, path("audit", args[0]), func(e wire.Event) []row {
				rows := []row{
					{"event_id", e.ID},
					{"number", strconv.FormatUint(e.Number, 10)},
					{"at", s.print.moment(e.At)},
					{"actor", named(e.Actor.Name, e.Actor.Client)},
					{"secret_id", e.Actor.Secret},
					{"from", e.Actor.Source},
					{"request", e.Actor.Request},
					{"action", e.Action},
					{"target", e.Target},
				}
				return append(append(rows, changes(e.Changes)...), row{"chain", e.Chain})
			})
		}),
	}
}

// changes tells what an event changed, member by member. What is not of the usual form is shown as it is.
func changes(raw json.RawMessage) (rows []row) {
	var of struct{ Before, After map[string]json.RawMessage }
	if json.Unmarshal(raw, &of) != nil || of.Before == nil && of.After == nil {
		return []row{{"changes", string(raw)}}
	}
	all := maps.Clone(of.After)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	maps.Copy(all, of.Before)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		before, after := plainJSON(of.Before[name]), plainJSON(of.After[name])
		switch {
		case before == after:
		case before == "":
			rows = append(rows, row{"added", name + ": " + after})
		case after == "":
			rows = append(rows, row{"removed", name + ": " + before})
		default:
			rows = append(rows, row{"changed", name + ": " + before + " → " + after})
		}
	}
	return rows
}

// plainJSON writes a value without the quotes of a text.
func plainJSON(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return strings.ReplaceAll(text, "\n", " ")
	}
	return string(raw)
}
