package revocation

import (
	"cmp"
	"slices"
	"sync"
)

// Subject is what there is of a token to compare entries with. A member that the token lacks is empty and matches nothing.
type Subject struct {
	TokenID    string // jti; of an opaque token the 22 characters after cs_at_
	ClientID   string
	Credential string // cs_sec
	KeyID      string // kid of a JWT's header
	Audience   []string
	// Revision is the sequence from which the token was decided, cs_rev; of an introspection's answer countersign_rev. 0 if there
	// is none: then every entry that matches refuses it.
	Revision uint64
	// Ancestors are the tokens that it was made from (RFC 8693): an entry that refuses one of them refuses it as well. They have none of
	// their own.
	Ancestors []Subject
}

// kind is what an entry names.
type kind uint8

const (
	ofToken kind = iota
	ofClient
	ofGrant
	ofAPI
	ofCredential
	ofKey
	ofAll
	ofUnknown // of a kind, or with members, that this code does not know
	kinds     // how many there are
)

// String returns the kind's name in the feed.
func (k kind) String() string {
	switch k {
	case ofToken:
		return "token"
	case ofClient:
		return "client"
	case ofGrant:
		return "grant"
	case ofAPI:
		return "api"
	case ofCredential:
		return "credential"
	case ofKey:
		return "key"
	case ofAll:
		return "all"
	case ofUnknown, kinds:
	}
	return "unknown"
}

// key is what a token must have to be matched: of a grant, client and audience; of ofUnknown the kind's name, which matches none.
type key struct{ one, two string }

// mark is what is remembered of all entries with one key.
type mark struct {
	sequence uint64
	expires  int64 // seconds since 1970
}

// entry is one revocation.
type entry struct {
	kind kind
	key  key
	mark
}

// set holds entries. One goroutine at a time may change it, while any number ask.
type set struct {
	mu    sync.RWMutex
	marks [kinds]map[key]mark
}

// newSet returns a set of these entries.
func newSet(entries []entry) *set {
	s := new(set)
	var counts [kinds]int
	for i := range entries {
		counts[entries[i].kind]++
	}
	for k := range s.marks {
		s.marks[k] = make(map[key]mark, counts[k])
	}
	s.addAll(entries)
	return s
}

// batch is how many entries are written under the lock at once, so that nobody who asks waits for long.
const batch = 256

// add adds entries and tells whether one of them refuses more than before.
func (s *set) add(entries []entry) (news bool) {
	for some := range slices.Chunk(entries, batch) {
		s.mu.Lock()
		news = s.addAll(some) || news
		s.mu.Unlock()
	}
	return news
}

func (s *set) addAll(entries []entry) (news bool) {
	for i := range entries {
		e := &entries[i]
		held, ok := s.marks[e.kind][e.key]
		if ok && held.sequence >= e.sequence && held.expires >= e.expires {
			continue
		}
		news = news || !ok || held.sequence < e.sequence
		s.marks[e.kind][e.key] = mark{max(held.sequence, e.sequence), max(held.expires, e.expires)}
	}
	return news
}

// covers tells whether s refuses whatever the entries refuse.
func (s *set) covers(entries []entry) bool {
	for i := range entries {
		if held, ok := s.marks[entries[i].kind][entries[i].key]; !ok || held.sequence < entries[i].sequence {
			return false
		}
	}
	return true
}

// refuses tells whether an entry takes the token back, or one that it was made from.
func (s *set) refuses(t *Subject) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.refusesOne(t) {
		return true
	}
	for i := range t.Ancestors {
		if s.refusesOne(&t.Ancestors[i]) {
			return true
		}
	}
	return false
}

func (s *set) refusesOne(t *Subject) bool {
	if s.after(ofAll, key{}, t.Revision) ||
		s.after(ofToken, key{one: t.TokenID}, t.Revision) ||
		s.after(ofClient, key{one: t.ClientID}, t.Revision) ||
		s.after(ofCredential, key{one: t.Credential}, t.Revision) {
		return true
	}
	// Whoever has stolen a key writes the revision himself, so it is not asked for.
	if _, stolen := s.marks[ofKey][key{one: t.KeyID}]; stolen {
		return true
	}
	for _, audience := range t.Audience {
		if s.after(ofAPI, key{one: audience}, t.Revision) || s.after(ofGrant, key{t.ClientID, audience}, t.Revision) {
			return true
		}
	}
	return false
}

func (s *set) after(k kind, subject key, revision uint64) bool {
	if len(s.marks[k]) == 0 {
		return false
	}
	m, ok := s.marks[k][subject]
	return ok && m.sequence > revision
}

// unknown returns the kinds of ofUnknown that may still matter to a token at now, in seconds since 1970.
func (s *set) unknown(now int64) (names []string) {
	for subject, m := range s.marks[ofUnknown] {
		if m.expires > now {
			names = append(names, subject.one)
		}
	}
	return names
}

// forget drops the entries that can match no living token any more at now, in seconds since 1970, and tells whether there were any.
func (s *set) forget(now int64) (some bool) {
	for k := range s.marks {
		var gone []key
		for subject, m := range s.marks[k] {
			if m.expires <= now {
				gone = append(gone, subject)
			}
		}
		for part := range slices.Chunk(gone, batch) {
			s.mu.Lock()
			for _, subject := range part {
				delete(s.marks[k], subject)
			}
			s.mu.Unlock()
		}
		some = some || len(gone) > 0
	}
	return some
}

// entries returns what the set holds in order of sequence, and the same each time.
func (s *set) entries() []entry {
	var all []entry
	for k, marks := range s.marks {
		for subject, m := range marks {
			all = append(all, entry{kind(k), subject, m})
		}
	}
	slices.SortFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.sequence, b.sequence), cmp.Compare(a.kind, b.kind),
			cmp.Compare(a.key.one, b.key.one), cmp.Compare(a.key.two, b.key.two))
	})
	return all
}
