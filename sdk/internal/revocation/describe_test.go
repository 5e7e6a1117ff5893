package revocation_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/revocation"
)

// TestLog: one line when polls begin to fail, when they fail for another reason, and when they work again.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		i := new(issuer)
		i.answers(of("5", 3, true, 0))
		c := i.config()
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
		f := revocation.New(c)
		run(t, f, func() {
			for _, step := range []struct {
				then func()
				want string
			}{
				{func() {}, ""},
				{func() { i.fails(errors.New("down")) }, `level=WARN msg="the revocation feed cannot be followed" error="poll the revocation feed: down"`},
				{func() { i.fails(errors.New("still down")) }, ""},
				{func() { i.fails(refusal{status: 403}) }, `level=ERROR msg="the revocation feed cannot be followed until somebody sees to it" error="poll the revocation feed: refused"`},
				{func() { i.fails(errors.New("down")) }, `level=WARN msg="the revocation feed cannot be followed"`},
				{func() { i.answers(of("5", 3, true, 0)) }, `level=INFO msg="the revocation feed is followed again"`},
				{
					func() {
						i.answers(`{"generation":"5","seq":4,"age_ms":0,"snapshot":true,"entries":[{"seq":4,"kind":"tenant"},{"seq":4,"kind":"zone"}]}`)
					},
					`level=ERROR msg="the revocation feed cannot be followed until somebody sees to it" error="revocations of an unknown kind: a newer version of the SDK is needed: \"tenant zone\""`,
				},
				{func() { i.answers(of("5", 4, true, 0)) }, `level=INFO msg="the revocation feed is followed again"`},
			} {
				log.Reset()
				step.then()
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := log.String(); !strings.Contains(got, step.want) || strings.Count(got, "\n") != min(1, len(step.want)) {
					t.Errorf("logged %q, want %s", got, step.want)
				}
			}
		})
	})
}

func TestDescribe(t *testing.T) {
	i, stream := streaming()
	follow(t, i, func(t *testing.T, f *revocation.Follower) {
		write(t, stream(), event("5.7", of("5", 7, false, 0, "b5")), event("5.8", `{"generation":"5","seq":8,"entries":[{"seq":8,"kind":"all","exp":1793621400}]}`))
		s := f.Describe()
		if s.Generation != "5" || s.Sequence != 8 || s.Entries["token"] != 2 || s.Entries["all"] != 1 || s.Entries["key"] != 0 || len(s.Entries) != 8 {
			t.Errorf("%+v", s)
		}
		if !s.Fresh || s.Left != bound || !s.Good || s.Age != 0 || s.Polls != 1 || s.PollFailures != 0 || s.PollErr != nil {
			t.Errorf("%+v", s)
		}
		if !s.Streaming || s.Streams != 1 || s.Events != 2 || s.StreamErr != nil {
			t.Errorf("%+v", s)
		}
	})
	if s := revocation.New(revocation.Config{}).Describe(); s.Generation != "" || s.Fresh || s.Good || len(s.Entries) != 0 {
		t.Errorf("before everything: %+v", s)
	}
}
