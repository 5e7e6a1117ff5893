package usage

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/countersign/countersign/server/auth"
)

type secretKey struct {
	client auth.ClientID
	secret auth.SecretID
}

// secretUses are the secrets that were used of late: as many as there are, at most.
type secretUses struct {
	all sync.Map // of *secretUse by secretKey
}

// secretUse is written once a minute, however often the secret is used.
type secretUse struct {
	minute atomic.Int64 // of the last use

	mu      sync.Mutex // held by whoever changes anything
	first   int64      // minute of the first use that is not written
	source  netip.Addr
	unsaved bool
	dropped bool // no longer in the map
}

func (s *secretUses) use(key secretKey, minute int64, source netip.Addr) {
	for {
		found, ok := s.all.Load(key)
		if !ok {
			found, _ = s.all.LoadOrStore(key, &secretUse{})
		}
		u := found.(*secretUse) //nolint:errcheck,forcetypeassert // nothing else is stored
		if u.minute.Load() >= minute || u.note(minute, source) {
			return
		}
		s.all.CompareAndDelete(key, u)
	}
}

// note returns false if u was dropped, so that another must be used.
func (u *secretUse) note(minute int64, source netip.Addr) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dropped {
		return false
	}
	if u.minute.Load() >= minute {
		return true
	}
	if !u.unsaved {
		u.first, u.unsaved = minute, true
	}
	u.source = source
	u.minute.Store(minute)
	return true
}

// unwritten is a use as it is written, and what it was made from.
type unwritten struct {
	auth.ClientSecretUse
	of     *secretUse
	minute int64
}

// take returns what is to be written, and drops what has been idle since before oldest.
func (s *secretUses) take(oldest int64) (taken []unwritten) {
	s.all.Range(func(k, v any) bool {
		key, u := k.(secretKey), v.(*secretUse) //nolint:errcheck,forcetypeassert // nothing else is stored
		u.mu.Lock()
		defer u.mu.Unlock()
		minute := u.minute.Load()
		switch {
		case u.unsaved:
			taken = append(taken, unwritten{of: u, minute: minute, ClientSecretUse: auth.ClientSecretUse{
				Client: key.client,
				SecretUse: auth.SecretUse{
					Secret: key.secret, First: timeOf(u.first), Last: timeOf(minute), Source: addressText(u.source),
				},
			}})
		case minute < oldest:
			u.dropped = true
			s.all.CompareAndDelete(key, u)
		}
		return true
	})
	return taken
}

// written says that w is. What happened since is still to be written.
func (w unwritten) written() {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	w.of.unsaved = w.of.minute.Load() != w.minute
}
