package sdktest

import (
	"crypto/ed25519"
	"math/rand/v2"
	"net/http"
	"sync"
)

// Issuer is an authorization server for tests. It is safe for concurrent use, and so is every switch of it.
type Issuer struct {
	config   config
	url      string    // the identifier
	address  string    // where it listens; empty: in memory
	listener *listener // nil: in memory
	client   *http.Client
	storeKey ed25519.PrivateKey // nil: no token store
	id       string             // of the client that is there from the start
	secret   string

	mu       sync.Mutex
	clients  map[string]*registered
	signing  map[Algorithm]*Key // the current ones
	keys     []*Key             // the published ones
	tokens   map[string]*minted // by their text
	recorded map[string]string  // the text of opaque ones, by their key in the token store
	log      changes
	used     map[string]bool // what is good for one time
	nonce    string          // of DPoP proofs
	faults   map[Endpoint]fault
	hosts    map[string]bool // that are down
	random   *rand.Rand
	requests []*Request
	counts   map[Endpoint]int
	refused  int
	arrived  chan struct{} // closed at the next request
	changed  chan struct{} // closed when what streams and waiting requests look at changes
	closed   bool
	streams  sync.WaitGroup // those in memory
}

// New returns an issuer without a listener, which is reached by [Issuer.Client] and nothing else. It starts no goroutine by itself and
// touches no network, so it works within bubbles of testing/synctest.
func New(opts ...Option) *Issuer {
	i := newIssuer(newConfig(opts))
	i.url = i.config.url + i.config.path
	if i.config.url == "" {
		i.url = memoryURL + i.config.path
	}
	i.client = &http.Client{Transport: memory{i}}
	return i
}

func newIssuer(c config) *Issuer {
	i := &Issuer{
		config:  c,
		clients: make(map[string]*registered), signing: make(map[Algorithm]*Key), tokens: make(map[string]*minted),
		recorded: make(map[string]string), used: make(map[string]bool), nonce: newID("nonce-"),
		faults: make(map[Endpoint]fault), hosts: make(map[string]bool), counts: make(map[Endpoint]int),
		random:  rand.New(rand.NewPCG(1, 2)), //nolint:gosec // the same failures in every run
		arrived: make(chan struct{}), changed: make(chan struct{}),
		log: changes{generation: newGeneration()},
		id:  newID("cl_"), secret: newSecret(),
	}
	if c.storeKeys {
		i.storeKey = ed25519.NewKeyFromSeed(random(ed25519.SeedSize))
	}
	i.AddClient(i.id, i.secret)
	i.current(c.algorithm)
	return i
}

// URL returns the issuer identifier.
func (i *Issuer) URL() string { return i.url }

// Address returns the base URL where the issuer listens, empty for one of [New].
func (i *Issuer) Address() string { return i.address }

// Client returns a client that reaches the issuer: in memory for one of [New], by loopback and with its certificate trusted for one
// of [Start]. It follows redirects, as Go's clients do.
func (i *Issuer) Client() *http.Client { return i.client }

// RoundTripper returns the transport of [Issuer.Client].
func (i *Issuer) RoundTripper() http.RoundTripper { return i.client.Transport }

// Close ends all streams and waits for them. Further requests find nobody. Start's issuers are closed by the test's end.
func (i *Issuer) Close() {
	i.mu.Lock()
	i.closed = true
	i.stir()
	i.mu.Unlock()
	i.streams.Wait()
}

// stir wakes whoever waits for a change. The caller holds mu.
func (i *Issuer) stir() {
	close(i.changed)
	i.changed = make(chan struct{})
}
