package instance

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/countersign/countersign/admin/api"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/memory"
)

// adminAPI is the admin API of the instance.
func (p *parts) adminAPI(i *Instance) http.Handler {
	r := i.registry
	r.Store = announced{i.store, p}
	r.Ledger, r.Denied, r.Refusals, r.Peppers, r.Imported = i.store, p.directory.Denied, p.directory.Refusals, p.peppers.Load, p.imported
	return api.New(api.Config{
		Registry: r, Authenticator: admins{p.tokens, p.directory}, Now: i.config.Now, Version: i.config.Version,
		TokenURL: strings.TrimSuffix(i.config.Settings.Issuer, "/") + "/oauth2/token", Draining: p.draining,
	})
}

// announced is a store whose changes the other instances look for at once. This one knows of them when Update returns, so that who was
// granted something, and asks for a token here, gets one.
type announced struct {
	auth.Store

	parts *parts
}

// announceTime bounds how long a change that is made waits until this instance knows of it. If it does not, it soon will.
const announceTime = time.Second

// Update implements auth.Store.
func (s announced) Update(ctx context.Context, change func(auth.Tx) error) error {
	err := s.Store.Update(ctx, change)
	if found := fault.From(err); found != nil && found.Code != fault.Unavailable {
		return err
	}
	s.parts.hints.publish() // even if it is not known to be committed: it may be
	reading, cancel := context.WithTimeout(ctx, announceTime)
	defer cancel()
	_ = s.parts.directory.Refresh(reading)
	return err
}

// admins lets in who holds a token for the admin API. It implements api.Authenticator.
type admins struct {
	tokens    *auth.Tokens
	directory *memory.Directory
}

// Authenticate implements api.Authenticator. That the token is genuine is found out first, since the read of the change log that
// follows is only for those who have authenticated.
func (a admins) Authenticate(ctx context.Context, bearer string) (auth.Actor, error) {
	if _, err := a.tokens.Verify(ctx, bearer, auth.AdminAPI, auth.Confirmation{}); err != nil {
		return auth.Actor{}, err
	}
	if err := a.directory.Refresh(ctx); err != nil {
		return auth.Actor{}, err
	}
	t, err := a.tokens.Verify(ctx, bearer, auth.AdminAPI, auth.Confirmation{})
	if err != nil {
		return auth.Actor{}, err
	}
	record := a.directory.Client(t.Client)
	if record == nil || record.Client.Status != auth.Active {
		return auth.Actor{}, fault.New(fault.InvalidToken, "the client of the access token is disabled or gone")
	}
	return auth.Actor{Client: t.Client, Credential: t.Credential, Name: record.Client.Name, Scope: t.Scope}, nil
}
