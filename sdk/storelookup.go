package sdk

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
	"github.com/countersign/countersign/sdk/internal/record"
	"github.com/countersign/countersign/sdk/internal/revocation"
)

const (
	storeBudget = 50 * time.Millisecond // of one look-up, whatever the reader does
	storeReads  = 128                   // that may go on at once
)

// errStoreMiss: the token store has no word on the token. It is never a verdict.
var errStoreMiss = errors.New("no record in the token store")

// storeReader looks tokens up in the issuer's token store (docs/token-store.md). It is safe for concurrent use.
type storeReader struct {
	records   RecordReader
	authority *authority
	audience  string
	record    *record.Reader
	tracer    Tracer
	log       *slog.Logger
	slots     chan struct{} // one for each read that goes on
	reading   sync.WaitGroup

	breaker breaker

	hits, misses, invalid, failed, skipped atomic.Uint64

	mu     sync.Mutex
	last   error // why a record or a read was no use, most recently
	closed bool
}

// newStoreReader returns a reader of the records for one API: its identifier is the audience, apiID the text of its id.
func newStoreReader(a *authority, audience string, records RecordReader, apiID string, tracer Tracer) (*storeReader, error) {
	r, err := record.NewReader(a.identifier, audience, apiID)
	if err != nil {
		return nil, err
	}
	return &storeReader{
		records: records, authority: a, audience: audience, record: r, tracer: tracer,
		log: a.log.With(slog.String("audience", audience)), slots: make(chan struct{}, storeReads),
	}, nil
}

// look returns what a record says of the token of this SHA-256. Whatever fails is errStoreMiss.
func (s *storeReader) look(ctx context.Context, hash [32]byte) (*found, error) {
	m, err := s.authority.metadata(ctx)
	if err != nil || len(m.StoreKeys) == 0 || !s.enter() {
		s.skipped.Add(1)
		return nil, errStoreMiss
	}
	ctx, end := s.tracer.Start(ctx, OperationTokenStore)
	text, err := s.read(ctx, s.record.Key(hash))
	if err != nil {
		s.failed.Add(1)
		end(Outcome{Result: "unavailable", Err: err})
		return nil, errStoreMiss
	}
	if len(text) == 0 {
		s.misses.Add(1)
		end(Outcome{Result: "miss"})
		return nil, errStoreMiss
	}
	claims, err := s.record.Open(text, hash, storeKey(m), time.Now())
	if err != nil {
		s.invalid.Add(1)
		s.remember(err)
		end(Outcome{Result: "invalid", Err: err})
		return nil, errStoreMiss
	}
	s.hits.Add(1)
	end(Outcome{Result: "hit", TokenID: claims.TokenID})
	return s.found(claims), nil
}

// storeKey returns what finds the issuer's public key of a version.
func storeKey(m *issuer.Metadata) func(uint32) ed25519.PublicKey {
	return func(version uint32) ed25519.PublicKey {
		for _, k := range m.StoreKeys {
			if k.Version == version {
				return k.Key
			}
		}
		return nil
	}
}

// read asks the reader, and waits for it no longer than the budget. Who called enter calls it once.
func (s *storeReader) read(ctx context.Context, key string) ([]byte, error) {
	type result struct {
		value []byte
		err   error
	}
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, storeBudget)
	defer cancel()
	results := make(chan result, 1)
	go func() {
		defer s.reading.Done()
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			results <- result{err: ctx.Err()}
			return
		}
		defer func() { <-s.slots }()
		value, err := s.records.Read(ctx, key)
		results <- result{value, err}
	}()
	var got result
	select {
	case got = <-results:
	case <-ctx.Done():
		got.err = ctx.Err()
	}
	if got.err == nil || caller.Err() == nil { // that a caller has gone is no failure of the store
		s.judge(ctx, got.err)
	}
	return got.value, got.err
}

// enter tells whether the store is to be asked, and counts the read that begins.
func (s *storeReader) enter() bool {
	if s.breaker.pass() != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.reading.Add(1)
	return true
}

// judge counts failures in a row.
func (s *storeReader) judge(ctx context.Context, err error) {
	if err == nil {
		if s.breaker.succeeded() {
			s.log.InfoContext(ctx, "the token store answers again")
		}
		return
	}
	s.remember(err)
	if s.breaker.failed(err) {
		s.log.WarnContext(ctx, "the token store does not answer, going on without it", slog.Any("error", err))
	}
}

func (s *storeReader) remember(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = err
}

// close waits for the reads that go on.
func (s *storeReader) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.reading.Wait()
}

// found is what a record stands for.
func (s *storeReader) found(c *record.Claims) *found {
	members := map[string]any{
		"iss": s.authority.identifier, "aud": s.audience, "sub": c.ClientID, "client_id": c.ClientID, "jti": c.TokenID, "scope": c.Scope,
		"iat": c.Issued.Unix(), "exp": c.Expires.Unix(), "cs_rev": c.Revision,
	}
	if c.Credential != "" {
		members["cs_sec"] = c.Credential
	}
	raw := make(map[string]json.RawMessage, len(members))
	for name, value := range members {
		raw[name], _ = json.Marshal(value) // texts and numbers only
	}
	audience := []string{s.audience}
	return &found{
		identity: &Identity{
			issuer: s.authority.identifier, subject: c.ClientID, clientID: c.ClientID, tokenID: c.TokenID, scopes: splitScope(c.Scope),
			audience: audience, issued: c.Issued, expires: c.Expires, claims: raw,
		},
		subject: revocation.Subject{
			TokenID: c.TokenID, ClientID: c.ClientID, Credential: c.Credential, Audience: audience, Revision: c.Revision,
		},
	}
}

// TokenStoreState is how look-ups in the issuer's token store fared.
type TokenStoreState struct {
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
	Invalid uint64 `json:"invalid"` // there was a record, and it did not verify or had expired
	Failed  uint64 `json:"failed"`  // the store did not answer in time
	Skipped uint64 `json:"skipped"` // the store was not asked: it is left alone, or the issuer does not let services read it
	// LeftAlone: the store failed three times in a row, and is tried once a second.
	LeftAlone bool `json:"left_alone"`
	// LastError is why a record or a read was no use, most recently.
	LastError string `json:"last_error,omitempty"`
}

func (s *storeReader) describe() TokenStoreState {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := TokenStoreState{
		Hits: s.hits.Load(), Misses: s.misses.Load(), Invalid: s.invalid.Load(), Failed: s.failed.Load(), Skipped: s.skipped.Load(),
		LeftAlone: s.breaker.open(),
	}
	if s.last != nil {
		state.LastError = s.last.Error()
	}
	return state
}
