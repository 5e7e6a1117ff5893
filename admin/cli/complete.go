package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/countersign/countersign/admin/wire"
)

// completionTime bounds how long a shell waits for names.
const completionTime = 2 * time.Second

// completer finds what an argument can be, given those before it.
type completer func(ctx context.Context, r *remote, before []string, typed string) []string

// complete offers for each argument what its completer finds. Where the admin API is out of reach it offers nothing.
func (a *app) complete(each ...completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(each) || each[len(args)] == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		s, err := a.open(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		return each[len(args)](ctx, s.api, args, typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// flag makes complete of a flag's value.
func (a *app) completeFlag(cmd *cobra.Command, name string, find completer) {
	_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.complete(find)(cmd, nil, typed)
	})
}

func clientNames(ctx context.Context, r *remote, _ []string, typed string) []string {
	return offers(ctx, r, "/clients", where("name_prefix", typed), func(c wire.Client) (string, string) { return c.Name, c.ID })
}

func apiIdentifiers(ctx context.Context, r *remote, _ []string, typed string) []string {
	return offers(ctx, r, "/apis", nil, func(api wire.API) (string, string) {
		if !strings.HasPrefix(api.Identifier, typed) {
			return "", ""
		}
		return api.Identifier, api.Name
	})
}

// secretIDs offers the secrets of the client that is the first argument.
func secretIDs(ctx context.Context, r *remote, before []string, _ string) []string {
	id, err := r.client(ctx, before[0])
	if err != nil {
		return nil
	}
	return offers(ctx, r, path("clients", id, "secrets"), nil, func(s wire.Secret) (string, string) { return s.ID, s.Status + " …" + s.Hint })
}

func keyIDs(ctx context.Context, r *remote, _ []string, _ string) []string {
	return offers(ctx, r, "/keys", nil, func(k wire.Key) (string, string) { return k.ID, k.Algorithm + " " + k.State })
}

// offers makes completions of the first page of a list.
func offers[T any](ctx context.Context, r *remote, at string, query url.Values, tell func(T) (word, about string)) (found []string) {
	items, _, err := r.list(ctx, at, query, pageSize)
	if err != nil {
		return nil
	}
	for _, item := range items {
		var decoded T
		if json.Unmarshal(item, &decoded) != nil {
			continue
		}
		if word, about := tell(decoded); word != "" {
			found = append(found, cobra.CompletionWithDesc(printable(word), printable(about)))
		}
	}
	return found
}
