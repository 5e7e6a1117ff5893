package instance_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/imported"
	"github.com/countersign/countersign/server/instance"
	"github.com/countersign/countersign/server/registry"
	"github.com/countersign/countersign/server/seed"
)

// begin runs an instance until stop is called.
func (d *deployment) begin() (public string, stop func()) {
	d.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan string, 1), make(chan error, 1)
	c := d.config()
	c.Listening = func(p, _ net.Addr) { listening <- "http://" + p.String() }
	go func() { ended <- instance.Run(ctx, c) }()
	stop = func() {
		d.Helper()
		cancel()
		d.check(<-ended)
	}
	select {
	case public = <-listening:
	case err := <-ended:
		cancel()
		d.Fatal(err)
	}
	return public, stop
}

// ask posts a form with credentials and returns the status of the answer.
func (d *deployment) ask(address, id, secret string) (status int, header http.Header) {
	d.Helper()
	form := url.Values{"grant_type": {"client_credentials"}}
	request, err := http.NewRequestWithContext(d.Context(), http.MethodPost, address+"/oauth2/token", strings.NewReader(form.Encode()))
	d.check(err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	response, err := (&http.Client{Timeout: 10 * time.Second}).Do(request)
	d.check(err)
	d.check(response.Body.Close())
	return response.StatusCode, response.Header
}

type usesOf struct {
	used     time.Time
	tokens   int64 // of all grants
	failures int64
}

func (d *deployment) uses(client auth.ClientID) (found usesOf) {
	d.Helper()
	ctx := d.Context()
	d.check(d.store.View(ctx, func(tx auth.Tx) (err error) {
		found = usesOf{}
		if found.used, err = tx.Usage().ClientUse(ctx, client); err != nil {
			return err
		}
		failures, err := tx.Audit().ListFailures(ctx, &client, 1000)
		for _, f := range failures {
			found.failures += f.Count
		}
		if err != nil {
			return err
		}
		return tx.Usage().GrantUses(ctx, client, func(use auth.GrantUse) error {
			if use.Scope == "" {
				found.tokens += use.Tokens
			}
			return nil
		})
	}))
	return found
}

// What was used is in the database once an instance has ended, and the next one adds to it.
func TestUsesSurviveRestart(t *testing.T) {
	d := newDeployment(t)
	if got := d.uses(d.client.ID); got != (usesOf{}) {
		t.Fatalf("used before any use: %+v", got)
	}
	began := time.Now().Add(-time.Minute)
	for round := range int64(2) {
		public, stop := d.begin()
		for range 3 {
			d.post(public+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
		}
		for range 15 { // more than are taken down one by one
			if status, _ := d.ask(public, d.client.ID.String(), auth.NewSecretValue().Reveal()); status != http.StatusUnauthorized {
				t.Fatalf("answered %d", status)
			}
		}
		stop()
		got := d.uses(d.client.ID)
		if got.tokens != 3*(round+1) || got.failures != 15*(round+1) || got.used.Before(began) || got.used.After(time.Now()) {
			t.Errorf("round %d: %+v", round, got)
		}
	}
}

// A client goes on with the secret that it had before; whoever guesses at it is told to slow down, and others are not.
func TestImportedSecret(t *testing.T) {
	d := newDeployment(t)
	system, err := seed.System(t.Context(), d.store, d.master, time.Now)
	d.check(err)
	system.Import = imported.Hash
	const value = "horse+battery%staple:1"
	_, err = system.AddSecret(t.Context(), auth.Actor{}, d.client.ID, registry.NewSecretRequest{Value: auth.PresentedSecret(value)})
	d.check(err)
	public, stop := d.begin()
	id := d.client.ID.String()
	for range 20 {
		if status, _ := d.ask(public, id, value); status != http.StatusOK {
			t.Fatalf("the secret: answered %d", status)
		}
	}
	var limited atomic.Int32
	var guesses sync.WaitGroup
	for n := range 40 {
		guesses.Go(func() {
			switch status, header := d.ask(public, id, "guess-of-an-attacker-"+strconv.Itoa(n)); status {
			case http.StatusUnauthorized:
			case http.StatusTooManyRequests:
				limited.Add(1)
				fallthrough
			case http.StatusServiceUnavailable: // no processor was free
				if header.Get("Retry-After") == "" {
					t.Errorf("a guess: answered %d without Retry-After", status)
				}
			default:
				t.Errorf("a guess: answered %d", status)
			}
		})
	}
	guesses.Wait()
	if limited.Load() == 0 {
		t.Error("40 guesses at once were all looked at")
	}
	for name, secret := range map[string]string{"imported": value, "made here": d.client.Secret.Reveal()} {
		if status, _ := d.ask(public, id, secret); status != http.StatusOK {
			t.Errorf("the secret that is %s, after the guesses: answered %d", name, status)
		}
	}
	stop()
	if got := d.uses(d.client.ID); got.used.IsZero() || got.failures < int64(limited.Load()) || got.failures > 40 {
		t.Errorf("taken down: %+v", got)
	}
}
