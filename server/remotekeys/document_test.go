package remotekeys_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/server/remotekeys"
)

// authority is a key of a trust bundle that vouches for X.509-SVIDs.
func authority(certificate string) string {
	return key("", `"use":"x509-svid","x5c":["`+certificate+`"],`)
}

func bundleOf(keys ...string) string {
	return `{"spiffe_refresh_hint":300,"keys":[` + strings.Join(keys, ",") + `]}`
}

func (w *world) document(source remotekeys.Source, newer bool, want string) {
	w.Helper()
	read := w.keys.Document
	if newer {
		read = w.keys.NewerDocument
	}
	if got, err := read(w.Context(), source); err != nil || string(got) != want {
		w.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// Whoever looks for certificates gets a bundle as it was written, by the same fetch as whoever looks for keys of tokens.
func TestDocumentIsWhole(t *testing.T) {
	source := remotekeys.Source{Kind: remotekeys.Bundle, URL: url}
	text := bundleOf(authority("MIIB"), key("a", `"use":"jwt-svid",`))
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.set(url, text)
		w.document(source, false, text)
		w.expect(source, "a", nil)
		if n := w.internet.count(url); n != 1 {
			t.Errorf("%d fetches", n)
		}
		w.document(remotekeys.Source{Kind: remotekeys.Bundle, Inline: text}, false, text)
		w.document(remotekeys.Source{Kind: remotekeys.Bundle, Inline: text}, true, text)
	})
}

// A bundle that differs in its certificates alone is another one, and known at once to who asks for a newer one. More questions make no more fetches.
func TestNewerDocument(t *testing.T) {
	source := remotekeys.Source{Kind: remotekeys.Bundle, URL: url}
	before, after := bundleOf(authority("MIIB")), bundleOf(authority("MIIC"))
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.set(url, before)
		w.document(source, true, before)
		w.internet.set(url, after)
		w.document(source, true, before) // it was asked for a moment ago
		time.Sleep(11 * time.Second)
		w.document(source, false, before)
		w.document(source, true, after)
		w.document(source, false, after)
		for range 100 {
			w.document(source, true, after)
		}
		if n := w.internet.count(url); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
	})
}

func TestOutageKeepsTheLastGoodDocument(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.set(url, document("a"))
		w.document(at(url), false, document("a"))
		w.internet.set(url, "<html>")
		time.Sleep(23 * time.Hour)
		w.document(at(url), false, document("a"))
		if _, err := w.keys.NewerDocument(w.Context(), at(url)); !errors.Is(err, jwks.ErrUnavailable) {
			t.Errorf("a newer one during an outage: %v", err)
		}
		time.Sleep(time.Hour + time.Minute)
		if _, err := w.keys.Document(w.Context(), at(url)); !errors.Is(err, jwks.ErrUnavailable) {
			t.Errorf("after a day: %v", err)
		}
		w.internet.set(url, document("b"))
		time.Sleep(time.Minute)
		w.document(at(url), false, document("b"))
	})
}
