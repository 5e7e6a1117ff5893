package instance_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
	"github.com/countersign/countersign/server/seed"
)

// emptyDeployment has a database in which nothing is yet. database is its address; empty: SQLite.
func emptyDeployment(t *testing.T, database string) *deployment {
	t.Helper()
	folder := t.TempDir()
	d := &deployment{T: t, settings: instance.DefaultSettings()}
	d.settings.Listen, d.settings.AdminListen, d.settings.Issuer = "127.0.0.1:0", "127.0.0.1:0", "http://127.0.0.1"
	d.settings.Database, d.settings.MasterKeyFile = database, filepath.Join(folder, "master.key")
	if database == "" {
		d.settings.Database = "sqlite:" + filepath.Join(folder, "db")
	}
	d.settings.DatabaseTimeout = 10 * time.Second
	var err error
	d.master, err = seal.CreateKeyFile(d.settings.MasterKeyFile)
	d.check(err)
	return d
}

// admins are the first administrators that instances told of.
type admins struct {
	mu  sync.Mutex
	all []seed.Credential
}

func (a *admins) add(id auth.ClientID, secret auth.SecretValue) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, seed.Credential{ID: id, Secret: secret})
}

// startTogether runs n instances, which begin at the same moment, until the test ends. It returns where they listen once all do, and
// which administrators they made.
func (d *deployment) startTogether(n int) (public []string, made []seed.Credential) {
	d.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var told admins
	addresses, ended := make(chan string, n), make(chan error, n)
	for range n {
		c := d.config()
		c.FirstAdmin = told.add
		c.Listening = func(p, _ net.Addr) { addresses <- "http://" + p.String() }
		go func() { ended <- instance.Run(ctx, c) }()
	}
	d.Cleanup(func() {
		cancel()
		for range n {
			if err := <-ended; err != nil {
				d.Error(err)
			}
		}
	})
	for range n {
		select {
		case address := <-addresses:
			public = append(public, address)
		case err := <-ended:
			ended <- err
			d.Fatal(err)
		}
	}
	told.mu.Lock()
	defer told.mu.Unlock()
	return public, told.all
}

// clients returns the names of all clients.
func (d *deployment) clients() (names []string) {
	d.Helper()
	store, err := instance.OpenStore(d.Context(), d.settings, slog.New(slog.DiscardHandler), nil)
	d.check(err)
	defer func() { d.check(store.Close()) }()
	d.check(store.View(d.Context(), func(tx auth.Tx) error {
		names = nil
		return tx.Clients().EachClient(d.Context(), func(c *auth.Client) error {
			names = append(names, c.Name)
			return nil
		})
	}))
	return names
}

// adminScope returns the scope of a token for the admin API.
func (d *deployment) adminScope(public string) string {
	d.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {auth.AdminAPI}}
	token := d.post(public+"/oauth2/token", form)
	if token.AccessToken == "" {
		d.Fatal("no token")
	}
	return token.Scope
}

// However many instances begin on a new database, one administrator is made, one instance tells of it, and nothing else is there.
func TestFirstStartMakesOneAdmin(t *testing.T) {
	for name, database := range map[string]func(*testing.T) string{
		"SQLite":  func(*testing.T) string { return "" },
		"MariaDB": func(t *testing.T) string { t.Helper(); return testbed.MariaDB(t).New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			d := emptyDeployment(t, database(t))
			public, made := d.startTogether(3)
			if len(made) != 1 {
				t.Fatalf("%d instances made an administrator, want one", len(made))
			}
			d.client = made[0]
			for _, address := range public {
				for _, want := range []string{auth.ScopeClientsWrite, auth.ScopeSecretsOwn, auth.ScopeAuditRead, auth.ScopeKeysWrite} {
					if scope := d.adminScope(address); !strings.Contains(" "+scope+" ", " "+want+" ") {
						t.Errorf("the administrator's scope %q lacks %s", scope, want)
					}
				}
			}
			if _, again := d.startTogether(1); len(again) != 0 {
				t.Error("a later start made another administrator")
			}
			if names := d.clients(); len(names) != 1 || names[0] != "admin" {
				t.Errorf("clients are %q", names)
			}
		})
	}
}

func TestFirstAdminOfFile(t *testing.T) {
	for name, text := range map[string]string{
		"made by Countersign": auth.NewSecretValue().Reveal() + "\n",
		"brought along":       "correct-horse-battery-staple\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			d := emptyDeployment(t, "")
			path := filepath.Join(t.TempDir(), "secret")
			d.check(os.WriteFile(path, []byte(text), 0o600))
			wanted := auth.NewClientID(time.Now())
			d.settings.BootstrapAdminSecretFile, d.settings.BootstrapAdminClientID = path, wanted.String()
			public, made := d.startTogether(2)
			if len(made) != 0 {
				t.Error("a secret was told that is in a file")
			}
			if got := d.onlyClient(); got != wanted {
				t.Errorf("the administrator's id is %s, want %s", got, wanted)
			}
			d.client = seed.Credential{ID: wanted, Secret: auth.PresentedSecret(strings.TrimSpace(text))}
			for _, address := range public {
				d.adminScope(address)
			}
			d.check(os.Remove(path)) // no later start needs it
			d.startTogether(1)
		})
	}
}

func (d *deployment) onlyClient() (id auth.ClientID) {
	d.Helper()
	store, err := instance.OpenStore(d.Context(), d.settings, slog.New(slog.DiscardHandler), nil)
	d.check(err)
	defer func() { d.check(store.Close()) }()
	d.check(store.View(d.Context(), func(tx auth.Tx) error {
		c, err := tx.Clients().ClientByName(d.Context(), "admin")
		if err == nil {
			id = c.ID
		}
		return err
	}))
	return id
}

func TestFirstAdminFileRefused(t *testing.T) {
	whole := auth.NewSecretValue().Reveal()
	for name, tt := range map[string]struct{ text, want string }{
		"missing":        {"", "admin secret-value"},
		"short":          {"fifteen-letters", "16 to 256"},
		"two lines":      {"correct-horse\nbattery-staple\n", "16 to 256"},
		"space inside":   {"correct horse battery staple", "16 to 256"},
		"long":           {strings.Repeat("x", 257), "16 to 256"},
		"mistyped":       {whole[:len(whole)-1] + "!", "a whole one"},
		"cut":            {whole[:len(whole)-1], "a whole one"},
		"something else": {string(bytes.Repeat([]byte{0xff}, 40)), "16 to 256"},
	} {
		t.Run(name, func(t *testing.T) {
			d := emptyDeployment(t, "")
			d.settings.BootstrapAdminSecretFile = filepath.Join(t.TempDir(), "secret")
			if tt.text != "" {
				d.check(os.WriteFile(d.settings.BootstrapAdminSecretFile, []byte(tt.text), 0o600))
			}
			c := d.config()
			c.FirstAdmin = func(auth.ClientID, auth.SecretValue) { t.Error("an administrator was made") }
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.Listening = func(net.Addr, net.Addr) { cancel() }
			err := instance.Run(ctx, c)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "bootstrap_admin_secret_file") {
				t.Errorf("error %v does not say %q", err, tt.want)
			}
			if tt.text != "" && err != nil && strings.Contains(err.Error(), tt.text) {
				t.Error("the error shows the secret")
			}
			if names := d.clients(); len(names) != 0 {
				t.Errorf("clients are %q", names)
			}
		})
	}
}

// Who has an administrator already, whatever it is called, is not given another; nor is a client of that name taken for one.
func TestNoFirstAdminWhereThereIsOne(t *testing.T) {
	d := newDeployment(t)
	if _, made := d.startTogether(2); len(made) != 0 {
		t.Error("a second administrator was made")
	}
}

func TestFirstAdminBesideClientOfThatName(t *testing.T) {
	d := emptyDeployment(t, "")
	store, err := instance.OpenStore(t.Context(), d.settings, slog.New(slog.DiscardHandler), nil)
	d.check(err)
	registry, err := seed.System(t.Context(), store, d.master, time.Now)
	d.check(err)
	_, err = registry.CreateClient(t.Context(), auth.Actor{Name: "test"}, auth.Client{Name: "admin"})
	d.check(errors.Join(err, store.Close()))
	public, made := d.startTogether(1)
	if len(made) != 1 {
		t.Fatalf("%d administrators were made", len(made))
	}
	d.client = made[0]
	d.adminScope(public[0])
	if names := d.clients(); len(names) != 2 || !strings.HasPrefix(names[1], "admin-") {
		t.Errorf("clients are %q", names)
	}
}

// The secret is told to whoever started the instance, and to nobody else.
func TestFirstAdminIsNotLogged(t *testing.T) {
	d := emptyDeployment(t, "")
	var log bytes.Buffer
	var told admins
	c := d.config()
	c.FirstAdmin, c.Logger = told.add, slog.New(slog.NewJSONHandler(&log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.Listening = func(net.Addr, net.Addr) { cancel() }
	d.check(instance.Run(ctx, c))
	if len(told.all) != 1 || !strings.Contains(log.String(), told.all[0].ID.String()) {
		t.Fatalf("%d were told; the log is %s", len(told.all), log.String())
	}
	if strings.Contains(log.String(), "cs_secret_") {
		t.Error("the log holds the secret")
	}
}
