package sqlstore

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/server/auth"
)

// A selection is the rest of a SELECT behind its FROM, in the making.
type selection struct {
	dialect    *dialect
	leading    []string // columns that have one value in what is selected
	conditions []string
	args       []any
}

func (t *tx) selection() *selection { return &selection{dialect: &t.s.dialect} }

func (s *selection) and(condition string, args ...any) {
	s.conditions = append(s.conditions, condition)
	s.args = append(s.args, args...)
}

// lead selects by the columns with which the index begins that is to answer.
func (s *selection) lead(column string, value any) {
	s.leading = append(s.leading, column)
	condition := s.dialect.pinned(column)
	s.conditions = append(s.conditions, condition)
	for range strings.Count(condition, "?") {
		s.args = append(s.args, value)
	}
}

// equal selects by a column that leads no index, or does not matter.
func (s *selection) equal(column string, value any) { s.and(column+" = ?", value) }

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

// page ends the SELECT: the rows behind a place, in an order, at most limit. The columns of the order, one or two, identify a row among
// those that the leading columns select; at holds their values in the last row of the page before, or nothing.
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
	order := strings.Join(slices.Concat(s.leading, columns), direction+", ") + direction
	return where + "ORDER BY " + order + " LIMIT ?"
}

// ListClients implements auth.Clients. Of several filters the one that is listed first here leads.
func (t *tx) ListClients(ctx context.Context, q auth.ClientQuery) ([]*auth.Client, error) {
	s, query, id, name := t.selection(), selectClients, "c.id", "c.name"
	by := s.lead
	if q.Label != "" {
		query, id, name = clientColumns+"FROM client_labels l"+s.dialect.join+"clients c ON c.id = l.client_id ", "l.client_id", "l.client_name"
		by("l.name", q.Label)
		if q.LabelValue != "" {
			by("l.value", q.LabelValue)
		}
		by = s.equal
	}
	if q.Owner != "" {
		by("c.owner", q.Owner)
		by = s.equal
	}
	if q.Status != "" {
		by("c.status", string(q.Status))
	}
	s.andPrefix(name, q.NamePrefix)
	columns, at := []string{id}, []any(nil)
	if q.After != nil {
		at = []any{q.After.ID[:]}
	}
	if q.Order == auth.ByName { // names are unique
		if columns[0] = name; q.After != nil {
			at[0] = q.After.Key
		}
	}
	query += s.page(columns, q.Descending, at, q.Limit)
	return list(ctx, t, scanClient, query, s.args...)
}

// ListAPIs implements auth.APIs.
func (t *tx) ListAPIs(ctx context.Context, q auth.APIQuery) ([]*auth.API, error) {
	s, query, columns := t.selection(), selectAPIs, []string{"a.id"}
	if q.Server != (auth.ClientID{}) { // which serves few
		query, columns = selectAPIs+"JOIN api_servers s ON s.api_id = a.id ", []string{"s.api_id"}
		s.equal("s.client_id", q.Server[:])
	}
	if q.Identifier != "" {
		s.equal("a.identifier", q.Identifier)
	}
	s.andPrefix("a.name", q.NamePrefix)
	var at []any
	if q.After != nil {
		at = []any{q.After.ID[:]}
	}
	if q.Order == auth.ByName {
		if columns = []string{"a.name", "a.id"}; q.After != nil {
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
	s, columns := t.selection(), []string{"client_id", "api_id"}
	var at []any
	if q.After != nil {
		at = []any{q.After.ID[:], q.After.Second[:]}
	}
	switch {
	case q.Client != auth.ClientID{} && q.API != auth.APIID{}:
		s.equal("client_id", q.Client[:])
		s.equal("api_id", q.API[:])
	case q.Client != auth.ClientID{}:
		s.lead("client_id", q.Client[:])
		columns, at = columns[1:], at[min(1, len(at)):]
	case q.API != auth.APIID{}:
		s.lead("api_id", q.API[:])
		columns, at = columns[:1], at[:min(1, len(at))]
	}
	query := selectGrants + s.page(columns, q.Descending, at, q.Limit)
	return list(ctx, t, scanGrant, query, s.args...)
}
