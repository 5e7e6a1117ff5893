package instance_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/instance"
)

func TestClockThatIsWrongAtStart(t *testing.T) {
	d := newDeployment(t)
	for _, tt := range []struct {
		ahead  time.Duration
		starts bool
	}{
		{3 * time.Hour, false}, {2 * time.Minute, false}, {-2 * time.Minute, false}, {-30 * time.Second, true}, {30 * time.Second, true},
	} {
		t.Run(tt.ahead.String(), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := d.config()
			c.Now = func() time.Time { return time.Now().Add(tt.ahead) }
			c.Listening = func(net.Addr, net.Addr) { cancel() }
			err := instance.Run(ctx, c)
			if tt.starts {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("started")
			}
			now := time.Now().UTC()
			for _, want := range []string{now.Add(tt.ahead).Format("2006-01-02T15:"), now.Format("2006-01-02T15:"), "NTP", auth.MaxSkew.String()} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// While its clock is wrong an instance removes and forgets nothing, and asks not to be sent requests.
func TestClockThatJumps(t *testing.T) {
	d := newDeployment(t)
	var ahead, compared atomic.Int64
	c := d.config()
	c.MaintainEvery = 5 * time.Millisecond
	c.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	c.DatabaseClock = func(ctx context.Context) (time.Time, error) {
		compared.Add(1)
		return d.store.Clock(ctx)
	}
	public, admin := d.run(c)
	issued := func() url.Values {
		return url.Values{"token": {d.post(public+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}}).AccessToken}}
	}
	live, revoked := issued(), issued()
	d.post(public+"/oauth2/revoke", revoked)

	const month = 30 * 24 * time.Hour
	for _, jump := range []time.Duration{month, -month} {
		ahead.Store(int64(jump))
		d.awaitReady(admin, http.StatusServiceUnavailable, "this server's clock says ")
		comparisons, reads := compared.Load(), d.reads(admin)
		testbed.Wait(t, 10*time.Second, func() error {
			if compared.Load() < comparisons+5 || d.reads(admin) < reads+2 {
				return errors.New("it looks no more")
			}
			return nil
		})
		if skew := d.metric(admin, "countersign_clock_skew_seconds"); math.Abs(skew-jump.Seconds()) > 10 {
			t.Errorf("the skew is %.1f s, want %v", skew, jump)
		}
		ahead.Store(0)
		d.awaitReady(admin, http.StatusOK, "ready")
		if skew := d.metric(admin, "countersign_clock_skew_seconds"); math.Abs(skew) > 10 {
			t.Errorf("the skew is %.1f s, want none", skew)
		}
		var at auth.Position
		d.check(d.store.View(t.Context(), func(tx auth.Tx) (err error) {
			at, err = tx.Changes().Position(t.Context())
			return err
		}))
		if at.Floor != 0 {
			t.Errorf("the log was cut to %+v", at)
		}
		if !d.post(public+"/oauth2/introspect", live).Active || d.post(public+"/oauth2/introspect", revoked).Active {
			t.Error("what was issued is dead, or what was revoked is alive")
		}
	}
}

// awaitReady waits for an answer of /readyz with a status and a text.
func (d *deployment) awaitReady(admin string, status int, text string) {
	d.Helper()
	testbed.Wait(d.T, 10*time.Second, func() error {
		if got, body := d.get(admin + "/readyz"); got != status || !strings.Contains(body, text) {
			return fmt.Errorf("%d: %s", got, body)
		}
		return nil
	})
}
