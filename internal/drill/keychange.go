package drill

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/countersign/countersign/admin/wire"
	"github.com/countersign/countersign/sdk"
)

// watch waits until a key that is next begins to sign: what a rotation on schedule comes to.
func (k *keyDrill) watch(ctx context.Context, current, next wire.Key) error {
	k.step("%s signs, %s follows in %v", current.ID, next.ID, round(time.Until(next.ActiveAt)))
	s, old := k.token(ctx, k.Bootstrap.Issuer, k.caller)
	k.check(holds("until then the old key signs", s.Kind == OK && keyOf(old) == current.ID, "signed by "+keyOf(old)))
	if err := k.published(ctx, next); err != nil {
		return err
	}
	if err := pass(ctx, time.Until(next.ActiveAt)+settle); err != nil {
		return err
	}
	s, fresh := k.token(ctx, k.Bootstrap.Issuer, k.caller)
	k.check(holds("from then on the new key signs", s.Kind == OK && keyOf(fresh) == next.ID, "signed by "+keyOf(fresh)))
	for text, what := range map[string]string{old: "tokens of the old key go on", fresh: "tokens of the new key are accepted"} {
		_, err := k.verifier.Verify(ctx, text, sdk.RequireScope(drillScope))
		k.check(holds(what, err == nil, fmt.Sprintf("%d tokens by the old key, %d by the new one; %v", k.signed(current.ID), k.signed(next.ID), orOK(err))))
	}
	return nil
}

func (k *keyDrill) signed(kid string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kids[kid]
}

func orOK(err error) string {
	if err != nil {
		return err.Error()
	}
	return "accepted"
}

// publish makes a next key, and sees that none can be had earlier.
func (k *keyDrill) publish(ctx context.Context, keys map[string]wire.Key) error {
	current := keys["current"]
	soon := time.Now().Add(time.Minute)
	early := k.office.call(ctx, http.MethodPost, "/keys/rotate", wire.KeyRotationBody{Algorithm: k.algorithm, ActiveAt: &soon}, nil)
	refused, ok := errors.AsType[*refusal](early)
	k.check(holds("a key that would sign in a minute is refused", ok && refused.status < http.StatusInternalServerError, fmt.Sprint(early)))
	next := keys["next"]
	if next.ID == "" {
		if err := k.office.call(ctx, http.MethodPost, "/keys/rotate", wire.KeyRotationBody{Algorithm: k.algorithm}, &next); err != nil {
			return err
		}
		k.later("withdraw the key "+next.ID, func(ctx context.Context) error {
			return k.office.call(ctx, http.MethodPost, "/keys/"+next.ID+"/revoke", nil, nil)
		})
	}
	k.step("%s signs, %s is published and follows in %v", current.ID, next.ID, time.Until(next.ActiveAt).Round(time.Minute))
	if err := k.published(ctx, next); err != nil {
		return err
	}
	if err := pass(ctx, k.For/2); err != nil {
		return err
	}
	k.check(holds("tokens go on by the old key", k.signed(current.ID) > 0 && k.signed(next.ID) == 0,
		fmt.Sprintf("%d by the old key, %d by the next", k.signed(current.ID), k.signed(next.ID))))
	return nil
}

// overIt is how long callers may be refused when a key is withdrawn at once: the bound, within which a verifier hears of it, and half a second,
// after which it asks again for a key that it did not find.
const overIt = 2 * revocationBound

// compromised withdraws the key that signs. Callers with its tokens are refused and get others; those are of a key that nobody has seen.
func (k *keyDrill) compromised(ctx context.Context, current wire.Key, call asking) error {
	call.name = "calls after that"
	s, stolen := k.token(ctx, k.Bootstrap.Issuer, k.caller)
	if _, err := k.verifier.Verify(ctx, stolen, sdk.RequireScope(drillScope)); s.Kind != OK || err != nil {
		return fmt.Errorf("a token of the old key: %s, %w", s, err)
	}
	t := k.start(ctx, call)
	defer t.stop()
	var fresh wire.Key
	if err := k.office.call(ctx, http.MethodPost, "/keys/rotate", wire.KeyRotationBody{Algorithm: k.algorithm, Compromised: true}, &fresh); err != nil {
		return err
	}
	answered := k.elapsed()
	k.step("replaced %s as compromised: %s signs", current.ID, fresh.ID)
	err := k.until(ctx, healWithin, func(ctx context.Context) error {
		if _, err := k.verifier.Verify(ctx, stolen, sdk.RequireScope(drillScope)); !errors.Is(err, sdk.ErrInvalidToken) {
			return fmt.Errorf("a token of the withdrawn key is not refused: %v", orOK(err))
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.check(within(fmt.Sprintf("tokens of the withdrawn key are refused within %v", revocationBound), k.elapsed()-answered, revocationBound))
	recovered := k.until(ctx, healWithin, func(ctx context.Context) error {
		if s := call.ask(ctx); s.Kind != OK {
			return fmt.Errorf("a call: %s", s)
		}
		return nil
	})
	if err := pass(ctx, k.For/2); err != nil {
		return err
	}
	_, token := k.token(ctx, k.Bootstrap.Issuer, k.caller)
	k.check(holds("new tokens are by the new key", keyOf(token) == fresh.ID, "signed by "+keyOf(token)))
	after := t.stop()[0]
	last := answered
	for _, s := range after.Samples {
		if s.Kind != OK {
			last = max(last, s.Ended)
		}
	}
	c := within(fmt.Sprintf("callers have got over it within %v", overIt), last-answered, overIt)
	if recovered != nil {
		c.Kept, c.Found = false, recovered.Error()
	}
	k.check(c)
	return nil
}
