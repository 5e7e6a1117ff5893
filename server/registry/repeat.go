package registry

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// SecretReplayed is how long a repeated call is answered with the secret that the first one made.
const SecretReplayed = 10 * time.Minute

// Repeat lets a call that is sent again under the same Idempotency-Key be carried out once. Of the key itself nothing is stored.
type Repeat struct {
	key     [sha256.Size]byte
	request [sha256.Size]byte
	seal    cipher.AEAD

	replayed bool
}

// Replayed reports whether the last call was answered with what an earlier one made.
func (p *Repeat) Replayed() bool { return p.replayed }

// NewRepeat returns the Repeat of an actor's call: its operation and what identifies its target, the Idempotency-Key, and the body.
func NewRepeat(actor auth.Actor, call, key string, body []byte) (*Repeat, error) {
	r := &Repeat{request: sha256.Sum256(body)}
	r.key = sha256.Sum256(fmt.Appendf(nil, "%s %d:%s %s", actor.Client, len(call), call, key))
	sealing, err := hkdf.Key(sha256.New, []byte(key), r.key[:], "countersign replay", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive replay key: %w", err)
	}
	block, err := aes.NewCipher(sealing)
	if err == nil {
		r.seal, err = cipher.NewGCMWithRandomNonce(block)
	}
	if err != nil {
		return nil, fmt.Errorf("make replay cipher: %w", err)
	}
	return r, nil
}

// Once returns a registry whose next change is carried out once, however often it is called with an equal repeat. A second call gets the
// answer of the first; fault.Mismatch if it asks for something else; fault.Conflict while the first is under way here.
func (r *Registry) Once(repeat *Repeat) *Registry {
	return &Registry{
		Store: r.Store, Peppers: r.Peppers, Now: r.Now, Ledger: r.Ledger, Denied: r.Denied, Refusals: r.Refusals, AuditKeys: r.AuditKeys, Master: r.Master,
		Import: r.Import, Imported: r.Imported, CheckURL: r.CheckURL, repeat: repeat, root: r,
	}
}

// flights are the repeatable calls that are under way.
type flights struct {
	mu   sync.Mutex
	keys map[[sha256.Size]byte]bool
}

func (f *flights) begin(key [sha256.Size]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys[key] {
		return fault.New(fault.Conflict, "a request with this Idempotency-Key is under way").At("Idempotency-Key")
	}
	if f.keys == nil {
		f.keys = map[[sha256.Size]byte]bool{}
	}
	f.keys[key] = true
	return nil
}

func (f *flights) end(key [sha256.Size]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.keys, key)
}

// confidential is an answer that bears secrets, which JSON leaves out.
type confidential interface {
	// reveal returns the plain text of the secrets.
	reveal() []string
	// restore puts them back; nil if they cannot be had any more.
	restore(secrets []string)
}

// update runs one operation in a transaction, or finds out what an equal call answered. T is what it answers, and goes through JSON.
func update[T any](ctx context.Context, r *Registry, change func(tx auth.Tx) (T, error)) (answer T, err error) {
	if r.repeat == nil {
		err = r.Store.Update(ctx, func(tx auth.Tx) error {
			answer, err = change(tx)
			return err
		})
		return answer, err
	}
	if err := r.root.underWay.begin(r.repeat.key); err != nil {
		return answer, err
	}
	defer r.root.underWay.end(r.repeat.key)
	err = r.Store.Update(ctx, func(tx auth.Tx) error {
		found, err := tx.Replays().Replay(ctx, r.repeat.key)
		switch {
		case err == nil && found.Request != r.repeat.request:
			return fault.New(fault.Mismatch, "this Idempotency-Key was used for a request with another body").At("Idempotency-Key")
		case err == nil:
			answer = *new(T)
			return r.repeat.open(found, r.Now(), &answer)
		case !errors.Is(err, fault.NotFound):
			return err
		}
		if answer, err = change(tx); err != nil {
			return err
		}
		made, err := r.repeat.remember(&answer, r.Now())
		if err != nil {
			return err
		}
		return tx.Replays().PutReplay(ctx, made)
	})
	return answer, err
}

// remember makes the row of an answer. answer is a pointer.
func (p *Repeat) remember(answer any, now time.Time) (*auth.Replay, error) {
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	row := &auth.Replay{Key: p.key, Request: p.request, Answer: text, At: now.UnixMicro()}
	if c, ok := answer.(confidential); ok {
		secrets, err := json.Marshal(c.reveal())
		if err != nil {
			return nil, fmt.Errorf("encode answer: %w", err)
		}
		row.Sealed = p.seal.Seal(nil, nil, secrets, p.key[:]) //nolint:gosec // G407: this cipher makes its own nonce
	}
	return row, nil
}

func (p *Repeat) open(row *auth.Replay, now time.Time, answer any) error {
	p.replayed = true
	if err := json.Unmarshal(row.Answer, answer); err != nil {
		return fmt.Errorf("decode remembered answer: %w", err)
	}
	c, ok := answer.(confidential)
	if !ok {
		return nil
	}
	var secrets []string
	if row.Sealed != nil && now.Sub(time.UnixMicro(row.At)) < SecretReplayed {
		plain, err := p.seal.Open(nil, nil, row.Sealed, p.key[:])
		if err == nil {
			err = json.Unmarshal(plain, &secrets)
		}
		if err != nil {
			return fmt.Errorf("open remembered answer: %w", err)
		}
	}
	c.restore(secrets)
	return nil
}
