package e2e

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/sdk"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/registry"
)

// ofOrders are the claims of a service-account token as Kubernetes projects it into a pod.
func ofOrders(issuer string) map[string]any {
	return map[string]any{
		"aud": []string{sharedIssuer}, "exp": in(time.Hour), "iat": in(0), "nbf": in(0), "iss": issuer, "jti": "0f3a9b1e-5a1e-4d0e-9d0b-6a4f8a3c2d1b",
		"kubernetes.io": map[string]any{
			"namespace": "shop", "node": map[string]any{"name": "node-1", "uid": "1d1b7f6a-0d7a-4e64-9a9f-7d2f5f7e3b11"},
			"pod":            map[string]any{"name": "orders-7d4b9c-x2x4z", "uid": "6b0c4f6e-1f9e-4a51-8d3f-3a0b2c1d4e5f"},
			"serviceaccount": map[string]any{"name": "orders", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"},
		},
		"sub": "system:serviceaccount:shop:orders",
	}
}

func of(namespace, account string) map[string]any {
	return map[string]any{
		"kubernetes.io": map[string]any{"namespace": namespace, "serviceaccount": map[string]any{"name": account}},
		"sub":           "system:serviceaccount:" + namespace + ":" + account,
	}
}

// Workloads of a Kubernetes cluster are clients by their service-account tokens.
func TestKubernetesWorkloads(t *testing.T) {
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, cluster := newSeeded(t, kind), newWorkloads(t, "")
			trusted := s.Trust(t, auth.TrustedIssuer{
				Name: "cluster", Issuer: cluster.Issuer(), Trust: auth.Trust{Algorithms: []string{"RS256"}, Replay: auth.Reusable},
			})
			orders := s.Workload(t, "orders", auth.FederatedJWT, ruleOf(trusted,
				equals("shop", "kubernetes.io", "namespace"), equals("orders", "kubernetes.io", "serviceaccount", "name")))
			f := startFederated(t, s)
			f.byFile(t, cluster, orders)
			f.keysOfClusters(t, cluster, orders)
			f.wrongPods(t, cluster, orders)
		})
	}
}

// byFile has the SDK read the token from where the kubelet puts it, and puts others there.
func (f *federated) byFile(t *testing.T, cluster *workloads, c workload) {
	t.Helper()
	volume := t.TempDir()
	project := func(generation, token string) { // as kubelet's atomic writer does
		folder := filepath.Join(volume, generation)
		err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "token"), []byte(token), 0o600),
			os.Symlink(generation, filepath.Join(volume, "..new")), os.Rename(filepath.Join(volume, "..new"), filepath.Join(volume, "..data")))
		if err != nil {
			t.Fatal(err)
		}
	}
	project("..1", cluster.Sign(t, ofOrders(cluster.Issuer())))
	path := filepath.Join(volume, "token")
	if err := os.Symlink(filepath.Join("..data", "token"), path); err != nil {
		t.Fatal(err)
	}
	file := sdk.AssertionFile(path)
	ask := func(s *serverProcess) error {
		client, err := sdk.New(sharedIssuer, c.ID, file, sdk.WithAddresses(s.URL), sdk.WithLogger(slog.New(slog.DiscardHandler)))
		if err != nil {
			t.Fatal(err)
		}
		defer closes(t, client)
		_, err = client.TokenSource(jwtAPI).Token(t.Context())
		return err
	}
	for _, s := range f.both() { // the token is for more than one use
		if err := ask(s); err != nil {
			t.Errorf("by the first token: %v", err)
		}
	}
	project("..2", cluster.Sign(t, changed(ofOrders(cluster.Issuer()), of("shop", "default"))))
	if refused, ok := errors.AsType[*sdk.TokenError](ask(f.one)); !ok || refused.Code != "invalid_client" {
		t.Errorf("by the token of another account: %v", refused)
	}
	project("..3", cluster.Sign(t, ofOrders(cluster.Issuer())))
	if err := ask(f.one); err != nil {
		t.Errorf("by the third token: %v", err)
	}
}

// keysOfClusters: a key by which the cluster signs from now on is known as soon as the server may ask for it.
func (f *federated) keysOfClusters(t *testing.T, cluster *workloads, c workload) {
	t.Helper()
	t.Run("rotated key", func(t *testing.T) {
		cluster.Rotate(t)
		text := cluster.Sign(t, ofOrders(cluster.Issuer()))
		soonAdmitted(t, f.one, c, text)
	})
}

func (f *federated) wrongPods(t *testing.T, cluster *workloads, c workload) {
	t.Helper()
	other := newWorkloads(t, "")
	good := ofOrders(cluster.Issuer())
	for name, tt := range map[string]struct {
		by     *workloads
		claims map[string]any
		why
	}{
		"another namespace":            {cluster, changed(good, of("shop-2", "orders")), why{auth.NoRuleMatches, ""}},
		"another account":              {cluster, changed(good, of("shop", "orders-admin")), why{auth.NoRuleMatches, ""}},
		"another cluster":              {other, ofOrders(other.Issuer()), why{auth.BadAssertion, "iss: none of the trusted issuers"}},
		"another cluster as this one":  {other, good, why{auth.BadAssertion, "kid: "}},
		"for the API server":           {cluster, changed(good, map[string]any{"aud": []string{"https://kubernetes.default.svc"}}), why{auth.WrongAudience, "aud: "}},
		"A20 for the API server, too":  {cluster, changed(good, map[string]any{"aud": []string{sharedIssuer, "https://kubernetes.default.svc"}}), why{auth.WrongAudience, "aud: "}},
		"A22 expired":                  {cluster, changed(good, map[string]any{"exp": in(-2 * time.Minute)}), why{auth.ExpiredAssertion, "exp: it is over"}},
		"extended to a year":           {cluster, changed(good, map[string]any{"exp": in(365 * 24 * time.Hour)}), why{auth.ExpiredAssertion, "exp: more than 1h0m0s ahead"}},
		"from before projected tokens": {cluster, changed(good, map[string]any{"aud": nil, "exp": nil}), why{auth.WrongAudience, "aud: "}},
	} {
		t.Run(name, func(t *testing.T) { turnedAway(t, f.one, c, tt.by.Sign(t, tt.claims), tt.why) })
	}
}

// aJob are the claims of a token of GitHub Actions.
func aJob(issuer, id string) map[string]any {
	return map[string]any{
		"actor": "octocat", "actor_id": "583231", "aud": sharedIssuer, "base_ref": "", "environment": "production", "event_name": "push", "exp": in(5 * time.Minute),
		"head_ref": "", "iat": in(0), "iss": issuer, "job_workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
		"job_workflow_sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e", "jti": id, "nbf": in(-10 * time.Minute), "ref": "refs/heads/main", "ref_type": "branch",
		"repository": "acme/shop", "repository_id": "74", "repository_owner": "acme", "repository_owner_id": "65", "repository_visibility": "private",
		"run_attempt": "1", "run_id": "30433642", "run_number": "10", "runner_environment": "github-hosted", "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
		"sub": "repo:acme/shop:ref:refs/heads/main", "workflow": "deploy", "workflow_ref": "acme/shop/.github/workflows/deploy.yml@refs/heads/main",
	}
}

// Jobs of GitHub Actions are clients by their tokens, each of which is good for one use.
func TestGitHubJobs(t *testing.T) {
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, forge := newSeeded(t, kind), newWorkloads(t, "")
			trusted := s.Trust(t, auth.TrustedIssuer{
				Name: "github", Issuer: forge.Issuer(), Trust: auth.Trust{Algorithms: []string{"RS256"}, MaxLifetime: 15 * time.Minute, Replay: auth.Once},
			})
			main := equals("repo:acme/shop:ref:refs/heads/main", "sub")
			deploy := s.Workload(t, "deploy", auth.FederatedJWT, ruleOf(trusted, main, begins("acme/shop/.github/workflows/", "job_workflow_ref")))
			anything := s.Workload(t, "anything", auth.FederatedJWT, ruleOf(trusted, begins("repo:acme/", "sub")))
			shop := s.Workload(t, "shop", auth.FederatedJWT, ruleOf(trusted, begins("repo:acme/shop:", "sub")))
			f := startFederated(t, s)
			f.jobs(t, forge, deploy)
			f.prefixes(t, forge, anything, shop)
		})
	}
}

func (f *federated) jobs(t *testing.T, forge *workloads, c workload) {
	t.Helper()
	once := forge.Sign(t, aJob(forge.Issuer(), "a job"))
	admitted(t, f.one, c, once)
	t.Run("attack 15: A29 the token again, elsewhere", func(t *testing.T) { turnedAway(t, f.other, c, once, why{auth.ReplayedAssertion, ""}) })
	t.Run("attack 15: A30 the token again, after a restart", func(t *testing.T) {
		f.other.Stop(t)
		f.other.Start(t)
		turnedAway(t, f.other, c, once, why{auth.ReplayedAssertion, ""})
	})
	for name, tt := range map[string]struct {
		change map[string]any
		why
	}{
		"another branch":                   {map[string]any{"sub": "repo:acme/shop:ref:refs/heads/main-2"}, why{auth.NoRuleMatches, ""}},
		"a pull request":                   {map[string]any{"sub": "repo:acme/shop:pull_request"}, why{auth.NoRuleMatches, ""}},
		"another case":                     {map[string]any{"sub": "repo:Acme/shop:ref:refs/heads/main"}, why{auth.NoRuleMatches, ""}},
		"a workflow of others":             {map[string]any{"job_workflow_ref": "evil/shop/.github/workflows/deploy.yml@refs/heads/main"}, why{auth.NoRuleMatches, ""}},
		"no workflow":                      {map[string]any{"job_workflow_ref": nil}, why{auth.NoRuleMatches, ""}},
		"attack 16: A19 for somebody else": {map[string]any{"aud": "https://github.com/acme"}, why{auth.WrongAudience, "aud: must be " + sharedIssuer}},
		"no jti":                           {map[string]any{"jti": nil}, why{auth.BadAssertion, "jti: missing"}},
		"of tomorrow":                      {map[string]any{"nbf": in(24 * time.Hour)}, why{auth.ExpiredAssertion, "nbf: "}},
		"too long":                         {map[string]any{"exp": in(time.Hour)}, why{auth.ExpiredAssertion, "exp: more than 15m0s ahead"}},
	} {
		t.Run(name, func(t *testing.T) {
			turnedAway(t, f.one, c, forge.Sign(t, changed(aJob(forge.Issuer(), name), tt.change)), tt.why)
		})
	}
}

// prefixes: a prefix ends where a name ends, so that it matches no names of others.
func (f *federated) prefixes(t *testing.T, forge *workloads, all, shop workload) {
	t.Helper()
	for subject, matches := range map[string]map[workload]bool{
		"repo:acme/shop:ref:refs/heads/x":      {all: true, shop: true},
		"repo:acme/shop-evil:ref:refs/heads/x": {all: true, shop: false},
		"repo:acme/bank:ref:refs/heads/x":      {all: true, shop: false},
		"repo:acme-evil/shop:ref:refs/heads/x": {all: false, shop: false},
		"repo:acme":                            {all: false, shop: false},
		"xrepo:acme/shop:ref:refs/heads/x":     {all: false, shop: false},
	} {
		for c, want := range matches {
			text := forge.Sign(t, changed(aJob(forge.Issuer(), subject+c.ID), map[string]any{"sub": subject}))
			if want {
				admitted(t, f.one, c, text)
			} else {
				turnedAway(t, f.one, c, text, why{auth.NoRuleMatches, ""})
			}
		}
	}
}

// An issuer that is disabled or deleted takes the tokens of its workloads along, on all servers.
func TestTrustEnds(t *testing.T) {
	for _, kind := range databases() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s, first, second := newSeeded(t, kind), newWorkloads(t, "/tenant"), newWorkloads(t, "/tenant/")
			trust := func(w *workloads) *auth.TrustedIssuer {
				return s.Trust(t, auth.TrustedIssuer{Issuer: w.Issuer(), Trust: auth.Trust{Algorithms: []string{"RS256"}, Replay: auth.Reusable}})
			}
			one, two := trust(first), trust(second)
			who := equals("system:serviceaccount:shop:orders", "sub")
			c := s.Workload(t, "orders", auth.FederatedJWT, ruleOf(one, who), ruleOf(two, who))
			f := startFederated(t, s)
			byFirst, bySecond := first.Sign(t, ofOrders(first.Issuer())), second.Sign(t, ofOrders(second.Issuer()))
			tokens := []string{admitted(t, f.one, c, byFirst), admitted(t, f.one, c, bySecond)}
			t.Run("a slash more or less is another issuer", func(t *testing.T) {
				turnedAway(t, f.one, c, first.Sign(t, ofOrders(first.Issuer()+"/")), why{auth.BadAssertion, "iss: none of the trusted issuers"})
				turnedAway(t, f.one, c, second.Sign(t, ofOrders(second.URL+"/tenant")), why{auth.BadAssertion, "iss: none of the trusted issuers"})
			})
			ended := func(presented string) {
				t.Helper()
				testbed.Wait(t, promptly, func() error {
					if active(t, f.other.URL, f.Server, presented) {
						return errors.New("the token is active")
					}
					return nil
				})
			}
			_, err := f.Registry.UpdateIssuer(t.Context(), f.Actor, one.ID, registry.IssuerEdit{
				Match: registry.Any, Change: func(i *auth.TrustedIssuer) error { i.Status = auth.Disabled; return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, presented := range tokens {
				ended(presented)
			}
			turnedAway(t, f.other, c, byFirst, why{auth.BadAssertion, "iss: none of the trusted issuers"})
			again := admitted(t, f.other, c, bySecond)
			if _, err := f.Registry.DeleteIssuer(t.Context(), f.Actor, one.ID, registry.Any); err != nil {
				t.Fatal(err)
			}
			ended(again)
			admitted(t, f.other, c, bySecond)
		})
	}
}

// An issuer whose keys cannot be had says nothing of its workloads, whom nobody turns away for good; and nobody else waits for it.
func TestIssuerWithoutKeys(t *testing.T) {
	t.Parallel()
	s := newSeeded(t, "sqlite")
	type known struct {
		*workloads

		client workload
		text   string
	}
	meet := func(name string) known {
		w := newWorkloads(t, "")
		trusted := s.Trust(t, auth.TrustedIssuer{Name: name, Issuer: w.Issuer(), Trust: auth.Trust{Algorithms: []string{"RS256"}, Replay: auth.Reusable}})
		return known{w, s.Workload(t, name, auth.FederatedJWT, ruleOf(trusted, begins("system:serviceaccount:shop:", "sub"))), w.Sign(t, ofOrders(w.Issuer()))}
	}
	slow, down, known1, unknown := meet("slow"), meet("down"), meet("known"), meet("unknown")
	f := startFederated(t, s)
	unavailable := func(k known, text string) {
		t.Helper()
		got, err := present(t.Context(), f.one, k.client, text)
		if err != nil || got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" || got.Text("error") != "temporarily_unavailable" {
			t.Errorf("got %d %s %v", got.Status, got.Body, err)
		}
	}
	admitted(t, f.one, known1.client, known1.text)
	release := slow.Hold()
	down.Break(http.StatusInternalServerError)
	var waiting sync.WaitGroup
	for range 64 {
		waiting.Go(func() { unavailable(slow, slow.text) })
	}
	slow.awaitQuestion(t)
	for _, k := range []known{known1, unknown, known1} {
		began := time.Now()
		admitted(t, f.one, k.client, k.text)
		if took := time.Since(began); took > promptly {
			t.Errorf("who has nothing to do with it waited for %v", took)
		}
	}
	token(t, f.one.URL, f.Caller, asking(jwtAPI, "read"))
	unavailable(down, down.text)
	waiting.Wait()
	release()
	known1.Break(http.StatusInternalServerError)
	admitted(t, f.one, known1.client, known1.text) // its keys are held
	for _, k := range []known{slow, down} {
		k.Break(0)
		soonAdmitted(t, f.one, k.client, k.text)
	}
}
