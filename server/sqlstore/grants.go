package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/countersign/countersign/server/auth"
)

const (
	selectGrants = "SELECT client_id, api_id, revision, scopes, may_act, created, updated FROM grants "
	insertGrants = "INSERT INTO grants (scopes, may_act, created, updated, revision, client_id, api_id) VALUES "
	grantGroup   = "(?, ?, ?, ?, ?, ?, ?)"
	updateGrant  = "UPDATE grants SET scopes = ?, may_act = ?, created = ?, updated = ?, revision = ? WHERE client_id = ? AND api_id = ? AND revision = ?"
)

func scanGrant(row scanner) (*auth.Grant, error) {
	g := new(auth.Grant)
	var scopes string
	err := row.Scan(fixed(g.Client[:]), fixed(g.API[:]), &g.Revision, &scopes, fixed(g.MayAct[:]), micros{&g.Created}, micros{&g.Updated})
	g.Scopes = auth.NewScopes(strings.Fields(scopes)...)
	return g, err
}

// Grant implements auth.Grants.
func (t *tx) Grant(ctx context.Context, client auth.ClientID, api auth.APIID) (*auth.Grant, error) {
	return one(ctx, t, scanGrant, selectGrants+"WHERE client_id = ? AND api_id = ?", client[:], api[:])
}

// ClientGrants implements auth.Grants.
func (t *tx) ClientGrants(ctx context.Context, id auth.ClientID) ([]*auth.Grant, error) {
	return list(ctx, t, scanGrant, selectGrants+"WHERE client_id = ? ORDER BY api_id", id[:])
}

// APIGrants implements auth.Grants.
func (t *tx) APIGrants(ctx context.Context, id auth.APIID) ([]*auth.Grant, error) {
	return list(ctx, t, scanGrant, selectGrants+"WHERE api_id = ? ORDER BY client_id", id[:])
}

// PutGrant implements auth.Grants.
func (t *tx) PutGrant(ctx context.Context, grants ...*auth.Grant) error {
	var added []*auth.Grant
	for _, g := range grants {
		if g.Revision == 0 {
			added = append(added, g)
		} else if err := t.put(ctx, &g.Revision, "", updateGrant, grantArgs(g)...); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(added, rowsPerInsert) {
		var args []any
		for _, g := range chunk {
			args = append(args, grantArgs(g)...)
		}
		if _, err := t.exec(ctx, "insert grants", values(insertGrants, grantGroup, len(chunk)), args...); err != nil {
			return err
		}
	}
	for _, g := range added {
		g.Revision++
	}
	return nil
}

func grantArgs(g *auth.Grant) []any {
	return []any{g.Scopes.String(), orNull(g.MayAct[:]), g.Created.UnixMicro(), g.Updated.UnixMicro(), g.Revision + 1, g.Client[:], g.API[:]}
}

// DeleteGrant implements auth.Grants.
func (t *tx) DeleteGrant(ctx context.Context, client auth.ClientID, api auth.APIID) error {
	return t.remove(ctx, "delete grant", "DELETE FROM grants WHERE client_id = ? AND api_id = ?", client[:], api[:])
}

// EachGrant implements auth.Grants.
func (t *tx) EachGrant(ctx context.Context, do func(*auth.Grant) error) error {
	return each(func(last *auth.Grant) ([]*auth.Grant, error) {
		if last == nil {
			return list(ctx, t, scanGrant, selectGrants+"ORDER BY client_id, api_id LIMIT ?", pageSize)
		}
		return list(ctx, t, scanGrant, selectGrants+"WHERE client_id >= ? AND (client_id > ? OR api_id > ?) ORDER BY client_id, api_id LIMIT ?",
			last.Client[:], last.Client[:], last.API[:], pageSize)
	}, do)
}
