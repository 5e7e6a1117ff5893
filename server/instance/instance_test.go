package instance_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/redisconn"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
	"github.com/countersign/countersign/server/keys"
	"github.com/countersign/countersign/server/seed"
	"github.com/countersign/countersign/server/sqlstore"
)

// deployment is a database with one client, on which instances run.
type deployment struct {
	*testing.T

	settings instance.Settings
	master   seal.Key
	store    *sqlstore.Store
	client   seed.Credential
}

func newDeployment(t *testing.T) *deployment {
	t.Helper()
	folder := t.TempDir()
	d := &deployment{T: t, settings: instance.DefaultSettings()}
	d.settings.Listen, d.settings.AdminListen, d.settings.Issuer = "127.0.0.1:0", "127.0.0.1:0", "http://127.0.0.1"
	d.settings.Database, d.settings.MasterKeyFile = "sqlite:"+filepath.Join(folder, "db"), filepath.Join(folder, "master.key")
	var err error
	d.master, err = seal.CreateKeyFile(d.settings.MasterKeyFile)
	d.check(err)
	d.store, err = instance.OpenStore(t.Context(), d.settings, slog.New(slog.DiscardHandler), nil)
	d.check(err)
	t.Cleanup(func() { d.check(d.store.Close()) })
	registry, err := seed.System(t.Context(), d.store, d.master, time.Now)
	d.check(err)
	d.client, err = seed.Client(t.Context(), registry, seed.Admin())
	d.check(err)
	return d
}

func (d *deployment) check(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// config is that of an instance.
func (d *deployment) config() instance.Config {
	return instance.Config{Settings: d.settings, Version: "test", Logger: slog.New(slog.DiscardHandler), Now: time.Now}
}

// start runs an instance until the test ends, and returns the addresses of its listeners.
func (d *deployment) start() (public, admin string) {
	d.Helper()
	return d.run(d.config())
}

func (d *deployment) run(c instance.Config) (public, admin string) {
	d.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan struct{}), make(chan error, 1)
	c.Listening = func(p, a net.Addr) {
		public, admin = "http://"+p.String(), "http://"+a.String()
		close(listening)
	}
	go func() { ended <- instance.Run(ctx, c) }()
	d.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			d.Error(err)
		}
	})
	select {
	case <-listening:
	case err := <-ended:
		ended <- err
		d.Fatal(err)
	}
	return public, admin
}

type answer struct {
	AccessToken string `json:"access_token"`
	Scope       string `json:"scope"`
	Active      bool   `json:"active"`
}

// post sends a form as the client and returns the answer, which must be 200.
func (d *deployment) post(address string, form url.Values) (answer answer) {
	d.Helper()
	request, err := http.NewRequestWithContext(d.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	d.check(err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(d.client.ID.String(), d.client.Secret.Reveal())
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	d.check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	d.check(err)
	if response.StatusCode != http.StatusOK {
		d.Fatalf("%s: %s: %s", address, response.Status, body)
	}
	if len(body) > 0 {
		d.check(json.Unmarshal(body, &answer))
	}
	return answer
}

// An instance that has not heard yet of the key that signed a token must not answer a revocation of that token as done.
func TestRevocationOfTokenWithNewKey(t *testing.T) {
	d := newDeployment(t)
	issuing, _ := d.start()
	lagging, _ := d.start()
	for range 5 {
		_, err := keys.Rotate(t.Context(), d.store, d.master, keys.Rotation{Algorithm: auth.ES256, Compromised: true, Now: time.Now()})
		d.check(err)
		token := d.post(issuing+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).AccessToken
		presented := url.Values{"token": {token}}
		d.post(lagging+"/oauth2/revoke", presented)
		for _, address := range []string{issuing, lagging} {
			// Each instance reads the log at the latest when it is asked for a token that it cannot vouch for yet.
			deadline := time.Now().Add(5 * time.Second)
			for d.post(address+"/oauth2/introspect", presented).Active {
				if time.Now().After(deadline) {
					t.Fatal("a token is active that was taken back")
				}
			}
		}
	}
}

// Whoever can publish in Redis cannot make an instance read its database as often.
func TestFloodOfHints(t *testing.T) {
	d := newDeployment(t)
	d.settings.TokenStore = testbed.StartRedis(t).URL()
	_, admin := d.start()
	redis, err := redisconn.Open(d.settings.TokenStore, redisconn.Config{Budget: 5 * time.Second})
	d.check(err)
	defer redis.Close()
	publish := func() {
		d.check(redis.Publish(t.Context(), "countersign:changes:"+d.settings.Issuer, "changed"))
	}
	testbed.Wait(t, 5*time.Second, func() error { // until the instance listens
		before := d.reads(admin)
		for range 10 {
			publish()
		}
		if d.reads(admin) < before+2 {
			return errors.New("no hint is heard")
		}
		return nil
	})
	before, began, sent := d.reads(admin), time.Now(), 0
	for time.Since(began) < 500*time.Millisecond {
		publish()
		sent++
	}
	got, most := d.reads(admin)-before, float64(time.Since(began)/(5*time.Millisecond)+10)
	if got > most {
		t.Errorf("%d hints made the instance read %.0f times: at most %.0f are allowed", sent, got, most)
	}
}

// get returns an answer without asking who may have it.
func (d *deployment) get(address string) (status int, body string) {
	d.Helper()
	request, err := http.NewRequestWithContext(d.Context(), http.MethodGet, address, http.NoBody)
	d.check(err)
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	d.check(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	d.check(err)
	return response.StatusCode, string(text)
}

// reads is how often an instance has read its change log.
func (d *deployment) reads(admin string) float64 {
	d.Helper()
	return d.metric(admin, "countersign_change_log_reads_total")
}

// metric is the sum of a metric over its labels.
func (d *deployment) metric(admin, name string) (sum float64) {
	d.Helper()
	_, body := d.get(admin + "/metrics")
	for line := range strings.Lines(body) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
			_, number, _ := strings.Cut(text, " ")
			n, err := strconv.ParseFloat(number, 64)
			d.check(err)
			sum += n
		}
	}
	return sum
}
