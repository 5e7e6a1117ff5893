// Package memory is the auth.Directory of an instance: every client, secret, grant and API, and every revocation that a living
// token can match, kept current by reading the change log. It is made for 100,000 clients, and its readers take no lock.
package memory

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// DefaultPoll is how often the change log is read when nothing asks for it sooner.
const DefaultPoll = 250 * time.Millisecond

const (
	defaultTimeout = 2 * time.Second
	// catchUps a second are read for those who name an unknown client; catchUpBurst of them at once.
	catchUps     = 20
	catchUpBurst = 5
	// maxChanges and maxRecords are how much of the log, and how many clients and APIs named there, are read one by one. What is
	// further behind reads everything again.
	maxChanges  = 20_000
	maxRecords  = 1000
	changesPage = 1000
)

// Config is what a Directory needs. Store is required; zero values elsewhere mean the default.
type Config struct {
	Store     auth.Store
	Now       func() time.Time // whose times carry a monotonic reading; time.Now by default
	Logger    *slog.Logger
	Poll      time.Duration // DefaultPoll
	Staleness time.Duration // bound beyond which CatchUp does not vouch; auth.DefaultStaleness
	Timeout   time.Duration // for one answer of the database, and for Reach; 2 s
	// OnKeys and OnSealedKeys are given all signing keys and all sealed keys at Load and whenever some changed, before
	// the sequence of that change is published. If one of them fails, the sequence stays and the directory grows old. They are
	// called by one goroutine at a time, sealed keys first.
	OnKeys       func([]*auth.Key) error
	OnSealedKeys func([]*auth.SealedKey) error
	Registerer   prometheus.Registerer
}

// Directory is an auth.Directory. Load fills it, then Run keeps it current. All methods but Load and Run may be called by
// any number of goroutines; before Load it is empty, and infinitely old.
type Directory struct {
	store        auth.Store
	now          func() time.Time
	logger       *slog.Logger
	poll         time.Duration
	staleness    time.Duration
	timeout      time.Duration
	onKeys       func([]*auth.Key) error
	onSealedKeys func([]*auth.SealedKey) error
	limiter      *rate.Limiter
	metrics      *metrics

	current atomic.Pointer[state]
	history atomic.Pointer[history]
	readAt  atomic.Int64 // when the last good read began, since epoch; never before the first
	failure atomic.Pointer[error]
	epoch   time.Time
	news    *bell
	swept   uint32 // the expiry bucket in which revocations were last forgotten; only the reader knows it

	wake    chan struct{} // asks Run for a read
	stopped chan struct{} // closed when Run has ended
	mu      sync.Mutex
	next    *flight // the next read that begins, if somebody waits for it
}

const never = math.MinInt64

// New returns a directory that is empty until Load.
func New(c Config) *Directory {
	d := &Directory{
		store: c.Store, now: c.Now, logger: c.Logger, poll: c.Poll, staleness: c.Staleness, timeout: c.Timeout,
		onKeys: c.OnKeys, onSealedKeys: c.OnSealedKeys, limiter: rate.NewLimiter(catchUps, catchUpBurst),
		news: newBell(), wake: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	if d.poll == 0 {
		d.poll = DefaultPoll
	}
	if d.staleness == 0 {
		d.staleness = auth.DefaultStaleness
	}
	if d.timeout == 0 {
		d.timeout = defaultTimeout
	}
	d.epoch = d.now()
	d.current.Store(newState())
	d.history.Store(&history{})
	d.readAt.Store(never)
	d.metrics = newMetrics(c.Registerer, d)
	return d
}

// Sequence implements auth.Directory.
func (d *Directory) Sequence() uint64 { return d.history.Load().position.Sequence }

// Age implements auth.Directory. It is the longest duration there is before Load and once the directory has failed.
func (d *Directory) Age() time.Duration {
	readAt := d.readAt.Load()
	if readAt == never || d.failure.Load() != nil {
		return math.MaxInt64
	}
	return d.now().Sub(d.epoch) - time.Duration(readAt)
}

// Client implements auth.Directory.
func (d *Directory) Client(id auth.ClientID) *auth.ClientRecord {
	record, _ := d.current.Load().clients.get(id)
	return record
}

// API implements auth.Directory.
func (d *Directory) API(id auth.APIID) *auth.API { return d.current.Load().apis.Load().byID[id] }

// APIByIdentifier implements auth.Directory.
func (d *Directory) APIByIdentifier(identifier string) *auth.API {
	return d.current.Load().apis.Load().byIdentifier[identifier]
}

// Denied implements auth.Directory.
func (d *Directory) Denied(t *auth.Token) bool {
	current := d.current.Load()
	apis := current.apis.Load()
	return current.denied.denies(t, func(identifier string) *auth.API { return apis.byIdentifier[identifier] }) || current.deniedByName(t) != nil
}

// deniedByName returns the revocation of an API that had the identifier of a JWT's before, or of a grant for that: by its id it would not be found.
func (s *state) deniedByName(t *auth.Token) *auth.Change {
	api := s.apis.Load().byID[t.API]
	if t.Key == (auth.KeyID{}) || api == nil {
		return nil
	}
	return s.denied.refusalByName(t.Client, api.Identifier, t.Revision)
}

// Refusals returns the revocation that refuses the token itself, and then that of each token that it was made from; nil where there is none. An
// ancestor whose API is gone is refused by one of sequence 0. It is for people who ask why: Denied costs less.
func (d *Directory) Refusals(t *auth.Token) []*auth.Change {
	current := d.current.Load()
	all := current.denied.refusals(t, func(identifier string) *auth.API { return current.apis.Load().byIdentifier[identifier] })
	if all[0] == nil {
		all[0] = current.deniedByName(t)
	}
	return all
}

// TrustedIssuer implements auth.Directory.
func (d *Directory) TrustedIssuer(id auth.TrustedIssuerID) *auth.TrustedIssuer {
	return (*d.current.Load().issuers.Load())[id]
}

// Ready says why the directory must not be served from: because it was never loaded, or because the change log is no longer the
// one that it followed, which only a restart mends. It is nil while the database is merely down: Age tells that.
func (d *Directory) Ready() error {
	if failure := d.failure.Load(); failure != nil {
		return fault.Wrap(fault.Unavailable, "the database is not the one that this instance followed", *failure)
	}
	if d.readAt.Load() == never {
		return fault.New(fault.Unavailable, "the directory is not loaded yet")
	}
	return nil
}

// Position returns what was applied. Its Floor is the lowest sequence after which Revocations is complete.
func (d *Directory) Position() auth.Position { return d.history.Load().position }

// Revocations returns the remembered revocations after sequence, in order, and the position up to which they are all. They are
// shared and must not be changed. If sequence is below the position's Floor, some that were there may be missing: those
// can match no living token.
func (d *Directory) Revocations(after uint64) ([]auth.Change, auth.Position) {
	h := d.history.Load()
	return h.after(after), h.position
}

// Watch returns a channel that is closed when the position next moves, or the directory fails. To miss nothing, call it
// before reading.
func (d *Directory) Watch() <-chan struct{} { return d.news.wait() }

// Load reads everything. It must succeed once before Run is called. It returns fault.Unavailable if the database does not answer.
func (d *Directory) Load(ctx context.Context) error {
	if err := d.reload(ctx); err != nil {
		return err
	}
	position := d.Position()
	d.logger.InfoContext(ctx, "directory loaded", "clients", d.current.Load().clients.length.Load(),
		"generation", position.Generation, "sequence", position.Sequence)
	return nil
}

var (
	errGeneration = errors.New("the change log has a new generation, since the database was restored or replaced: restart this server")
	errGoneBack   = errors.New("the change log has gone back, since the database was restored or a replica that lagged was promoted: " +
		"stop every server, run `countersign migrate restored`, start them again")
)
