package feed_test

import (
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/feed"
)

var update = flag.Bool("update", false, "write the golden files") //nolint:gochecknoglobals // a flag

// everyKind is a log with each kind of revocation, and one change that is none.
func everyKind() *source {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	id := func(n byte) (id [16]byte) {
		for i := range id {
			id[i] = n
		}
		return id
	}
	return newSource(
		auth.Change{Kind: auth.RevokeAll, At: at},
		auth.Change{Kind: auth.ClientChanged, Subject: id(2), At: at},
		auth.Change{Kind: auth.RevokeToken, Subject: id(1), At: at},
		auth.Change{Kind: auth.RevokeClient, Subject: id(2), At: at.Add(time.Second)},
		auth.Change{Kind: auth.RevokeGrant, Subject: id(2), Object: id(3), Audience: "https://inventory.demo.internal", At: at.Add(1500 * time.Millisecond)},
		auth.Change{Kind: auth.RevokeAPI, Subject: id(3), Audience: "https://inventory.demo.internal", At: at.Add(time.Hour)},
		auth.Change{Kind: auth.RevokeCredential, Subject: id(4), At: at.Add(time.Hour)},
		auth.Change{Kind: auth.RevokeKey, Subject: id(255), At: at.Add(time.Hour)},
	)
}

func poll(t *testing.T, f *feed.Feed, after string) (*httptest.ResponseRecorder, error) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/oauth2/revocations?after="+after, nil)
	return w, f.Serve(w, r, auth.ClientID{}, func() bool { return true })
}

// vector is one of the golden vectors that verifiers are tested against.
type vector struct {
	Name   string          `json:"name"`
	After  string          `json:"after"`
	Answer json.RawMessage `json:"answer"`
}

func TestGolden(t *testing.T) {
	s := everyKind()
	s.age = 41*time.Millisecond + time.Nanosecond // rounded up
	f := feed.New(feed.Config{Source: s})
	vectors := []vector{
		{Name: "no cursor", After: ""},
		{Name: "from the middle", After: "9223372036854788153.6"},
		{Name: "nothing new", After: "9223372036854788153.8"},
		{Name: "another generation", After: "77.6"},
	}
	for i := range vectors {
		w, err := poll(t, f, vectors[i].After)
		if err != nil || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %v, %v", vectors[i].Name, err, w.Header())
		}
		vectors[i].Answer = json.RawMessage(w.Body.String())
	}
	got, err := json.MarshalIndent(vectors, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("..", "..", "sdk", "testdata", "feed.json"), append(got, '\n'))
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-update writes it): %s", path, diff)
	}
}

func TestCursor(t *testing.T) {
	for _, tt := range []struct {
		name     string
		after    string
		snapshot bool
		entries  int
		invalid  bool
		catchUps int
	}{
		{name: "none", after: "", snapshot: true, entries: 7},
		{name: "from the start", after: "9223372036854788153.0", entries: 7},
		{name: "the middle", after: "9223372036854788153.5", entries: 3},
		{name: "current", after: "9223372036854788153.8"},
		{name: "ahead", after: "9223372036854788153.9", snapshot: true, entries: 7, catchUps: 1},
		{name: "another generation", after: "1.5", snapshot: true, entries: 7},
		{name: "ahead in another generation", after: "1.500", snapshot: true, entries: 7},
		{name: "no sequence", after: "9223372036854788153", invalid: true},
		{name: "no generation", after: ".5", invalid: true},
		{name: "negative", after: "9223372036854788153.-5", invalid: true},
		{name: "too large", after: "9223372036854788153.18446744073709551616", invalid: true},
		{name: "words", after: "a.b", invalid: true},
		{name: "twice", after: "1.5&after=1.6", invalid: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := everyKind()
			w, err := poll(t, feed.New(feed.Config{Source: s}), tt.after)
			if tt.invalid {
				if !errors.Is(err, fault.InvalidRequest) || fault.From(err).Field != "after" {
					t.Error(err)
				}
				return
			}
			got := decode(t, w.Body.Bytes())
			if err != nil || got.Snapshot != tt.snapshot || len(got.Entries) != tt.entries || got.Sequence != 8 || s.catchUps != tt.catchUps {
				t.Errorf("%v: %s; %d catch-ups", err, w.Body, s.catchUps)
			}
		})
	}
	t.Run("too old", func(t *testing.T) {
		s := everyKind()
		s.position.Floor = 3
		f := feed.New(feed.Config{Source: s})
		for after, snapshot := range map[string]bool{"2": true, "3": false} {
			w, err := poll(t, f, "9223372036854788153."+after)
			if err != nil || decode(t, w.Body.Bytes()).Snapshot != snapshot {
				t.Errorf("after %s: %v: %s", after, err, w.Body)
			}
		}
	})
	t.Run("ahead of an instance that lags", func(t *testing.T) {
		s := everyKind()
		s.catchUp = func() { s.add(auth.Change{Kind: auth.RevokeAll}, auth.Change{Kind: auth.RevokeAll}) }
		w, err := poll(t, feed.New(feed.Config{Source: s}), "9223372036854788153.9")
		if got := decode(t, w.Body.Bytes()); err != nil || got.Snapshot || len(got.Entries) != 1 || got.Sequence != 10 {
			t.Errorf("%v: %s", err, w.Body)
		}
	})
}

type document struct {
	Generation string `json:"generation"`
	Sequence   uint64 `json:"seq"`
	Age        *int64 `json:"age_ms"`
	Snapshot   bool   `json:"snapshot"`
	Entries    []struct {
		Sequence uint64 `json:"seq"`
		Kind     string `json:"kind"`
	} `json:"entries"`
}

func decode(t *testing.T, body []byte) (d document) {
	t.Helper()
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return d
}

func TestAgeIsTold(t *testing.T) {
	s := everyKind()
	s.age = time.Hour
	w, err := poll(t, feed.New(feed.Config{Source: s}), "")
	if got := decode(t, w.Body.Bytes()); err != nil || *got.Age != 3600_000 {
		t.Errorf("%v: %s", err, w.Body)
	}
}

func TestNotReady(t *testing.T) {
	s := everyKind()
	s.broken = fault.New(fault.Unavailable, "restored")
	if w, err := poll(t, feed.New(feed.Config{Source: s}), ""); !errors.Is(err, fault.Unavailable) || w.Body.Len() > 0 {
		t.Errorf("%v: %s", err, w.Body)
	}
}

func TestHeadIsNoStream(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodHead, "/oauth2/revocations", nil)
	r.Header.Set("Accept", "text/event-stream")
	if err := feed.New(feed.Config{Source: everyKind()}).Serve(w, r, auth.ClientID{}, func() bool { return true }); err != nil || strings.Contains(w.Header().Get("Content-Type"), "event") {
		t.Errorf("%v: %v", err, w.Header())
	}
}
