package seed

import (
	"context"
	"fmt"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// roleLabel marks a client that a first start made, so that a later start finds it again.
const roleLabel = "countersign.role"

// Role is a client that a first start makes.
type Role struct {
	Name        string // its role, and the client's name
	Description string
	Calls       string      // identifier of the API that it is granted
	Scopes      auth.Scopes // of that API; empty: all of them
	Serves      string      // identifier of the API that it serves
}

// Admin is the client that may do everything by the admin API.
func Admin() Role {
	return Role{Name: "admin", Description: "Bootstrap administrator.", Calls: auth.AdminAPI}
}

// Inventory is the identifier of the demo's API.
const Inventory = "https://inventory.demo.internal"

// Demo returns the API and the clients of the demo: an order service that calls an inventory service through a gateway. The
// API's tokens are opaque, so that look-ups in token store and database really happen.
func Demo() (auth.API, []Role) {
	api := auth.API{
		Identifier: Inventory, Name: "Demo inventory", Format: auth.Opaque,
		Scopes: []auth.ScopeDefinition{
			{Name: "inventory:read", Description: "see what is in stock"}, {Name: "inventory:write", Description: "reserve stock"},
		},
	}
	return api, []Role{
		{Name: "service-a", Description: "Demo: order service, calls the inventory.", Calls: Inventory},
		{Name: "service-b", Description: "Demo: inventory service.", Serves: Inventory},
		{
			Name: "gateway", Description: "Demo: API gateway.", Calls: auth.ServerAPI,
			Scopes: auth.NewScopes(auth.ScopeIntrospectAll, auth.ScopeRevocationsRead),
		},
	}
}

// API stores the API unless one with its identifier exists, and returns the one that is stored.
func API(ctx context.Context, r *registry.Registry, api auth.API) (*auth.API, error) {
	stored, err := r.CreateAPI(ctx, actor(), api)
	if found := fault.From(err); found != nil && found.Code == fault.Conflict {
		err = r.Store.View(ctx, func(tx auth.Tx) (err error) {
			stored, err = tx.APIs().APIByIdentifier(ctx, api.Identifier)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("create API %s: %w", api.Identifier, err)
	}
	return stored, nil
}

// Credential is a client's id and one of its secrets.
type Credential struct {
	ID     auth.ClientID
	Secret auth.SecretValue
}

// Client makes the client of a role with what it is granted, or finds it, and gives it one more secret.
func Client(ctx context.Context, r *registry.Registry, role Role) (Credential, error) {
	c, err := find(ctx, r.Store, role.Name)
	if err == nil && c == nil {
		c, err = r.CreateClient(ctx, actor(), auth.Client{
			Name: role.Name, Description: role.Description, Labels: map[string]string{roleLabel: role.Name},
		})
	}
	if err != nil {
		return Credential{}, fmt.Errorf("create client %s: %w", role.Name, err)
	}
	if err := entitle(ctx, r, c.ID, role); err != nil {
		return Credential{}, fmt.Errorf("entitle client %s: %w", role.Name, err)
	}
	made, err := r.AddSecret(ctx, actor(), c.ID, registry.NewSecretRequest{})
	if err != nil {
		return Credential{}, fmt.Errorf("make a secret for client %s: %w", role.Name, err)
	}
	return Credential{ID: c.ID, Secret: made.Value}, nil
}

// FirstAdmin makes the client of Admin unless some client can do everything by the admin API already: then it returns nil. Any number of
// instances may call it at once. What is zero in wanted is made.
func FirstAdmin(ctx context.Context, r *registry.Registry, wanted Credential) (*registry.Admin, error) {
	role := Admin()
	return r.FirstAdmin(ctx, actor(), auth.Client{
		ID: wanted.ID, Name: role.Name, Description: role.Description, Labels: map[string]string{roleLabel: role.Name},
	}, wanted.Secret)
}

// Exists reports whether the client is stored.
func Exists(ctx context.Context, store auth.Store, id auth.ClientID) (bool, error) {
	err := store.View(ctx, func(tx auth.Tx) error {
		_, err := tx.Clients().Client(ctx, id)
		return err
	})
	switch found := fault.From(err); {
	case found == nil:
		return true, nil
	case found.Code == fault.NotFound:
		return false, nil
	}
	return false, err
}

func find(ctx context.Context, store auth.Store, role string) (found *auth.Client, err error) {
	err = store.View(ctx, func(tx auth.Tx) error {
		found = nil
		return tx.Clients().EachClient(ctx, func(c *auth.Client) error {
			if c.Labels[roleLabel] == role {
				found = c
			}
			return nil
		})
	})
	return found, err
}

func entitle(ctx context.Context, r *registry.Registry, client auth.ClientID, role Role) error {
	var calls, serves *auth.API
	err := r.Store.View(ctx, func(tx auth.Tx) (err error) {
		if role.Calls != "" {
			calls, err = tx.APIs().APIByIdentifier(ctx, role.Calls)
		}
		if role.Serves != "" && err == nil {
			serves, err = tx.APIs().APIByIdentifier(ctx, role.Serves)
		}
		return err
	})
	if err != nil {
		return err
	}
	if calls != nil {
		scopes := role.Scopes
		if len(scopes) == 0 {
			scopes = calls.ScopeNames()
		}
		if _, _, err := r.PutGrant(ctx, actor(), auth.Grant{Client: client, API: calls.ID, Scopes: scopes}, registry.Any); err != nil {
			return err
		}
	}
	if serves != nil {
		_, err = r.SetServer(ctx, actor(), serves.ID, client, true)
	}
	return err
}
