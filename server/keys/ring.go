package keys

import (
	"bytes"
	"crypto"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/seal"
	"github.com/countersign/countersign/server/auth"
)

// Config says what a Ring needs. Every field is required.
type Config struct {
	Issuer string   // the `iss` of every token, an absolute URL
	Master seal.Key // opens the private parts
	Now    func() time.Time
}

// Ring holds the signing keys in memory, unsealed. Its methods may be called by any number of goroutines; none of them
// does I/O.
type Ring struct {
	config  Config
	opening string // of every claim set, up to the value of `sub`
	loading sync.Mutex
	state   atomic.Pointer[snapshot]
}

// snapshot is the ring at one moment. It is never changed, but for the published document that it remembers.
type snapshot struct {
	byID     map[auth.KeyID]*ringKey
	byHeader map[string]*ringKey
	signers  map[auth.Algorithm][]*ringKey // in the order in which they sign
	all      []*ringKey                    // in order of id
	document atomic.Pointer[document]
}

// ringKey is a key that is not revoked. One that did not open has an id, a header and its times only.
type ringKey struct {
	id        auth.KeyID
	algorithm auth.Algorithm
	der       []byte // of the public part, as stored
	public    crypto.PublicKey
	private   crypto.Signer // nil if it did not open
	header    string        // the first segment of every access token that the key signs
	answer    string        // the first segment of every introspection answer that it signs
	jwk       []byte
	activeAt  time.Time
	until     time.Time // end of being needed; zero: none in sight
}

// NewRing returns an empty ring: it signs and verifies nothing until Load.
func NewRing(c Config) (*Ring, error) {
	if !auth.ValidResource(c.Issuer) {
		return nil, fault.New(fault.InvalidRequest, "must be an absolute URL without fragment").At("issuer")
	}
	r := &Ring{config: c, opening: claimIssuer + c.Issuer + claimSubject}
	r.state.Store(&snapshot{})
	return r, nil
}

// Load makes all the keys of the ring, in place of those before. A private part is unsealed once: that of a key already in
// the ring is kept, so that an instance goes on signing after the master key was rotated and before it is restarted.
//
// A key counts only if its private part opens and fits the public one: that proves that a holder of the master key made it.
// One that does not, such as one made under the next master key, is named in the error; it is not published, and what it
// signs is fault.Unavailable, not a verdict. Whatever the error, everything else is in place when Load returns.
func (r *Ring) Load(all []*auth.Key) error {
	r.loading.Lock()
	defer r.loading.Unlock()
	old := r.state.Load()
	fresh := &snapshot{
		byID: map[auth.KeyID]*ringKey{}, byHeader: map[string]*ringKey{}, signers: map[auth.Algorithm][]*ringKey{},
	}
	var failures []error
	for _, k := range all {
		if !k.RevokedAt.IsZero() {
			continue
		}
		key, err := r.open(k, old.byID[k.ID])
		if err != nil {
			failures = append(failures, err)
			key = &ringKey{id: k.ID, header: header(k)}
		}
		key.activeAt, key.until = k.ActiveAt, NeededUntil(k, all)
		fresh.byID[key.id], fresh.byHeader[key.header] = key, key
		fresh.all = append(fresh.all, key)
	}
	for _, alg := range auth.Algorithms() {
		for _, k := range usable(alg, all) {
			fresh.signers[alg] = append(fresh.signers[alg], fresh.byID[k.ID])
		}
	}
	r.state.Store(fresh)
	return errors.Join(failures...)
}

func (r *Ring) open(k *auth.Key, known *ringKey) (*ringKey, error) {
	if known != nil && known.opened() && known.algorithm == k.Algorithm && bytes.Equal(known.der, k.Public) {
		same := *known
		return &same, nil
	}
	public, err := openPublic(k)
	if err != nil {
		return nil, err
	}
	published, err := encodeJWK(k, public)
	if err != nil {
		return nil, err
	}
	private, err := openPrivate(k, public, r.config.Master)
	if err != nil {
		return nil, err
	}
	return &ringKey{
		id: k.ID, algorithm: k.Algorithm, der: k.Public, public: public, private: private, header: header(k), jwk: published,
		answer: base64url([]byte(`{"alg":"` + string(k.Algorithm) + `","kid":"` + k.ID.String() + `","typ":"` + answerType + `"}`)),
	}, nil
}

// header is the protected header of RFC 9068 §2.1, encoded. There is one for each key, so that a token with any other
// header is refused without reading it.
func header(k *auth.Key) string {
	before, after := headerParts(k.Algorithm)
	return base64url([]byte(before + k.ID.String() + after))
}

// headerParts is what stands before the kid and after it.
func headerParts(alg auth.Algorithm) (before, after string) {
	return `{"alg":"` + string(alg) + `","kid":"`, `","typ":"at+jwt"}`
}

// signer returns the key that signs now, which may be one that is not open, or nil.
func (s *snapshot) signer(alg auth.Algorithm, now time.Time) (found *ringKey) {
	for _, key := range s.signers[alg] {
		if !key.activeAt.After(now) {
			found = key
		}
	}
	return found
}

func (k *ringKey) opened() bool { return k.private != nil }

// needed reports whether a token that the key signed may live.
func (k *ringKey) needed(now time.Time) bool { return k.until.IsZero() || now.Before(k.until) }
