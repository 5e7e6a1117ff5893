package api_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/seed"
)

// auditor is a client that may read the audit log and nothing else.
func (w *world) auditor() (client seed.Credential, token string) {
	w.Helper()
	made := w.newClient()
	secret := w.newSecret(made.ID)
	apis, _ := want[wire.List[wire.API]](w, http.StatusOK, call{method: http.MethodGet, path: "/apis?identifier=" + auth.AdminAPI})
	want[wire.Grant](w, http.StatusCreated, call{
		method: http.MethodPut, path: "/clients/" + made.ID + "/grants/" + apis.Items[0].ID, header: forcedAbsent(), body: wire.GrantBody{Scopes: []string{"audit:read"}},
	})
	id, err := auth.ParseClientID(made.ID)
	w.check(err)
	client = seed.Credential{ID: id, Secret: auth.PresentedSecret(secret.Value)}
	return client, w.ask(client, auth.AdminAPI, "")
}

// follow opens the audit log's stream.
func (w *world) follow(token, query string) *bufio.Scanner {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.admin+wire.Base+"/audit/export?"+query, nil)
	w.check(err)
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := w.client.Do(request)
	w.check(err)
	w.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/jsonl" {
		body, _ := io.ReadAll(response.Body)
		w.Fatalf("%s %s", response.Status, body)
	}
	return bufio.NewScanner(response.Body)
}

func (w *world) next(lines *bufio.Scanner) (e wire.Event) {
	w.Helper()
	if !lines.Scan() {
		w.Fatalf("the stream ended: %v", lines.Err())
	}
	w.check(json.Unmarshal(lines.Bytes(), &e))
	return e
}

// The stream brings what happens, and ends when its reader may read no more.
func TestAuditIsFollowedAsLongAsTheReaderMay(t *testing.T) {
	w := newWorld(t)
	client, token := w.auditor()
	head, _ := want[wire.AuditHead](w, http.StatusOK, call{method: http.MethodGet, path: "/audit/head", token: token})
	lines := w.follow(token, "follow=true&action=client.create&after=0")
	var last wire.Event
	for last.Target != client.ID.String() {
		last = w.next(lines)
	}
	made := w.newClient()
	if got := w.next(lines); got.Action != "client.create" || got.Target != made.ID || got.Number <= head.Number || got.Actor.Client != w.root.ID.String() ||
		got.Actor.Source != "127.0.0.1" || got.Actor.Request == "" {
		t.Errorf("got %+v", got)
	}
	want[wire.StatusChange](w, http.StatusOK, call{method: http.MethodPost, path: "/clients/" + client.ID.String() + "/disable"})
	for lines.Scan() {
		if text := lines.Text(); text != "" {
			t.Errorf("a disabled client reads on: %s", text)
		}
	}
	w.refused(http.StatusUnauthorized, "invalid_token", call{method: http.MethodGet, path: "/audit", token: token})
}

// What is exported is the whole log, in order, and fits what single events look like.
func TestAuditExport(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.newClient()
	}
	lines, number := w.follow(w.token, ""), uint64(0)
	for lines.Scan() {
		var value any
		w.check(json.Unmarshal(lines.Bytes(), &value))
		for _, wrong := range w.seen.wrong(map[string]any{"$ref": "#/components/schemas/Event"}, value, "") {
			t.Error(wrong)
		}
		var e wire.Event
		w.check(json.Unmarshal(lines.Bytes(), &e))
		if e.Number != number+1 {
			t.Errorf("event %d comes after %d", e.Number, number)
		}
		number = e.Number
	}
	head, _ := want[wire.AuditHead](w, http.StatusOK, call{method: http.MethodGet, path: "/audit/head"})
	if number != head.Number {
		t.Errorf("exported up to %d of %d", number, head.Number)
	}
	report, _ := want[wire.AuditReport](w, http.StatusOK, call{method: http.MethodPost, path: "/audit/verify", body: wire.AuditVerification{Head: &head}})
	if !report.OK || report.To != number {
		t.Errorf("got %+v", report)
	}
	head.Seal = strings.Repeat("A", len(head.Seal))
	forged, _ := want[wire.AuditReport](w, http.StatusOK, call{method: http.MethodPost, path: "/audit/verify", body: wire.AuditVerification{Head: &head}})
	if forged.OK {
		t.Error("a head that no server gave out was believed")
	}
	head.Chain = "x"
	if p := w.refused(http.StatusBadRequest, "invalid_request", call{method: http.MethodPost, path: "/audit/verify", body: wire.AuditVerification{Head: &head}}); len(p.Errors) != 1 || p.Errors[0].Pointer != "#/head/chain" {
		t.Errorf("points at %v", p.Errors)
	}
}

// A stream does not keep the server from ending.
func TestStreamsEndWhenTheServerDrains(t *testing.T) {
	w := newWorld(t)
	lines := w.follow(w.token, "follow=true")
	w.next(lines)
	began := time.Now()
	w.stop()
	for lines.Scan() {
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the server took %v to end", took)
	}
}

// A client that is disabled, or a token that is revoked, is out with the answer that says so.
func TestAdministratorsAreOutAtOnce(t *testing.T) {
	w := newWorld(t)
	_, token := w.auditor()
	want[wire.List[wire.Event]](w, http.StatusOK, call{method: http.MethodGet, path: "/audit", token: token})
	for name, out := range map[string]func(client string){
		"disabled": func(client string) {
			want[wire.StatusChange](w, http.StatusOK, call{method: http.MethodPost, path: "/clients/" + client + "/disable"})
		},
		"revoked": func(client string) {
			want[wire.Revocation](w, http.StatusOK, call{method: http.MethodDelete, path: "/clients/" + client + "/tokens"})
		},
		"deleted": func(client string) {
			want[wire.Hit](w, http.StatusOK, call{method: http.MethodDelete, path: "/clients/" + client, header: forced()})
		},
	} {
		client, token := w.auditor()
		out(client.ID.String())
		if got := w.do(call{method: http.MethodGet, path: "/audit", token: token}); got.status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got.status)
		}
	}
}

// Who is shut out while its request arrives is out, too.
func TestAdministratorsAreOutHalfway(t *testing.T) {
	w := newWorld(t)
	client, token := w.auditor()
	half, body := io.Pipe()
	in := make(chan struct{}) // the server asks for the body when the caller is let in (RFC 9110 §10.1.1)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(in) }})
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.admin+wire.Base+"/audit/verify", half)
	w.check(err)
	request.Header = header("Authorization", "Bearer "+token, "Content-Type", "application/json", "Expect", "100-continue")
	status := make(chan int, 1)
	go func() {
		response, err := w.client.Do(request)
		if err != nil {
			status <- 0
			return
		}
		status <- response.StatusCode
		_ = response.Body.Close()
	}()
	select {
	case <-in:
	case got := <-status:
		t.Fatalf("answered %d before its body came", got)
	}
	_, err = body.Write([]byte("{"))
	w.check(err)
	time.Sleep(150 * time.Millisecond) // a body that takes less than 100 ms counts as there at once
	want[wire.StatusChange](w, http.StatusOK, call{method: http.MethodPost, path: "/clients/" + client.ID.String() + "/disable"})
	_, err = body.Write([]byte("}"))
	w.check(errors.Join(err, body.Close()))
	if got := <-status; got != http.StatusUnauthorized {
		t.Errorf("answered %d", got)
	}
}

// An instance works on few large bodies at once; who finds no room is told to come again.
func TestLargeRequestsTakeTurns(t *testing.T) {
	w := newWorld(t)
	document := wire.ApplyBody{Document: wire.Document{Version: wire.DocumentVersion}, DryRun: true}
	apply := call{method: http.MethodPost, path: "/apply", body: document}
	text, err := json.Marshal(document)
	w.check(err)
	bodies, statuses := []*io.PipeWriter{}, make(chan int, 2)
	for range cap(statuses) {
		half, body := io.Pipe()
		in := make(chan struct{}) // the server asks for the body of who has room (RFC 9110 §10.1.1)
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(in) }})
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.admin+wire.Base+"/apply", half)
		w.check(err)
		request.Header = header("Authorization", "Bearer "+w.token, "Content-Type", "application/json", "Expect", "100-continue")
		go func() {
			response, err := w.client.Do(request)
			if err != nil {
				statuses <- 0
				return
			}
			statuses <- response.StatusCode
			_ = response.Body.Close()
		}()
		select {
		case <-in:
		case got := <-statuses:
			t.Fatalf("answered %d while there was room", got)
		}
		bodies = append(bodies, body)
	}
	if got := w.once(apply); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", got.status, got.header)
	}
	for _, body := range bodies {
		_, err := body.Write(text)
		w.check(errors.Join(err, body.Close()))
		if got := <-statuses; got != http.StatusOK {
			t.Errorf("one that had begun is answered %d", got)
		}
	}
	want[wire.Plan](w, http.StatusOK, apply)
}

// Behind an instance the listener counts, and logs the pattern of the route, not the path.
func TestCallsAreCounted(t *testing.T) {
	w := newWorld(t)
	w.newClient()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.admin+"/metrics", nil)
	w.check(err)
	response, err := w.client.Do(request)
	w.check(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	w.check(err)
	if !strings.Contains(string(text), `countersign_http_requests_total{endpoint="admin",outcome="ok"}`) {
		t.Error("no call of the admin API is counted")
	}
	want[wire.Client](w, http.StatusOK, call{method: http.MethodGet, path: "/clients/" + w.root.ID.String()})
	line := w.log.find(t, `"route":"/admin/v1/clients/{client_id}"`)
	if !strings.Contains(line, `"client_id":"`+w.root.ID.String()+`"`) || !strings.Contains(line, `"status":200`) {
		t.Error(line)
	}
}
