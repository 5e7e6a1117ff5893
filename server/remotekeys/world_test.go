package remotekeys_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/jose"
	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/server/outbound"
	"github.com/countersign/countersign/server/remotekeys"
)

var errDown = errors.New("connection refused")

// internet answers for all servers. It takes 50 ms, and counts.
type internet struct {
	mu        sync.Mutex
	documents map[string]string
	down      bool
	asked     map[string]int
	total     int
	open      int // questions that are being answered
	mostOpen  int
	latency   time.Duration
}

func (i *internet) set(url, document string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.documents[url] = document
}

func (i *internet) turn(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

func (i *internet) count(url string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if url == "" {
		return i.total
	}
	return i.asked[url]
}

// atOnce is how many were asked for at once, at most.
func (i *internet) atOnce() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mostOpen
}

func (i *internet) Get(ctx context.Context, url string) (outbound.Answer, error) {
	i.mu.Lock()
	i.asked[url]++
	i.total++
	i.open++
	i.mostOpen = max(i.mostOpen, i.open)
	document, down := i.documents[url], i.down
	i.mu.Unlock()
	defer func() {
		i.mu.Lock()
		i.open--
		i.mu.Unlock()
	}()
	select {
	case <-time.After(i.latency):
	case <-ctx.Done():
		return outbound.Answer{}, ctx.Err()
	}
	if down || document == "" {
		return outbound.Answer{}, errDown
	}
	return outbound.Answer{Body: []byte(document)}, nil
}

// document is a JWK set with a key of each name.
func document(kids ...string) string {
	var all []string
	for _, kid := range kids {
		all = append(all, key(kid, ""))
	}
	return `{"keys":[` + strings.Join(all, ",") + `]}`
}

// key is a JWK made from its kid, with more members.
func key(kid, more string) string {
	public := ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%-32s", kid))).Public().(ed25519.PublicKey)
	named := ""
	if kid != "" {
		named = fmt.Sprintf(`"kid":%q,`, kid)
	}
	return fmt.Sprintf(`{%s"kty":"OKP","crv":"Ed25519",%s"x":%q}`, named, more, base64.RawURLEncoding.EncodeToString(public))
}

type world struct {
	*testing.T
	internet *internet
	keys     *remotekeys.Keys
	stop     context.CancelFunc
	stopped  chan struct{}
}

// inBubble runs a test in time of its own, with Keys that run. It fails if a goroutine is left at the end.
func inBubble(t *testing.T, config remotekeys.Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		net := &internet{documents: map[string]string{}, asked: map[string]int{}, latency: 50 * time.Millisecond}
		config.Client = net
		keys, err := remotekeys.New(config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		w := &world{T: t, internet: net, keys: keys, stop: cancel, stopped: make(chan struct{})}
		go func() { keys.Run(ctx); close(w.stopped) }()
		test(w)
		cancel()
		<-w.stopped
	})
}

func at(url string) remotekeys.Source { return remotekeys.Source{URL: url} }

func (w *world) find(source remotekeys.Source, kid string) error {
	w.Helper()
	found, err := w.keys.Key(w.Context(), source, kid, jose.EdDSA)
	if err == nil && kid != "" && found.ID() != kid {
		w.Errorf("key %q is %q", kid, found.ID())
	}
	if (err == nil) != (found != nil) {
		w.Errorf("key %q: both or neither of a key and %v", kid, err)
	}
	return err
}

func (w *world) expect(source remotekeys.Source, kid string, want error) {
	w.Helper()
	if err := w.find(source, kid); !errors.Is(err, want) || errors.Is(err, jwks.ErrUnknownKey) && errors.Is(err, jwks.ErrUnavailable) {
		w.Errorf("key %q: %v, want %v", kid, err, want)
	}
}
