package cli

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strconv"

	"github.com/countersign/countersign/admin/wire"
)

// pageSize is the largest page that the admin API gives.
const pageSize = 200

// list reads a list page by page: all of it, or limit items if that is above zero. more says that there are further ones.
func (r *remote) list(ctx context.Context, at string, query url.Values, limit int) (items []json.RawMessage, more bool, err error) {
	query = maps.Clone(query)
	if query == nil {
		query = url.Values{}
	}
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(items))
		}
		query.Set("limit", strconv.Itoa(size))
		got, err := r.do(ctx, request{method: http.MethodGet, path: at, query: query})
		if err != nil {
			return nil, false, err
		}
		page, err := decode[wire.List[json.RawMessage]](got.body)
		if err != nil {
			return nil, false, err
		}
		items = append(items, page.Items...)
		if page.NextCursor == "" || limit > 0 && len(items) >= limit {
			return items, page.NextCursor != "", nil
		}
		if page.NextCursor == query.Get("cursor") {
			return nil, false, &remoteError{what: "the admin API answers the same page again"}
		}
		query.Set("cursor", page.NextCursor)
	}
}

// show prints a list, and says on standard error when it is not the whole.
func show[T any](ctx context.Context, s *session, q listing, columns []column[T]) error {
	items, more, err := s.api.list(ctx, q.path, q.query, q.limit)
	if err != nil {
		return err
	}
	if err := printList(s.print, items, columns); err != nil {
		return err
	}
	s.noteMore(more, len(items))
	return nil
}

func (s *session) noteMore(more bool, shown int) {
	if more {
		s.note("these are the first %d; there are more: --limit 0 shows all", shown)
	}
}

// listing says what to list.
type listing struct {
	path  string
	query url.Values
	limit int // 0: all
	// sorted puts a table in order of its first two columns, where the server knows only ids.
	sorted bool
}

// where makes a query of names and values; what is empty is left out.
func where(pairs ...string) url.Values {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return query
}
