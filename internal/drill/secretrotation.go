package drill

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/internal/privatefile"
	"github.com/countersign/countersign/internal/up"
	"github.com/countersign/countersign/sdk"
)

func clientSecretRotation() Drill {
	return Drill{
		Name:        "client-secret-rotation",
		Does:        "a client gets a second secret and moves to it, and the first is disabled",
		Expectation: "both secrets are good for as long as both are active: no request fails; the disabled one is refused everywhere",
		run:         runSecretRotation,
	}
}

func runSecretRotation(ctx context.Context, r *run) error {
	o, err := r.newOffice()
	if err != nil {
		return err
	}
	resource := r.Bootstrap.Clients["service-a"].Resource
	api, err := o.apiID(ctx, resource)
	if err != nil {
		return err
	}
	old, err := o.client(ctx, api, resource, "inventory:read")
	if err != nil {
		return err
	}
	r.step("made the client %s", old.ClientID)
	file, err := r.secretFile(old.ClientSecret)
	if err != nil {
		return err
	}
	c, err := r.newCaller(old, sdk.SecretFile(file))
	if err != nil {
		return err
	}
	if err := r.until(ctx, healWithin, func(ctx context.Context) error {
		if s := c.getItems(ctx, r.Bootstrap.EntryURL); s.Kind != OK {
			return fmt.Errorf("call B as the new client: %s", s)
		}
		return nil
	}); err != nil {
		return err
	}
	t := r.start(ctx, r.tokensBy(file, old), c.items())
	defer t.stop()
	if err := pass(ctx, r.For/4); err != nil {
		return err
	}
	fresh, err := r.moveSecret(ctx, o, old, file)
	if err != nil {
		return err
	}
	if err := pass(ctx, r.For/2); err != nil {
		return err
	}
	r.check(noFailures(t.stop()...))
	return r.checkSecrets(ctx, old, fresh)
}

// secretFile puts a secret where the SDK reads it, and anew when it changes. It is removed when the drill ends.
func (r *run) secretFile(value string) (path string, err error) {
	folder, err := os.MkdirTemp("", "countersign-drill-")
	if err != nil {
		return "", fmt.Errorf("make a folder for the secret: %w", err)
	}
	r.later("remove the file with the secret", func(context.Context) error { return os.RemoveAll(folder) })
	path = filepath.Join(folder, "secret")
	return path, privatefile.Write(path, []byte(value+"\n")) //nolint:wrapcheck // it names the file
}

// tokensBy asks for tokens by whatever secret is in the file.
func (r *run) tokensBy(file string, c up.Credential) asking {
	return asking{name: loadToken, ask: func(ctx context.Context) Sample {
		text, err := os.ReadFile(file) //nolint:gosec // our own
		if err != nil {
			return failure(err)
		}
		c.ClientSecret = strings.TrimSpace(string(text))
		s, _ := r.token(ctx, r.Bootstrap.Issuer, c)
		return s
	}}
}

// moveSecret adds a secret, has the client use it, and disables the one before.
func (r *run) moveSecret(ctx context.Context, o *office, old up.Credential, file string) (fresh up.Credential, err error) {
	path := "/clients/" + old.ClientID + "/secrets"
	var list wire.List[wire.Secret]
	if err := o.call(ctx, http.MethodGet, path, nil, &list); err != nil {
		return fresh, err
	}
	if len(list.Items) != 1 {
		return fresh, fmt.Errorf("the new client has %d secrets, want 1", len(list.Items))
	}
	made, err := o.secret(ctx, old.ClientID)
	if err != nil {
		return fresh, err
	}
	r.step("added a second secret")
	fresh = old
	fresh.ClientSecret = made.Value
	if err := privatefile.Write(file, []byte(made.Value+"\n")); err != nil {
		return fresh, err //nolint:wrapcheck // it names the file
	}
	r.step("moved the client to it")
	if err := pass(ctx, r.For/4); err != nil { // requests with the first one are answered by then
		return fresh, err
	}
	if err := o.call(ctx, http.MethodPost, path+"/"+list.Items[0].ID+"/disable", wire.DisableBody{}, nil); err != nil {
		return fresh, err
	}
	r.step("disabled the first secret")
	return fresh, nil
}

// checkSecrets asks every auth server by either secret.
func (r *run) checkSecrets(ctx context.Context, old, fresh up.Credential) error {
	for _, server := range r.instances("auth-") {
		refused, _ := r.token(ctx, server.URL, old)
		r.check(holds(server.Name+" refuses the disabled secret", refused.Kind == Refused, refused.String()))
		good, _ := r.token(ctx, server.URL, fresh)
		r.check(holds(server.Name+" takes the new one", good.Kind == OK, good.String()))
	}
	return ctx.Err() //nolint:wrapcheck // the caller's own
}
