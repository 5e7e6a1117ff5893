package sqlstore

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/server/auth"
)

// A selection is the rest of a SELECT behind its FROM, in the making.
type selection struct {
	conditions []string
	args       []any
}

func (s *selection) and(condition string, args ...any) {
	s.conditions = append(s.conditions, condition)
	s.args = append(s.args, args...)
}

// andPrefix selects what begins with a text, as a range, which an index answers.
func (s *selection) andPrefix(column, prefix string) {
	if prefix == "" {
		return
	}
	s.and(column+" >= ?", prefix)
	if end := behindPrefix(prefix); end != "" {
		s.and(column+" < ?", end)
	}
}

// behindPrefix returns the lowest text above all that begin with the prefix, or "" if there is none.
func behindPrefix(prefix string) string {
	for prefix != "" {
		last, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		switch {
		case last == 0xd7ff: // no text holds the surrogates behind it
			return prefix + "\ue000"
		case last < utf8.MaxRune:
			return prefix + string(last+1)
		}
	}
	return ""
}

// page ends the SELECT: the rows behind a place, in an order, at most limit. The columns of the order, one or two, identify a row; at
// holds their values in the last row of the page before, or nothing.
func (s *selection) page(columns []string, descending bool, at []any, limit int) string {
	behind, direction := ">", ""
	if descending {
		behind, direction = "<", " DESC"
	}
	switch {
	case len(at) == 0:
	case len(columns) == 1:
		s.and(columns[0]+" "+behind+" ?", at[0])
	default:
		s.and(columns[0]+" "+behind+"= ? AND ("+columns[0]+" "+behind+" ? OR "+columns[1]+" "+behind+" ?)", at[0], at[0], at[1])
	}
	s.args = append(s.args, limit)
	where := ""
	if len(s.conditions) > 0 {
		where = "WHERE " + strings.Join(s.conditions, " AND ") + " "
	}
	return where + "ORDER BY " + strings.Join(columns, direction+", ") + direction + " LIMIT ?"
}

// ListClients implements auth.Clients.
func (t *tx) ListClients(ctx context.Context, q auth.ClientQuery) ([]*auth.Client, error) {
	var s selection
	query, columns := selectClients, []string{"c.id"}
	if q.Order == auth.ByName {
		columns = []string{"c.name"} // which is unique
	}
	if q.Status != "" {
		s.and("c.status = ?", string(q.Status))
	}
	if q.Owner != "" {
		s.and("c.owner = ?", q.Owner)
	}
	s.andPrefix("c.name", q.NamePrefix)
	switch {
	case q.Label == "":
	case q.Order == auth.ByName: // clients are read in order of name, and their label is looked at
		label := "SELECT 1 FROM client_labels l WHERE l.client_id = c.id AND l.name = ?"
		if q.LabelValue == "" {
			s.and("("+label+") = 1", q.Label)
		} else {
			s.and("("+label+" AND l.value = ?) = 1", q.Label, q.LabelValue)
		}
	default:
		query, columns = selectClients+"JOIN client_labels l ON l.client_id = c.id ", []string{"l.client_id"}
		s.and("l.name = ?", q.Label)
		if q.LabelValue != "" {
			s.and("l.value = ?", q.LabelValue)
		}
	}
	var at []any
	switch {
	case q.After == nil:
	case q.Order == auth.ByName:
		at = []any{q.After.Key}
	default:
		at = []any{q.After.ID[:]}
	}
	query += s.page(columns, q.Descending, at, q.Limit)
	return list(ctx, t, scanClient, query, s.args...)
}

// ListAPIs implements auth.APIs.
func (t *tx) ListAPIs(ctx context.Context, q auth.APIQuery) ([]*auth.API, error) {
	var s selection
	query, columns := selectAPIs, []string{"a.id"}
	if q.Identifier != "" {
		s.and("a.identifier = ?", q.Identifier)
	}
	s.andPrefix("a.name", q.NamePrefix)
	if q.Server != (auth.ClientID{}) {
		query, columns = selectAPIs+"JOIN api_servers s ON s.api_id = a.id ", []string{"s.api_id"}
		s.and("s.client_id = ?", q.Server[:])
	}
	var at []any
	if q.After != nil {
		at = []any{q.After.ID[:]}
	}
	if q.Order == auth.ByName {
		columns = []string{"a.name", "a.id"}
		if q.After != nil {
			at = []any{q.After.Key, q.After.ID[:]}
		}
	}
	query += s.page(columns, q.Descending, at, q.Limit)
	found, err := list(ctx, t, scanAPI, query, s.args...)
	if err != nil {
		return nil, err
	}
	return found, t.addServers(ctx, found)
}

// ListGrants implements auth.Grants.
func (t *tx) ListGrants(ctx context.Context, q auth.GrantQuery) ([]*auth.Grant, error) {
	var s selection
	columns, at := []string{"client_id", "api_id"}, []any(nil)
	if q.After != nil {
		at = []any{q.After.ID[:], q.After.Second[:]}
	}
	if q.API != (auth.APIID{}) {
		s.and("api_id = ?", q.API[:])
		columns, at = columns[:1], at[:min(1, len(at))]
	}
	if q.Client != (auth.ClientID{}) {
		s.and("client_id = ?", q.Client[:])
		if q.API == (auth.APIID{}) {
			columns, at = columns[1:], at[min(1, len(at)):]
		}
	}
	query := selectGrants + s.page(columns, q.Descending, at, q.Limit)
	return list(ctx, t, scanGrant, query, s.args...)
}
