package sqlstore

import (
	"context"
	"encoding/json"
	"time"

	"github.com/countersign/countersign/server/auth"
)

const (
	selectAPIs = "SELECT a.id, a.revision, a.identifier, a.name, a.scopes, a.format, a.lifetime, a.algorithm, a.sender, a.created, a.updated FROM apis a "
	insertAPI  = "INSERT INTO apis (identifier, name, scopes, format, lifetime, algorithm, sender, created, updated, revision, id) " +
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	updateAPI = "UPDATE apis SET identifier = ?, name = ?, scopes = ?, format = ?, lifetime = ?, algorithm = ?, sender = ?, created = ?, updated = ?, " +
		"revision = ? WHERE id = ? AND revision = ?"
	// The servers of a page of APIs are read by one statement.
	selectServers = "SELECT api_id, client_id FROM api_servers WHERE api_id IN ("
)

func scanAPI(row scanner) (*auth.API, error) {
	a := new(auth.API)
	var lifetime int64
	err := row.Scan(fixed(a.ID[:]), &a.Revision, &a.Identifier, &a.Name, asJSON{&a.Scopes}, &a.Format, &lifetime, &a.Algorithm, &a.Constraint,
		micros{&a.Created}, micros{&a.Updated})
	a.Lifetime = time.Duration(lifetime) * time.Microsecond
	return a, err
}

type apiServer struct {
	api    auth.APIID
	client auth.ClientID
}

func scanServer(row scanner) (*apiServer, error) {
	s := new(apiServer)
	return s, row.Scan(fixed(s.api[:]), fixed(s.client[:]))
}

// API implements auth.APIs.
func (t *tx) API(ctx context.Context, id auth.APIID) (*auth.API, error) {
	return t.api(ctx, selectAPIs+"WHERE a.id = ?", id[:])
}

// APIByIdentifier implements auth.APIs.
func (t *tx) APIByIdentifier(ctx context.Context, identifier string) (*auth.API, error) {
	return t.api(ctx, selectAPIs+"WHERE a.identifier = ?", identifier)
}

func (t *tx) api(ctx context.Context, query string, key any) (*auth.API, error) {
	a, err := one(ctx, t, scanAPI, query, key)
	if err != nil {
		return nil, err
	}
	return a, t.addServers(ctx, []*auth.API{a})
}

// addServers fills in Servers of the APIs of a page.
func (t *tx) addServers(ctx context.Context, apis []*auth.API) error {
	if len(apis) == 0 {
		return nil
	}
	ids := make([]any, len(apis))
	for i, a := range apis {
		ids[i] = a.ID[:]
	}
	servers, err := list(ctx, t, scanServer, values(selectServers, "?", len(ids))+") ORDER BY api_id, client_id", ids...)
	if err != nil {
		return err
	}
	of := make(map[auth.APIID][]auth.ClientID, len(apis))
	for _, s := range servers {
		of[s.api] = append(of[s.api], s.client)
	}
	for _, a := range apis {
		a.Servers = of[a.ID]
	}
	return nil
}

// PutAPI implements auth.APIs.
func (t *tx) PutAPI(ctx context.Context, a *auth.API) error {
	scopes, err := json.Marshal(a.Scopes)
	if err != nil {
		return err
	}
	err = t.put(ctx, &a.Revision, insertAPI, updateAPI, a.Identifier, a.Name, string(scopes), string(a.Format), a.Lifetime.Microseconds(),
		string(a.Algorithm), string(a.Constraint), a.Created.UnixMicro(), a.Updated.UnixMicro(), a.Revision+1, a.ID[:])
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, "delete servers", "DELETE FROM api_servers WHERE api_id = ?", a.ID[:]); err != nil {
		return err
	}
	for _, client := range a.Servers {
		if _, err := t.exec(ctx, "insert server", "INSERT INTO api_servers (api_id, client_id) VALUES (?, ?)", a.ID[:], client[:]); err != nil {
			return err
		}
	}
	return nil
}

// DeleteAPI implements auth.APIs.
func (t *tx) DeleteAPI(ctx context.Context, id auth.APIID) error {
	return t.remove(ctx, "delete api", "DELETE FROM apis WHERE id = ?", id[:])
}

// EachAPI implements auth.APIs.
func (t *tx) EachAPI(ctx context.Context, do func(*auth.API) error) error {
	return each(func(last *auth.API) ([]*auth.API, error) {
		var after auth.APIID // no API has the id zero
		if last != nil {
			after = last.ID
		}
		page, err := list(ctx, t, scanAPI, selectAPIs+"WHERE a.id > ? ORDER BY a.id LIMIT ?", after[:], pageSize)
		if err != nil {
			return nil, err
		}
		return page, t.addServers(ctx, page)
	}, do)
}
