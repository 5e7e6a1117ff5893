package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// What happens is on the screen of whoever follows the audit log through the load balancer, at once; and he does not delay the end.
func TestFollowThroughTheLoadBalancer(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	o := newOffice(t, s)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.base+"/audit/export?follow=true", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+o.token)
	response, err := (&http.Client{Timeout: time.Minute}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	targets := make(chan string, 1000)
	go func() {
		defer close(targets)
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			var event struct {
				Target string `json:"target"`
			}
			if json.Unmarshal(lines.Bytes(), &event) == nil {
				targets <- event.Target
			}
		}
	}()
	for _, name := range []string{"first", "second", "third"} { // whichever server has it
		id := o.call(http.StatusCreated, http.MethodPost, "/clients", `{"name":"`+name+`"}`).Text("client_id")
		deadline := time.After(5 * time.Second)
		for seen := false; !seen; {
			select {
			case target, open := <-targets:
				if !open {
					t.Fatal("the stream has ended")
				}
				seen = target == id
			case <-deadline:
				t.Fatalf("%s is not told of", name)
			}
		}
	}
	begun := time.Now()
	s.Stop(t)
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// The audit log knows the request by the id that the caller has read, and the address from which it came.
func TestRequestIDThroughTheLoadBalancer(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	o := newOffice(t, s)
	got := o.call(http.StatusCreated, http.MethodPost, "/clients", `{"name":"known"}`, "X-Request-Id", "mine-4711", "X-Forwarded-For", "192.0.2.7")
	ids := got.Header.Values("X-Request-Id")
	if len(ids) != 1 || ids[0] == "" || ids[0] == "mine-4711" { // a client's own proves nothing
		t.Fatalf("the answer's request id is %q", ids)
	}
	var page struct {
		Items []struct {
			Actor struct {
				Source  string `json:"source"`
				Request string `json:"request_id"`
				Client  string `json:"client_id"`
			} `json:"actor"`
		} `json:"items"`
	}
	found := o.call(http.StatusOK, http.MethodGet, "/audit?action=client.create&target="+got.Text("client_id"), "")
	if err := json.Unmarshal(found.Body, &page); err != nil || len(page.Items) != 1 {
		t.Fatalf("%v: %s", err, found.Body)
	}
	if a := page.Items[0].Actor; a.Source != "127.0.0.1" || a.Request != ids[0] || a.Client != s.client("admin").ID {
		t.Errorf("the record's actor is %+v", a)
	}
}

// Who was shut out is out with his next request, whichever server gets it; and a server that is gone is not missed.
func TestAdminAcrossServers(t *testing.T) {
	t.Parallel()
	s := startUp(t)
	o := newOffice(t, s)
	deputy := o.call(http.StatusCreated, http.MethodPost, "/clients", `{"name":"deputy"}`).Text("client_id")
	own := o.call(http.StatusOK, http.MethodGet, "/apis?identifier=urn:countersign:admin", "").JSON["items"].([]any)[0].(map[string]any)["api_id"].(string)
	o.call(http.StatusCreated, http.MethodPut, "/clients/"+deputy+"/grants/"+own, `{"scopes":["clients:read"]}`, "If-None-Match", "*")
	secret := o.call(http.StatusCreated, http.MethodPost, "/clients/"+deputy+"/secrets", `{}`).Text("client_secret")
	aide := &office{T: t, base: o.base, token: token(t, s.Issuer, credential{ID: deputy, Secret: secret}, nil)}
	for range 4 {
		aide.call(http.StatusOK, http.MethodGet, "/clients", "")
		aide.call(http.StatusForbidden, http.MethodPost, "/clients", `{"name":"more"}`)
	}
	o.call(http.StatusOK, http.MethodPost, "/clients/"+deputy+"/disable", "")
	for range 4 {
		aide.call(http.StatusUnauthorized, http.MethodGet, "/clients", "")
	}
	s.Tell(t, "kill", "auth-1")
	for range 4 {
		o.call(http.StatusOK, http.MethodGet, "/clients", "")
	}
	s.Tell(t, "start", "auth-1")
	o.call(http.StatusConflict, http.MethodPost, "/clients/"+s.client("admin").ID+"/disable", "") // the last one
}
