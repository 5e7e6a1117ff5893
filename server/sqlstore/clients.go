package sqlstore

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/countersign/countersign/server/auth"
)

const (
	clientColumns = "SELECT c.id, c.revision, c.name, c.description, c.owner, c.labels, c.status, c.auth_method, c.default_resource, c.created, c.updated, c.proofs "
	selectClients = clientColumns + "FROM clients c "
	insertClient  = "INSERT INTO clients (name, description, owner, labels, status, auth_method, default_resource, created, updated, proofs, revision, id) " +
		"VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
	insertLabels = "INSERT INTO client_labels (client_id, name, value, client_name) VALUES "
	updateClient = "UPDATE clients SET name = ?, description = ?, owner = ?, labels = ?, status = ?, auth_method = ?, default_resource = ?, " +
		"created = ?, updated = ?, proofs = ?, revision = ? WHERE id = ? AND revision = ?"
)

func scanClient(row scanner) (*auth.Client, error) {
	c := new(auth.Client)
	return c, row.Scan(fixed(c.ID[:]), &c.Revision, &c.Name, &c.Description, &c.Owner, asJSON{&c.Labels}, &c.Status, &c.AuthMethod,
		fixed(c.DefaultResource[:]), micros{&c.Created}, micros{&c.Updated}, asJSON{&c.Proofs})
}

// Client implements auth.Clients.
func (t *tx) Client(ctx context.Context, id auth.ClientID) (*auth.Client, error) {
	return one(ctx, t, scanClient, selectClients+"WHERE c.id = ?", id[:])
}

// ClientByName implements auth.Clients.
func (t *tx) ClientByName(ctx context.Context, name string) (*auth.Client, error) {
	return one(ctx, t, scanClient, selectClients+"WHERE c.name = ?", name)
}

// PutClient implements auth.Clients.
func (t *tx) PutClient(ctx context.Context, c *auth.Client) error {
	labels, err := json.Marshal(c.Labels)
	if err != nil {
		return err
	}
	proofs, err := jsonOrNull(c.Proofs)
	if err != nil {
		return err
	}
	isNew := c.Revision == 0
	err = t.put(ctx, &c.Revision, insertClient, updateClient, c.Name, c.Description, c.Owner, string(labels), string(c.Status), string(c.AuthMethod),
		orNull(c.DefaultResource[:]), c.Created.UnixMicro(), c.Updated.UnixMicro(), proofs, c.Revision+1, c.ID[:])
	if err != nil {
		return err
	}
	return t.putLabels(ctx, c, isNew)
}

// putLabels keeps the table in which clients are found by their labels. It has their names, too, to be read in order of them.
func (t *tx) putLabels(ctx context.Context, c *auth.Client, isNew bool) error {
	if !isNew {
		if _, err := t.exec(ctx, "delete labels", "DELETE FROM client_labels WHERE client_id = ?", c.ID[:]); err != nil {
			return err
		}
	}
	if len(c.Labels) == 0 {
		return nil
	}
	args := make([]any, 0, 4*len(c.Labels))
	for _, name := range slices.Sorted(maps.Keys(c.Labels)) {
		args = append(args, c.ID[:], name, c.Labels[name], c.Name)
	}
	_, err := t.exec(ctx, "insert labels", values(insertLabels, "(?, ?, ?, ?)", len(c.Labels)), args...)
	return err
}

// DeleteClient implements auth.Clients.
func (t *tx) DeleteClient(ctx context.Context, id auth.ClientID) error {
	return t.remove(ctx, "delete client", "DELETE FROM clients WHERE id = ?", id[:])
}

// EachClient implements auth.Clients.
func (t *tx) EachClient(ctx context.Context, do func(*auth.Client) error) error {
	return each(func(last *auth.Client) ([]*auth.Client, error) {
		if last == nil {
			return list(ctx, t, scanClient, selectClients+"ORDER BY c.id LIMIT ?", pageSize)
		}
		return list(ctx, t, scanClient, selectClients+"WHERE c.id > ? ORDER BY c.id LIMIT ?", last.ID[:], pageSize)
	}, do)
}
