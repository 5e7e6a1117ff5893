package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
)

// office administers a running system by the admin API.
type office struct {
	*testing.T

	base  string // of the admin API
	token string
}

func newOffice(t *testing.T, s *system) *office {
	t.Helper()
	return &office{T: t, base: s.AdminURL + "/admin/v1", token: adminToken(t, s.Issuer, s.client("admin"))}
}

// call sends a request, which must be answered by status. header is name and value in turn.
func (o *office) call(status int, method, path, body string, header ...string) answer {
	o.Helper()
	request, err := http.NewRequestWithContext(o.Context(), method, o.base+path, strings.NewReader(body))
	if err != nil {
		o.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+o.token)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	got, err := do(request)
	if err != nil {
		o.Fatal(err)
	}
	if got.Status != status {
		o.Fatalf("%s %s: %d, want %d: %s", method, path, got.Status, status, got.Body)
	}
	return got
}

// secretsOf returns the secrets of a client by their ids.
func (o *office) secretsOf(client string) map[string]listedSecret {
	o.Helper()
	var page struct {
		Items []listedSecret `json:"items"`
	}
	if err := json.Unmarshal(o.call(http.StatusOK, http.MethodGet, "/clients/"+client+"/secrets", "").Body, &page); err != nil {
		o.Fatal(err)
	}
	all := map[string]listedSecret{}
	for _, s := range page.Items {
		all[s.ID] = s
	}
	return all
}

type listedSecret struct {
	ID           string     `json:"secret_id"`
	Status       string     `json:"status"`
	Expires      *time.Time `json:"expires_at"`
	LastUsed     *time.Time `json:"last_used_at"`
	SafeToDelete bool       `json:"safe_to_delete"`
}

// fleet is two services, each of many copies, that go on asking for tokens and introspecting them.
type fleet struct {
	issuer string
	copies []*member
	end    context.CancelFunc
	wait   sync.WaitGroup

	mu       sync.Mutex
	failures []string
}

// member is one copy of the calling service and one of the called. It reads the secrets anew before each round, as from its own file.
type member struct {
	caller, server atomic.Pointer[credential]
	rounds         atomic.Int64
}

func startFleet(t *testing.T, s *system, copies int) *fleet {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	f := &fleet{issuer: s.Issuer, end: end}
	t.Cleanup(func() {
		end()
		f.wait.Wait()
	})
	caller, server := s.client("service-a"), s.client("service-b")
	for range copies {
		m := &member{}
		m.caller.Store(&caller)
		m.server.Store(&server)
		f.copies = append(f.copies, m)
		f.wait.Go(func() {
			for ctx.Err() == nil {
				if err := f.round(ctx, m); err != nil && ctx.Err() == nil {
					f.mu.Lock()
					f.failures = append(f.failures, err.Error())
					f.mu.Unlock()
				}
				m.rounds.Add(1)
			}
		})
	}
	return f
}

func (f *fleet) round(ctx context.Context, m *member) error {
	issued, err := askToken(ctx, f.issuer, *m.caller.Load(), nil)
	if err != nil {
		return err
	}
	if issued.Status != http.StatusOK {
		return fmt.Errorf("token: %d %s", issued.Status, issued.Body)
	}
	told, err := post(ctx, f.issuer+"/oauth2/introspect", *m.server.Load(), map[string][]string{"token": {issued.Text("access_token")}})
	if err != nil {
		return err
	}
	if told.Status != http.StatusOK || told.JSON["active"] != true {
		return fmt.Errorf("introspection: %d %s", told.Status, told.Body)
	}
	return nil
}

// goOn waits until every copy has begun and ended n more rounds.
func (f *fleet) goOn(t *testing.T, n int64) {
	t.Helper()
	for i, m := range f.copies {
		until := m.rounds.Load() + n + 1 // the one under way counts for nothing
		testbed.Wait(t, endWithin, func() error {
			if got := m.rounds.Load(); got < until {
				return fmt.Errorf("copy %d is in round %d of %d", i, got, until)
			}
			return nil
		})
	}
}

// stop ends the load and returns how many rounds there were, and what went wrong.
func (f *fleet) stop() (rounds int64, failures []string) {
	f.end()
	f.wait.Wait()
	for _, m := range f.copies {
		rounds += m.rounds.Load()
	}
	return rounds, f.failures
}

// A company changes the secrets of two services that are at work, copy by copy, and not one request fails.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	o, oldCaller, oldServer := newOffice(t, s), s.client("service-a"), s.client("service-b")
	load := startFleet(t, s, 8)
	load.goOn(t, 5)

	newCaller, retiredCaller := o.rotate(oldCaller.ID)
	newServer, retiredServer := o.rotate(oldServer.ID)
	for _, m := range load.copies { // both secrets work, and the new one at once, at every server
		m.caller.Store(&newCaller)
		load.goOn(t, 1)
		m.server.Store(&newServer)
	}
	load.goOn(t, 5)

	for client, retired := range map[string]string{oldCaller.ID: retiredCaller, oldServer.ID: retiredServer} {
		path := "/clients/" + client + "/secrets/" + retired
		tag := o.call(http.StatusOK, http.MethodGet, path, "").Header.Get("ETag")
		o.call(http.StatusConflict, http.MethodDelete, path, "", "If-Match", tag) // in use, for all that the server knows
		o.call(http.StatusOK, http.MethodPost, path+"/disable", "")
		load.goOn(t, 3)
		if got := o.secretsOf(client)[retired]; got.Status != "disabled" || !got.SafeToDelete {
			t.Errorf("the disabled secret is %+v", got)
		}
		o.call(http.StatusPreconditionFailed, http.MethodDelete, path, "", "If-Match", tag)
		tag = o.call(http.StatusOK, http.MethodGet, path, "").Header.Get("ETag")
		o.call(http.StatusNoContent, http.MethodDelete, path, "", "If-Match", tag)
		load.goOn(t, 3)
		if left := o.secretsOf(client); len(left) != 1 {
			t.Errorf("%d secrets are left", len(left))
		}
	}

	rounds, failures := load.stop()
	if len(failures) > 0 {
		t.Errorf("%d of %d rounds failed, the first: %s", len(failures), rounds, failures[0])
	}
	for _, old := range []credential{oldCaller, oldServer} {
		if got, err := askToken(t.Context(), s.Issuer, old, nil); err != nil || got.Status != http.StatusUnauthorized {
			t.Errorf("the deleted secret: %d %s, %v", got.Status, got.Body, err)
		}
	}
}

// rotate makes a new secret for a client, and returns it and the id of the one that it had, which goes on working for an hour.
func (o *office) rotate(client string) (fresh credential, retired string) {
	o.Helper()
	got := o.call(http.StatusCreated, http.MethodPost, "/clients/"+client+"/secrets/rotate", `{"overlap_seconds":3600}`,
		"Idempotency-Key", "rotation-of-"+client)
	var made struct {
		Value    string         `json:"client_secret"`
		Retiring []listedSecret `json:"retiring"`
	}
	if err := json.Unmarshal(got.Body, &made); err != nil {
		o.Fatal(err)
	}
	if len(made.Retiring) != 1 || made.Retiring[0].Expires == nil || !auth.PresentedSecret(made.Value).WellFormed() {
		o.Fatalf("rotation retires %+v", made.Retiring)
	}
	if left := time.Until(*made.Retiring[0].Expires); left < 58*time.Minute || left > time.Hour {
		o.Errorf("the old secret goes on for %v, want an hour", left)
	}
	return credential{ID: client, Secret: made.Value}, made.Retiring[0].ID
}
