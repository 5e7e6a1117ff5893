package remotekeys_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/server/remotekeys"
)

const url = "https://client.example.com/jwks"

func TestHeldKeysAskNobody(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.set(url, document("a", "b"))
		for range 100 {
			w.expect(at(url), "a", nil)
			w.expect(at(url), "b", nil)
		}
		w.expect(at(url), "", jwks.ErrUnknownKey) // several
		if n := w.internet.count(url); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestOutageKeepsTheLastGoodSet(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.set(url, document("a"))
		w.expect(at(url), "a", nil)
		w.internet.turn(true)
		for range 23 {
			time.Sleep(time.Hour)
			w.expect(at(url), "a", nil)
		}
		w.expect(at(url), "b", jwks.ErrUnavailable) // there may be one: no verdict
		time.Sleep(2 * time.Hour)
		w.expect(at(url), "a", jwks.ErrUnavailable)
		w.internet.turn(false)
		time.Sleep(time.Minute)
		w.expect(at(url), "a", nil)
	})
}

func TestNeverFetchedIsNoVerdict(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.expect(at(url), "a", jwks.ErrUnavailable)
		w.expect(at(url), "a", errDown)
	})
}

func TestSlowServer(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.latency = time.Hour
		began := time.Now()
		w.expect(at(url), "a", jwks.ErrUnavailable)
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("waited for %v", took)
		}
	})
}

// What is no key set takes the place of no key set.
func TestAttack32PoisonedSet(t *testing.T) {
	for name, poison := range map[string]string{
		"HTML":             "<html>Sign in to the hotel's network</html>",
		"no keys":          `{}`,
		"keys twice":       `{"keys":[],"keys":[` + key("evil", "") + `]}`,
		"text after it":    document("evil") + "{}",
		"too many keys":    document(strings.Split(strings.Repeat("evil,", 101), ",")...),
		"cut off":          strings.TrimSuffix(document("evil"), "]}"),
		"key is no object": `{"keys":["evil"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, remotekeys.Config{}, func(w *world) {
				w.internet.set(url, document("a"))
				w.expect(at(url), "a", nil)
				w.internet.set(url, poison)
				time.Sleep(time.Hour)
				w.expect(at(url), "a", nil)
				if err := w.find(at(url), "evil"); !errors.Is(err, jwks.ErrUnavailable) {
					t.Errorf("evil: %v", err)
				}
			})
		})
	}
}

func TestAttack33UnknownKeys(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.set(url, document("a"))
		w.expect(at(url), "a", nil)
		time.Sleep(time.Minute)
		var all sync.WaitGroup
		for n := range 1000 {
			all.Go(func() { w.expect(at(url), fmt.Sprintf("unknown-%d", n), jwks.ErrUnknownKey) })
		}
		all.Wait()
		if n := w.internet.count(url); n != 2 {
			t.Errorf("%d fetches, want the first and one for 1000 unknown keys", n)
		}
	})
}

// Unknown keys of all clients at once: others are asked no more often than the bound allows, and whose keys are held goes on.
func TestAttack33AllClientsAtOnce(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.set(url, document("a"))
		w.expect(at(url), "a", nil)
		var sources []remotekeys.Source
		for n := range 900 {
			source := at(fmt.Sprintf("https://client-%d.example.com/jwks", n))
			w.internet.set(source.URL, document("a"))
			sources = append(sources, source)
		}
		time.Sleep(time.Minute)
		began, before := time.Now(), w.internet.count("")
		for round := range 30 {
			var all sync.WaitGroup
			for _, source := range sources {
				all.Go(func() { _ = w.find(source, fmt.Sprintf("unknown-%d", round)) })
			}
			all.Go(func() { w.expect(at(url), "a", nil) })
			all.Wait()
			time.Sleep(time.Second)
		}
		fetches, most := w.internet.count("")-before, 100+int(20*time.Since(began).Seconds())
		if fetches > most || fetches < 100 {
			t.Errorf("%d fetches, want at most %d", fetches, most)
		}
		if n := w.internet.atOnce(); n > 32 {
			t.Errorf("%d fetches at once", n)
		}
	})
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	inBubble(t, remotekeys.Config{Sources: 2, Registerer: registry}, func(w *world) {
		urls := []string{url + "/0", url + "/1", url + "/2"}
		for _, at := range urls {
			w.internet.set(at, document("a"))
		}
		for _, n := range []int{0, 1, 0, 2} { // 2 takes the place of 1
			w.expect(at(urls[n]), "a", nil)
			time.Sleep(time.Second)
		}
		asked := w.internet.count(urls[1])
		time.Sleep(time.Hour)
		if n := w.internet.count(urls[1]); n != asked {
			t.Errorf("asked %d times after it went", n-asked)
		}
		if n := w.internet.count(urls[0]); n < 10 {
			t.Errorf("what is held was asked for %d times in an hour", n)
		}
		want := "# HELP countersign_remote_key_sets Key sets of clients and trusted issuers that are held.\n# TYPE countersign_remote_key_sets gauge\ncountersign_remote_key_sets 2\n" +
			"# HELP countersign_remote_key_sets_evicted_total Key sets of clients and trusted issuers let go for others while they were in use.\n# TYPE countersign_remote_key_sets_evicted_total counter\ncountersign_remote_key_sets_evicted_total 1\n"
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "countersign_remote_key_sets", "countersign_remote_key_sets_evicted_total"); err != nil {
			t.Error(err)
		}
	})
}

func TestIdleSetsGo(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.set(url, document("a"))
		w.expect(at(url), "a", nil)
		time.Sleep(48 * time.Hour)
		asked := w.internet.count(url)
		time.Sleep(24 * time.Hour)
		if n := w.internet.count(url); n != asked {
			t.Errorf("asked %d times for nobody", n-asked)
		}
		w.expect(at(url), "a", nil)
	})
}

func TestAddressThatNeverAnsweredIsLeftAlone(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.expect(at(url), "a", jwks.ErrUnavailable)
		time.Sleep(10 * time.Minute)
		asked := w.internet.count(url)
		time.Sleep(time.Hour)
		if n := w.internet.count(url); n != asked || n < 5 {
			t.Errorf("asked %d times while it was waited for, then %d times", asked, n-asked)
		}
		w.internet.set(url, document("a"))
		w.expect(at(url), "a", nil)
	})
}

func TestEnd(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		w.internet.set(url, document("a"))
		w.expect(at(url), "a", nil)
		w.stop()
		<-w.stopped
		w.expect(at(url), "a", jwks.ErrUnavailable)
		w.expect(at(url+"/other"), "a", jwks.ErrUnavailable)
		asked := w.internet.count("")
		time.Sleep(24 * time.Hour)
		if n := w.internet.count(""); n != asked {
			t.Errorf("asked %d times after the end", n-asked)
		}
	})
}

func TestLogHasNoQuery(t *testing.T) {
	var log bytes.Buffer
	config := remotekeys.Config{Log: slog.New(slog.NewJSONHandler(&log, nil))}
	inBubble(t, config, func(w *world) {
		w.expect(at(url+"?key=s3cr3t"), "a", jwks.ErrUnavailable)
	})
	if text := log.String(); !strings.Contains(text, url) || strings.Contains(text, "s3cr3t") {
		t.Errorf("log is %s", text)
	}
}

func TestInline(t *testing.T) {
	inBubble(t, remotekeys.Config{}, func(w *world) {
		source := remotekeys.Source{Inline: document("a", "b")}
		w.expect(source, "a", nil)
		w.expect(source, "c", jwks.ErrUnknownKey)
		w.expect(source, "", jwks.ErrUnknownKey)
		w.expect(remotekeys.Source{Inline: document("a")}, "", nil)
		nameless, other := remotekeys.Source{Inline: document("")}, remotekeys.Source{Inline: document("a")}
		found, err := w.keys.Key(t.Context(), nameless, "", jose.EdDSA)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := w.keys.Key(t.Context(), nameless, found.Thumbprint(), jose.EdDSA); err != nil || same != found {
			t.Errorf("by its thumbprint: %v", err)
		}
		w.expect(other, found.Thumbprint(), jwks.ErrUnknownKey)
		named, err := w.keys.Key(t.Context(), other, "a", jose.EdDSA)
		if err != nil {
			t.Fatal(err)
		}
		w.expect(other, named.Thumbprint(), jwks.ErrUnknownKey)
		if _, err := w.keys.Key(t.Context(), source, "a", jose.ES256); !errors.Is(err, jwks.ErrUnknownKey) {
			t.Errorf("another algorithm: %v", err)
		}
		for _, malformed := range []string{"", "{}", "[]", document("a") + "x"} {
			if err := w.find(remotekeys.Source{Inline: malformed}, "a"); err == nil || errors.Is(err, jwks.ErrUnknownKey) {
				t.Errorf("%q: %v", malformed, err)
			}
		}
		if n := w.internet.count(""); n != 0 {
			t.Errorf("%d fetches", n)
		}
	})
}
