package sdk

import (
	"context"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// Looked is what a look-up found.
type Looked struct{ found *found }

// Identity is whose token it is, Subject what revocations are compared with.
func (l *Looked) Identity() *Identity         { return l.found.identity }
func (l *Looked) Subject() revocation.Subject { return l.found.subject }

// NotBefore, Fresh and Live are the members of found.
func (l *Looked) NotBefore() time.Time { return l.found.notBefore }
func (l *Looked) Fresh() time.Duration { return l.found.fresh }
func (l *Looked) Live() bool           { return l.found.live }

// Introspector asks a server about tokens.
type Introspector struct{ authority *authority }

// NewIntrospector returns one for a client.
func NewIntrospector(issuer, clientID string, auth ClientAuth, opts ...VerifierOption) (*Introspector, error) {
	c := newVerifierConfig()
	for _, opt := range opts {
		if err := opt.applyVerifier(c); err != nil {
			return nil, err
		}
	}
	a, err := newAuthority(issuer, clientID, auth, c.common)
	return &Introspector{a}, err
}

// LookUp introspects a token.
func (i *Introspector) LookUp(ctx context.Context, token string) (*Looked, error) {
	return looked(i.authority.lookUpIntrospection(ctx, token))
}

// Close ends it.
func (i *Introspector) Close() { i.authority.close() }

// ReadIntrospection reads an answer.
func ReadIntrospection(body []byte, issuer string) (*Looked, error) {
	return looked(readIntrospection(body, issuer))
}

func looked(f *found, err error) (*Looked, error) {
	if err != nil {
		return nil, err
	}
	return &Looked{f}, nil
}

// Inactive and Refused are the errors of look-ups, Miss that of the token store.
var (
	Inactive = errInactive
	Refused  = errIntrospectionRefused
	Miss     = errStoreMiss
)

// StoreLookup looks tokens up in a token store.
type StoreLookup struct{ store *storeReader }

// NewStoreLookup returns one that learns the keys from the introspector's server.
func NewStoreLookup(i *Introspector, audience string, records RecordReader, apiID string, tracer Tracer) (*StoreLookup, error) {
	s, err := newStoreReader(i.authority, audience, records, apiID, tracer)
	return &StoreLookup{s}, err
}

// Look looks for a token by its hash.
func (s *StoreLookup) Look(ctx context.Context, hash [32]byte) (*Looked, error) {
	return looked(s.store.look(ctx, hash))
}

// State and Close are those of the store reader.
func (s *StoreLookup) State() TokenStoreState { return s.store.describe() }
func (s *StoreLookup) Close()                 { s.store.close() }
