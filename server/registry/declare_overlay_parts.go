package registry

import (
	"context"
	"slices"

	"github.com/countersign/countersign/server/auth"
)

type overlayClients struct {
	auth.Clients
	o *overlay
}

func (t overlayClients) Client(ctx context.Context, id auth.ClientID) (*auth.Client, error) {
	if t.o.others[id] {
		return t.Clients.Client(ctx, id)
	}
	c := t.o.byID[id]
	if c == nil {
		return nil, gone()
	}
	found := *c
	if t.o.apiByID[found.DefaultResource] == nil {
		found.DefaultResource = auth.APIID{} // it went with the API
	}
	return &found, nil
}

func (t overlayClients) ClientByName(ctx context.Context, name string) (*auth.Client, error) {
	if id, known := t.o.clients[name]; known || len(t.o.others) == 0 {
		return t.Client(ctx, id)
	}
	return t.Clients.ClientByName(ctx, name)
}

func (t overlayClients) ListClients(ctx context.Context, q auth.ClientQuery) ([]*auth.Client, error) {
	if err := t.o.settle(ctx); err != nil {
		return nil, err
	}
	return t.Clients.ListClients(ctx, q)
}

func (t overlayClients) EachClient(ctx context.Context, each func(*auth.Client) error) error {
	if err := t.o.settle(ctx); err != nil {
		return err
	}
	return t.Clients.EachClient(ctx, each)
}

func (t overlayClients) PutClient(ctx context.Context, c *auth.Client) error {
	switch {
	case t.o.isNew[c.ID]:
	case c.Revision == 0:
		c.Revision = 1
		t.o.isNew[c.ID], t.o.newClients = true, append(t.o.newClients, c.ID)
	default:
		if err := t.Clients.PutClient(ctx, c); err != nil {
			return err
		}
	}
	stored := *c
	t.o.byID[c.ID], t.o.clients[c.Name] = &stored, c.ID
	return nil
}

func (t overlayClients) DeleteClient(ctx context.Context, id auth.ClientID) error {
	if err := t.o.settle(ctx); err != nil {
		return err
	}
	if err := t.Clients.DeleteClient(ctx, id); err != nil {
		return err
	}
	delete(t.o.byID, id)
	for _, a := range t.o.apiByID {
		if a.ServedBy(id) {
			left := *a
			left.Servers = slices.DeleteFunc(slices.Clone(a.Servers), func(c auth.ClientID) bool { return c == id })
			t.o.apiByID[a.ID] = &left
		}
	}
	return nil
}

type overlaySecrets struct {
	auth.Secrets
	o *overlay
}

func (t overlaySecrets) PutSecret(ctx context.Context, s *auth.Secret) error {
	if err := t.o.settle(ctx); err != nil {
		return err
	}
	return t.Secrets.PutSecret(ctx, s)
}

type overlayAPIs struct {
	auth.APIs
	o *overlay
}

func (t overlayAPIs) API(ctx context.Context, id auth.APIID) (*auth.API, error) {
	if t.o.others[id] {
		return t.APIs.API(ctx, id)
	}
	a := t.o.apiByID[id]
	if a == nil {
		return nil, gone()
	}
	found := *a
	return &found, nil
}

func (t overlayAPIs) APIByIdentifier(ctx context.Context, identifier string) (*auth.API, error) {
	if id, known := t.o.apis[identifier]; known || len(t.o.others) == 0 {
		return t.API(ctx, id)
	}
	return t.APIs.APIByIdentifier(ctx, identifier)
}

func (t overlayAPIs) PutAPI(ctx context.Context, a *auth.API) error {
	if err := t.o.settle(ctx); err != nil {
		return err
	}
	if err := t.APIs.PutAPI(ctx, a); err != nil {
		return err
	}
	stored := *a
	t.o.apiByID[a.ID], t.o.apis[a.Identifier] = &stored, a.ID
	return nil
}

func (t overlayAPIs) DeleteAPI(ctx context.Context, id auth.APIID) error {
	if err := t.o.settle(ctx); err != nil {
		return err
	}
	if err := t.APIs.DeleteAPI(ctx, id); err != nil {
		return err
	}
	delete(t.o.apiByID, id)
	return nil
}
