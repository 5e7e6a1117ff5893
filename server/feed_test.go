package server_test

import (
	"net/http"
	"strings"
	"testing"
)

// Credentials that go into a body have a feed that is asked by POST.
func TestFeedByPOST(t *testing.T) {
	w := newWorld(t)
	byGet := w.send(http.MethodGet, "/oauth2/revocations", "", basic(w.resource))
	byPost := w.post("/oauth2/revocations", "", basic(w.resource))
	if byPost.status != http.StatusOK || byPost.member(t, "generation") != byGet.member(t, "generation") {
		t.Fatalf("got %d %s, by GET %s", byPost.status, byPost.body, byGet.body)
	}
	generation, _ := byGet.member(t, "generation").(string)
	if got := w.post("/oauth2/revocations", "after="+generation+".0", basic(w.resource)); got.status != http.StatusOK {
		t.Errorf("with a cursor: %d %s", got.status, got.body)
	}
	refused(t, w.post("/oauth2/revocations", "after=x", basic(w.resource)), refusal{400, "invalid_request"})
	refused(t, w.post("/oauth2/revocations?after="+generation+".0", "", basic(w.resource)), refusal{400, "invalid_request"})
	got := w.post("/oauth2/revocations", strings.TrimPrefix(inBody(w.poster), "&"))
	if got.status == http.StatusMethodNotAllowed {
		t.Errorf("by client_secret_post: %d %s", got.status, got.body)
	}
}
