package sdk

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/sdk/jwks"
	"github.com/countersign/countersign/sdk/tokencache"
)

// known is what is remembered of a token that was good.
type known struct {
	*found
	key   *jwks.Held // that it is signed with; nil: it is opaque
	asked time.Time  // when it was last vouched for
	// usable is until when an introspection's answer is gone by where there is no feed that tells of revocations.
	usable time.Time
	// compared is the version of the revocations that it was last compared with.
	compared atomic.Uint64
	// cutOff is when the server could last not be asked about it, as a time.Duration since asked; 0: it could, or was not tried.
	cutOff atomic.Int64
}

// age is how long ago the token was last vouched for, never 0.
func (k *known) age() time.Duration { return time.Since(k.asked) + 1 }

type entry = tokencache.Entry[known]

// newEntry returns an entry that is not in the cache yet.
func newEntry(hash *tokencache.Key, f *found, expires time.Time) *entry {
	k := tokencache.NewEntry[known](hash, expires)
	k.Value.found, k.Value.asked = f, time.Now()
	k.Value.usable = k.Value.asked.Add(f.fresh)
	return k
}

// verdict is what is made of a token without asking anybody.
type verdict uint8

const (
	stands    verdict = iota // it is accepted
	takenBack                // a revocation refuses it
	inDoubt                  // the server has to be asked
	unknown                  // nothing is known of revocations, so nothing can be said
)

// stands tells whether a token that is remembered is accepted. What is the same for all callers is judged; for whom the token is, and for
// what, is not. It is the hot path.
func (e *engine) stands(k *entry, m Mode, now time.Time) bool {
	if !now.Before(k.Expires()) || k.Value.key != nil && k.Value.key.Withdrawn() {
		return false
	}
	return e.weigh(&k.Value, m != Available, now) == stands
}

// weigh is DESIGN.md's table of verdicts.
func (e *engine) weigh(k *known, strict bool, now time.Time) verdict {
	switch e.feedState.Load() {
	case feedFollowed:
		return e.weighByFeed(k, strict, now)
	case feedNone:
		if !strict && (!k.live || now.Before(k.usable)) {
			return stands
		}
		return inDoubt
	}
	return unknown
}

// weighByFeed looks at the lease first and at the revocations then: the other way round, the lease could be that of an answer whose
// revocations were not seen. For the same reason a token is marked with the version that was read before it was compared.
func (e *engine) weighByFeed(k *known, strict bool, now time.Time) verdict {
	vouched := e.feed.Lease(now)
	if !vouched && !strict {
		age, ok := e.feed.Good(now)
		vouched = ok && age <= e.config.grace
	}
	version := e.feed.Version()
	if version == 0 {
		return unknown
	}
	if k.compared.Load() != version {
		if e.feed.Refuses(&k.subject) {
			return takenBack
		}
		k.compared.Store(version)
	}
	if vouched {
		return stands
	}
	return inDoubt
}

// judge says who presents the token, or why it is not accepted. live: the server has just been asked about it, on behalf of this caller.
func (e *engine) judge(ctx context.Context, p *presented, k *entry, live bool) (*Identity, error) {
	if err := e.admissible(k.Value.found, p.audience); err != nil {
		return nil, err
	}
	e.awaitStart(ctx)
	switch e.weigh(&k.Value, p.strict, time.Now()) {
	case stands:
		return k.Value.identity, nil
	case takenBack:
		if k.Value.live && !live {
			return e.reconsider(ctx, p, k)
		}
		return nil, errTakenBack()
	case unknown:
		return nil, unavailable(e.ignorance())
	case inDoubt:
	}
	if live {
		return k.Value.identity, nil
	}
	return e.confirm(ctx, p, k)
}

// admissible tells why a token is refused whatever is or is not known of revocations.
func (e *engine) admissible(f *found, audience string) error {
	if err := f.refused(time.Now(), e.config.leeway); err != nil {
		return err
	}
	return e.isFor(f.identity, audience)
}

func (e *engine) isFor(i *Identity, audience string) error {
	if !slices.Contains(i.audience, audience) && (len(i.audience) > 0 || !e.config.legacy) {
		return invalidToken("the token is for another audience")
	}
	return nil
}

func errTakenBack() error { return invalidToken("the token was revoked") }

// undecided returns err if it is a verdict already, and else an ErrUnavailable with this cause.
func undecided(err error) error {
	if verdict := (*VerifyError)(nil); errors.As(err, &verdict) {
		return err
	}
	return unavailable(err)
}
