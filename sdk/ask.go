package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/countersign/countersign/sdk/internal/flight"
	"github.com/countersign/countersign/sdk/internal/issuer"
	"github.com/countersign/countersign/sdk/tokencache"
)

var (
	errBusy      = errors.New("too many introspections at once")
	errSilent    = errors.New("introspection is tried once a second, since it is not answered")
	errMisplaced = errors.New("the introspection endpoint answered for another token")
	errCutOff    = errors.New("the introspection endpoint cannot be asked")
	errNoClient  = errors.New("neither client_id nor azp is in the answer; with WithLegacyTokens sub is taken for them")
)

// fairTime is how long a server must have had before it counts that its answer did not come in time: those who wait for a slot take from it.
const fairTime = queueWait

// askAgain is how soon after the server could not be asked about a token it is asked about it again, while the last answer is gone by.
const askAgain = time.Second

// ask introspects a token. Callers share an exchange: those on a strict route one that began within the bound, since an older one may
// not know of a revocation that was acknowledged before they came. Nobody waits while introspections are not answered, not even for one
// that is under way, but a caller a second who finds out whether they are again.
func (e *engine) ask(ctx context.Context, p *presented) (*entry, error) {
	if err := e.breaker(p).pass(); err != nil {
		return nil, &VerifyError{Kind: ErrUnavailable, RetryAfter: breakerPause, Err: fmt.Errorf("%w: %w", errSilent, err)}
	}
	return e.asks.Do(ctx, p.hash, e.joinable(p), e.introspection(*p))
}

func (e *engine) joinable(p *presented) time.Duration {
	if p.strict {
		return e.config.bound
	}
	return flight.AnyAge
}

// introspection returns the exchange about a token. What it finds takes the place of what was remembered, also when nobody waits any more,
// but not of what a newer exchange finds.
func (e *engine) introspection(p presented) flight.Call[*entry] {
	return func(ctx context.Context) (*entry, error) {
		leave := e.enter(ctx, p.known)
		if leave == nil {
			return nil, &VerifyError{Kind: ErrUnavailable, RetryAfter: time.Second, Err: errBusy}
		}
		defer leave()
		e.tally.introspections.Inc()
		began, remembered := time.Now(), e.cache.Entry(&p.hash)
		f, err := e.authority.lookUpIntrospection(ctx, p.token)
		if ctx.Err() == nil || time.Since(began) >= fairTime {
			e.heed(&p, err)
		}
		if err == nil && !hasHeader(p.token) { // a JWT says of itself what it is
			err = e.fits(ctx, &p, f)
		}
		switch {
		case err == nil:
			flight.Overtake(ctx)
		case errors.Is(err, ErrInvalidToken):
			flight.Overtake(ctx)
			e.forget(&p.hash, began)
			return nil, undecided(err)
		default:
			if remembered != nil {
				remembered.Value.cutOff.Store(int64(remembered.Value.age()))
			}
			return nil, undecided(err)
		}
		k := newEntry(&p.hash, f, f.identity.expires)
		k.Value.asked = began
		if f.fresh == 0 {
			k.Value.usable = began.Add(e.config.bound)
		}
		// An exchange that began later may know that it was taken back since.
		if !hasHeader(p.token) && !flight.Overtaken(ctx) {
			e.remember(k, p.audience)
		}
		return k, nil
	}
}

// forget drops what was said of a token before it turned out to be good for nothing.
func (e *engine) forget(hash *tokencache.Key, before time.Time) {
	if k := e.cache.Entry(hash); k != nil && !k.Value.asked.After(before) {
		e.cache.Drop(k)
	}
}

// heed counts introspections that were not answered: whatever the server says, it says it. Where credentials are missing it was not asked.
func (e *engine) heed(p *presented, err error) {
	verdict, failure := (*VerifyError)(nil), (*issuer.Failure)(nil)
	switch {
	case errors.Is(err, ErrCredentials):
	case errors.As(err, &failure) && failure.Unanswered(), errors.Is(err, flight.ErrLate):
		if errors.As(err, &verdict) {
			err = verdict.Err
		}
		e.breaker(p).failed(err)
	default:
		e.breaker(p).succeeded()
	}
}

// breaker returns what turns the bearer of a token away while introspections are not answered. As with slots, those about inventions must
// not do it to the bearers of good ones.
func (e *engine) breaker(p *presented) *breaker {
	if p.known {
		return &e.knownDown
	}
	return &e.otherDown
}

// enter takes a slot for an introspection, and returns what gives it back; nil: there is none. Those about tokens that nobody has seen yet
// may take a part only: a flood of inventions must not keep the verifier from asking about its callers. Nor must it keep out those who
// come for the first time, so they wait for their turn. Those about known tokens do not: that would look like a server that does not
// answer, for which the last answer is gone by.
func (e *engine) enter(ctx context.Context, known bool) (leave func()) {
	if known {
		select {
		case e.seen <- struct{}{}:
			return func() { <-e.seen }
		default:
		}
	}
	select {
	case e.unseen <- struct{}{}:
	default:
		if known || !e.await(ctx) {
			return nil
		}
	}
	return func() { <-e.unseen }
}

// await takes one of the slots of tokens that nobody has seen yet, after those who wait already, and tells whether it got one.
func (e *engine) await(ctx context.Context) bool {
	select {
	case e.queue <- struct{}{}:
		defer func() { <-e.queue }()
	default:
		return false
	}
	timer := time.NewTimer(queueWait)
	defer timer.Stop()
	select {
	case e.unseen <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// fits sees to it that the answer is about the token, an opaque one, and says enough of it: whose it is, since nothing else does. Countersign's
// say their own jti.
func (e *engine) fits(ctx context.Context, p *presented, f *found) error {
	if err := e.named(f); err != nil {
		return err
	}
	id, ok := opaqueID(p.token)
	if !ok || !e.countersign(ctx) {
		return nil
	}
	if said := f.identity.tokenID; said != "" && said != id {
		return errMisplaced
	}
	f.subject.TokenID = id
	return nil
}

// named sees to it that client and subject have names. A client may well stand for the subject, but a subject for the client only where
// that was asked for: a user can be called as a client is (RFC 9700 §4.15).
func (e *engine) named(f *found) error {
	i := f.identity
	if i.clientID == "" && e.config.legacy {
		i.clientID, f.subject.ClientID = i.subject, i.subject
	}
	if i.clientID == "" {
		return &VerifyError{Kind: ErrInvalidToken, Detail: "the authorization server does not say whose token it is", Err: errNoClient}
	}
	if i.subject == "" {
		i.subject = i.clientID
	}
	return nil
}

// confirm asks the server about a token that was good, and about which nothing recent enough is known.
func (e *engine) confirm(ctx context.Context, p *presented, k *entry) (*Identity, error) {
	p.known = true
	if e.config.auth == nil {
		return nil, unavailable(adviseOnAsking())
	}
	if !p.strict && k.Value.live && e.feedState.Load() == feedNone && time.Since(k.Value.asked) <= e.config.grace {
		i, err := e.askBriefly(ctx, p, k)
		if errors.Is(err, errCutOff) {
			return k.Value.identity, nil // the last answer is gone by
		}
		return i, err
	}
	doubt := e.doubt(p.strict)
	answer, err := e.ask(ctx, p)
	if err != nil {
		return nil, because(doubt, undecided(err))
	}
	return e.confirmed(p, k, answer)
}

// doubt returns what says why the server has to be asked about a token that was good.
func (e *engine) doubt(strict bool) func() string {
	age, _ := e.feed.Good(time.Now())
	return func() string {
		switch {
		case e.feedState.Load() != feedFollowed && strict:
			return "the issuer's revocations are not followed, so a strict route asks each time"
		case e.feedState.Load() != feedFollowed:
			return fmt.Sprintf("the last answer about the token is older than the grace of %s", e.config.grace)
		case strict:
			return fmt.Sprintf("nothing was heard of revocations for %s, the bound is %s", age.Round(10*time.Millisecond), e.config.bound)
		}
		return fmt.Sprintf("nothing was heard of revocations for %s, the grace is %s", age.Round(time.Second), e.config.grace)
	}
}

// because adds to an ErrUnavailable why it matters that the server cannot be asked.
func because(doubt func() string, err error) error {
	verdict := (*VerifyError)(nil)
	if !errors.As(err, &verdict) || !errors.Is(verdict.Kind, ErrUnavailable) || verdict.Err == nil {
		return err
	}
	return &VerifyError{Kind: ErrUnavailable, RetryAfter: verdict.RetryAfter, Err: fmt.Errorf("%s: %w", doubt(), verdict.Err)}
}

// reconsider asks about an introspected token that a revocation refuses. An instance of the server that lagged behind may have answered
// for it with a sequence from before the revocation, though the token was issued after; only a newer answer tells.
func (e *engine) reconsider(ctx context.Context, p *presented, k *entry) (*Identity, error) {
	p.known = true
	i, err := e.askBriefly(ctx, p, k)
	if errors.Is(err, ErrUnavailable) {
		return nil, errTakenBack()
	}
	return i, err
}

// askBriefly asks about a token where there is something to go by without an answer: nobody waits for long, and nobody at all once the
// server could not be asked. It then returns errCutOff.
func (e *engine) askBriefly(ctx context.Context, p *presented, k *entry) (*Identity, error) {
	if failed := k.Value.cutOff.Load(); failed != 0 {
		if k.Value.age()-time.Duration(failed) >= askAgain && e.breaker(p).pass() == nil {
			_ = e.asks.Start(ctx, p.hash, e.joinable(p), e.introspection(*p)) // closed: the next call says so
		}
		return nil, unavailable(errCutOff)
	}
	short, cancel := context.WithTimeoutCause(ctx, e.config.bound, errPatience)
	defer cancel()
	answer, err := e.ask(short, p)
	switch {
	case err == nil:
		return e.confirmed(p, k, answer)
	case errors.Is(err, ErrInvalidToken), errors.Is(err, errBusy), ctx.Err() != nil:
		return nil, undecided(err)
	}
	k.Value.cutOff.CompareAndSwap(0, int64(k.Value.age()))
	return nil, unavailable(errCutOff)
}

func adviseOnAsking() error {
	return fmt.Errorf("%w; a strict route needs them where revocations are not followed: give WithCredentials", errNoCredentials)
}

// confirmed judges the answer about a token that was known before.
func (e *engine) confirmed(p *presented, k, answer *entry) (*Identity, error) {
	if !sameToken(k.Value.identity, answer.Value.identity) {
		return nil, unavailable(errMisplaced)
	}
	err := answer.Value.refused(time.Now(), e.config.leeway)
	if err == nil && (k.Value.key == nil || len(answer.Value.identity.audience) > 0) { // a JWT says itself whom it is for
		err = e.isFor(answer.Value.identity, p.audience)
	}
	if err != nil {
		return nil, err
	}
	if b := answer.Value.identity.bound; k.Value.key != nil && b != nil && !b.same(k.Value.identity.bound) {
		return nil, invalidToken("the token is bound to something else than it says")
	}
	subject := &answer.Value.subject
	if k.Value.key != nil {
		subject = &k.Value.subject // the answer does not say by which key it is signed, and need not say more than that it is active
	}
	if e.feedState.Load() == feedFollowed && e.feed.Refuses(subject) { // it may have been taken back since the answer was made
		return nil, errTakenBack()
	}
	if k.Value.key == nil {
		return answer.Value.identity, nil
	}
	return narrowed(k.Value.identity, answer.Value.identity), nil
}

// sameToken tells whether two descriptions may be of one token. What one does not say speaks for neither.
func sameToken(a, b *Identity) bool {
	for _, pair := range [...][2]string{
		{a.tokenID, b.tokenID}, {saidClient(a), saidClient(b)}, {a.subject, b.subject}, {a.issuer, b.issuer},
	} {
		if pair[0] != "" && pair[1] != "" && pair[0] != pair[1] {
			return false
		}
	}
	return true
}

// saidClient returns the client, unless the subject merely stands for it.
func saidClient(i *Identity) string {
	if i.claims["client_id"] == nil && i.claims["azp"] == nil {
		return ""
	}
	return i.clientID
}

// narrowed is a JWT's identity with no scope that the server's answer about it lacks: a server may take a scope away from a token
// without taking back the token.
func narrowed(token, answer *Identity) *Identity {
	if answer.claims["scope"] == nil || !slices.ContainsFunc(token.scopes, func(s string) bool { return !answer.HasScope(s) }) {
		return token
	}
	less := *token
	less.scopes = slices.DeleteFunc(slices.Clone(token.scopes), func(s string) bool { return !answer.HasScope(s) })
	return &less
}
