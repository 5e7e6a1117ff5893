package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/seed"
)

// bootstrap makes the client that administers everything, unless there is one. The secret comes from the file of the settings, which
// is looked at only when it is needed, so that it can be removed after the first start.
func (i *Instance) bootstrap(ctx context.Context) error {
	if i.config.FirstAdmin == nil {
		return nil
	}
	known, err := i.registry.HasAdmin(ctx)
	if err != nil || known {
		return err
	}
	var wanted seed.Credential
	path := i.config.Settings.BootstrapAdminSecretFile
	if path != "" {
		if wanted.Secret, err = readSecretFile(path); err != nil {
			return fmt.Errorf("setting bootstrap_admin_secret_file: %w", err)
		}
	}
	if id := i.config.Settings.BootstrapAdminClientID; id != "" {
		if wanted.ID, err = auth.ParseClientID(id); err != nil {
			return fmt.Errorf("setting bootstrap_admin_client_id: %w", err)
		}
	}
	made, err := seed.FirstAdmin(ctx, i.registry, wanted)
	if err != nil || made == nil { // another instance was faster
		return err
	}
	i.config.Logger.InfoContext(ctx, "made the bootstrap admin client", "client_id", made.Client.ID.String(), "name", made.Client.Name)
	if path == "" {
		i.config.FirstAdmin(made.Client.ID, made.Value)
	}
	return nil
}

func readSecretFile(path string) (value auth.SecretValue, err error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the path
	if errors.Is(err, fs.ErrNotExist) {
		return value, fmt.Errorf("there is no file %s: `countersign admin secret-value > FILE` makes one, and without the setting a secret is made and printed", path)
	}
	if err != nil {
		return value, fmt.Errorf("open secret file: %w", err)
	}
	defer func() { _ = file.Close() }()
	const lineEnd = 2
	text, err := io.ReadAll(io.LimitReader(file, auth.MaxImported+lineEnd+1))
	if err != nil {
		return value, fmt.Errorf("read secret file: %w", err)
	}
	value = auth.PresentedSecret(strings.TrimRight(string(text), "\r\n"))
	if !value.WellFormed() && !value.Importable() {
		return value, fmt.Errorf("the secret in %s is not well-formed: allowed is a whole one that `countersign admin secret-value` made, "+
			"or one line of %d to %d printable characters of ASCII without spaces", path, auth.MinImported, auth.MaxImported)
	}
	return value, nil
}
