package sqlstore

import (
	"context"
	"encoding/json"

	"github.com/countersign/countersign/server/auth"
)

const (
	selectClients = "SELECT id, revision, name, description, owner, labels, status, auth_method, default_resource, created, updated FROM clients "
	insertClient  = "INSERT INTO clients (name, description, owner, labels, status, auth_method, default_resource, created, updated, revision, id) " +
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	updateClient = "UPDATE clients SET name = ?, description = ?, owner = ?, labels = ?, status = ?, auth_method = ?, default_resource = ?, " +
		"created = ?, updated = ?, revision = ? WHERE id = ? AND revision = ?"
)

func scanClient(row scanner) (*auth.Client, error) {
	c := new(auth.Client)
	return c, row.Scan(fixed(c.ID[:]), &c.Revision, &c.Name, &c.Description, &c.Owner, asJSON{&c.Labels}, &c.Status, &c.AuthMethod,
		fixed(c.DefaultResource[:]), micros{&c.Created}, micros{&c.Updated})
}

// Client implements auth.Clients.
func (t *tx) Client(ctx context.Context, id auth.ClientID) (*auth.Client, error) {
	return one(ctx, t, scanClient, selectClients+"WHERE id = ?", id[:])
}

// PutClient implements auth.Clients.
func (t *tx) PutClient(ctx context.Context, c *auth.Client) error {
	labels, err := json.Marshal(c.Labels)
	if err != nil {
		return err
	}
	return t.put(ctx, &c.Revision, insertClient, updateClient, c.Name, c.Description, c.Owner, string(labels), string(c.Status), string(c.AuthMethod),
		orNull(c.DefaultResource[:]), c.Created.UnixMicro(), c.Updated.UnixMicro(), c.Revision+1, c.ID[:])
}

// DeleteClient implements auth.Clients.
func (t *tx) DeleteClient(ctx context.Context, id auth.ClientID) error {
	return t.remove(ctx, "delete client", "DELETE FROM clients WHERE id = ?", id[:])
}

// EachClient implements auth.Clients.
func (t *tx) EachClient(ctx context.Context, do func(*auth.Client) error) error {
	return each(func(last *auth.Client) ([]*auth.Client, error) {
		if last == nil {
			return list(ctx, t, scanClient, selectClients+"ORDER BY id LIMIT ?", pageSize)
		}
		return list(ctx, t, scanClient, selectClients+"WHERE id > ? ORDER BY id LIMIT ?", last.ID[:], pageSize)
	}, do)
}
