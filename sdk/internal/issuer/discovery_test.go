package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

func TestHowLongMetadataIsUsed(t *testing.T) {
	for _, tt := range []struct {
		name, cacheControl string
		want               time.Duration
	}{
		{"as said", "public, max-age=300", 5 * time.Minute},
		{"not said", "", time.Hour},
		{"too short", "max-age=5", time.Minute},
		{"no-store", "max-age=3600, No-Store", time.Minute},
		{"too long", "max-age=999999", 24 * time.Hour},
		{"beyond all numbers", "max-age=99999999999999999999", time.Hour},
		{"in quotes", `max-age="120"`, 2 * time.Minute},
		{"negative", "max-age=-1", time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, n := open(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Cache-Control", tt.cacheControl)
					say(w, http.StatusOK, metadata(identifier))
				}, nil)
				for _, step := range []struct {
					after time.Duration
					asked int
				}{{0, 1}, {tt.want*9/10 - time.Second, 1}, {tt.want/10 + 2*time.Second, 2}} { // a tenth is left to chance
					time.Sleep(step.after)
					if _, err := i.Metadata(t.Context()); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if n.count() != step.asked {
						t.Errorf("%s later: asked %d times, want %d", step.after, n.count(), step.asked)
					}
				}
			})
		})
	}
}

func TestOldMetadataIsUsedWhileNewIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		var answer atomic.Pointer[http.HandlerFunc]
		set := func(h http.HandlerFunc) { answer.Store(&h) }
		set(func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, metadata(identifier)) })
		i, n := open(t, func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) },
			func(c *issuer.Config) { c.Log = log.logger() })
		first, err := i.Metadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []http.HandlerFunc{
			hang,
			func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, metadata("https://evil.example")) },
			func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, `{"issuer":`) },
			func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusNotFound, "") },
			func(http.ResponseWriter, *http.Request) { panic(errors.New("connection refused")) },
		} {
			set(bad)
			time.Sleep(2 * time.Hour)
			began, asked := time.Now(), n.count()
			if m, err := i.Metadata(t.Context()); m != first || err != nil || time.Since(began) != 0 {
				t.Errorf("got %v, %v after %s", m, err, time.Since(began))
			}
			time.Sleep(20 * time.Second)
			if n.count() == asked {
				t.Error("nothing was asked")
			}
		}
		contains(t, log.String(), "not refreshed", "evil.example", "connection refused")
		set(func(w http.ResponseWriter, _ *http.Request) {
			say(w, http.StatusOK, strings.Replace(metadata(identifier), "/token", "/new", 1))
		})
		_, _ = i.Metadata(t.Context())
		synctest.Wait()
		if m, err := i.Metadata(t.Context()); err != nil || m.TokenEndpoint != identifier+"/new" {
			t.Errorf("got %+v, %v", m, err)
		}
		// Down, somebody else in three ways, down again, well again.
		if worn, well := strings.Count(log.String(), "not refreshed"), strings.Count(log.String(), "refreshed again"); worn != 3 || well != 1 {
			t.Errorf("logged %d and %d times: %s", worn, well, log.String())
		}
	})
}

func TestMetadataIsAskedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, n := open(t, func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			say(w, http.StatusOK, metadata(identifier))
		}, nil)
		var callers sync.WaitGroup
		for n := range 1000 {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				if n%2 == 0 { // these give up, the one that started the flight perhaps among them
					ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
					defer cancel()
				}
				_, err := i.Metadata(ctx)
				if gaveUp := errors.Is(err, context.DeadlineExceeded); gaveUp != (n%2 == 0) || !gaveUp && err != nil {
					t.Errorf("caller %d: %v", n, err)
				}
			})
		}
		callers.Wait()
		if n.count() != 1 {
			t.Errorf("asked %d times", n.count())
		}
	})
}

func TestAfterAFailureMetadataIsLeftAloneForAWhile(t *testing.T) {
	for _, tt := range []struct {
		name        string
		held        bool
		least, most int // requests within ten minutes
	}{
		{"none is held: every 0.5 to 1 s in the long run", false, 600, 1300},
		{"some is held: every 5 to 10 s", true, 60, 130},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				down := !tt.held
				i, n := open(t, func(w http.ResponseWriter, _ *http.Request) {
					if down {
						panic(errors.New("connection refused"))
					}
					say(w, http.StatusOK, metadata(identifier))
				}, nil)
				if tt.held {
					if _, err := i.Metadata(t.Context()); err != nil {
						t.Fatal(err)
					}
					down = true
					time.Sleep(2 * time.Hour)
				}
				before := n.count()
				for range 600_000 / 50 {
					if _, err := i.Metadata(t.Context()); (err == nil) != tt.held {
						t.Fatalf("got %v", err)
					}
					time.Sleep(50 * time.Millisecond)
				}
				if asked := n.count() - before; asked < tt.least || asked > tt.most {
					t.Errorf("asked %d times within 10 minutes", asked)
				}
			})
		})
	}
}

// Many a server has a page for every path that it does not know, or leads to one.
func TestMetadataIsSoughtBehindPages(t *testing.T) {
	const tenant = identifier + "/t"
	for _, tt := range []struct {
		name string
		page http.HandlerFunc
		want string // of the error where there is no metadata either
	}{
		{"404", status(404), "answers 404"},
		{"403", status(403), "answers 403"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { say(w, 200, "<html>") }, "not strict JSON"},
		{"a large page", func(w http.ResponseWriter, _ *http.Request) { say(w, 200, strings.Repeat("x", 300<<10)) }, "above the limit"},
		{"a form to log in by", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/login")
			say(w, 302, "")
		}, "redirects are not followed"},
		{"the root's metadata", func(w http.ResponseWriter, _ *http.Request) { say(w, 200, metadata(identifier)) }, "equal byte for byte"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := true
			i, n := open(t, func(w http.ResponseWriter, r *http.Request) {
				if found && r.URL.Path == "/t/.well-known/openid-configuration" {
					say(w, 200, metadata(tenant))
					return
				}
				tt.page(w, r)
			}, func(c *issuer.Config) { c.Identifier = tenant })
			if m, err := i.Metadata(t.Context()); err != nil || m.Issuer != tenant || n.count() != 3 {
				t.Errorf("got %v, asked %q", err, n.asked)
			}
			found = false
			i, _ = open(t, n.serve, func(c *issuer.Config) { c.Identifier = tenant })
			if _, err := i.Metadata(t.Context()); !errors.Is(err, issuer.ErrNotIssuer) || strings.Count(err.Error(), tt.want) != 3 {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestMetadataIsSoughtBehindAnAddressOfSomebodyElse(t *testing.T) {
	for _, tt := range []struct {
		name string
		page http.HandlerFunc
	}{
		{"404", status(404)},
		{"redirect", status(302)},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { say(w, 200, "<html>") }},
		{"another issuer", func(w http.ResponseWriter, _ *http.Request) { say(w, 200, metadata("https://other.example")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, good := range []string{"10.0.0.1:8443", "10.0.0.2:8443"} { // which is asked first is random
				i, n := open(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Host == good {
						say(w, 200, metadata(identifier))
						return
					}
					tt.page(w, r)
				}, two)
				if _, err := i.Metadata(t.Context()); err != nil {
					t.Errorf("%v, asked %q", err, n.asked)
				}
				if _, _ = ask(t.Context(), i); !strings.Contains(n.asked[n.count()-1], good) {
					t.Errorf("the other address is asked: %q", n.asked)
				}
			}
		})
	}
}

func TestAServerThatIsDownMayBeTheIssuer(t *testing.T) {
	redirect := func(w http.ResponseWriter, _ *http.Request) { say(w, 302, "") }
	for _, tt := range []struct {
		name  string
		order []http.HandlerFunc // what the addresses answer, each once
	}{
		{"503", []http.HandlerFunc{status(503), status(503)}},
		{"404, then 503 at the next location", []http.HandlerFunc{status(404), status(503), status(503)}},
		{"one address redirects, the other is down", []http.HandlerFunc{status(503), redirect}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			calls := 0
			i, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
				calls++
				tt.order[min(calls, len(tt.order))-1](w, r)
			}, two)
			if _, err := i.Metadata(t.Context()); err == nil || errors.Is(err, issuer.ErrNotIssuer) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// needy is a log whose reader needs the very thing that the log is about.
type needy struct {
	slog.Handler
	need func()
}

func (n needy) Enabled(context.Context, slog.Level) bool { return true }

func (n needy) Handle(context.Context, slog.Record) error {
	n.need()
	return nil
}

func TestTheLogMayNeedMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var i *issuer.Issuer
		told := 0
		log := slog.New(needy{slog.DiscardHandler, func() {
			told++
			_, _ = i.Metadata(t.Context())
		}})
		down := false
		i, _ = open(t, func(w http.ResponseWriter, _ *http.Request) {
			if down {
				panic(errors.New("connection refused"))
			}
			say(w, http.StatusOK, metadata(identifier))
		}, func(c *issuer.Config) { c.Log = log })
		_, _ = i.Metadata(t.Context())
		down = true
		time.Sleep(2 * time.Hour)
		_, _ = i.Metadata(t.Context())
		synctest.Wait()
		if told != 2 { // the address is down, and the metadata old
			t.Errorf("told %d times", told)
		}
	})
}

func TestMetadataHeedsRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, n := open(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			say(w, http.StatusServiceUnavailable, "")
		}, nil)
		_, first := i.Metadata(t.Context())
		time.Sleep(6900 * time.Millisecond)
		_, _ = i.Metadata(t.Context())
		if n.count() != 1 {
			t.Errorf("asked %d times", n.count())
		}
		time.Sleep(200 * time.Millisecond)
		_, _ = i.Metadata(t.Context())
		if n.count() != 2 {
			t.Errorf("asked %d times", n.count())
		}
		if failure := (*issuer.Failure)(nil); !errors.As(first, &failure) || failure.RetryAfter != 7*time.Second {
			t.Errorf("got %v", first)
		}
	})
}

func TestCloseEndsTheFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, n := open(t, hang, nil)
		outcome := make(chan error)
		go func() {
			_, err := i.Metadata(t.Context())
			outcome <- err
		}()
		synctest.Wait()
		began := time.Now()
		i.Close()
		if err := <-outcome; !errors.Is(err, issuer.ErrClosed) || time.Since(began) != 0 {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
		if _, err := i.Metadata(t.Context()); !errors.Is(err, issuer.ErrClosed) || n.count() != 1 {
			t.Errorf("got %v, asked %d times", err, n.count())
		}
	})
}

// A server that answers is found by the first request of a process although most of its addresses are dead.
func TestMetadataIsFoundAtAnyAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Host != "10.0.0.3:8443" {
				hang(w, r)
				return
			}
			say(w, http.StatusOK, metadata(identifier))
		}, func(c *issuer.Config) {
			for n := range 5 {
				c.Addresses = append(c.Addresses, fmt.Sprintf("https://10.0.0.%d:8443", n))
			}
		})
		began := time.Now()
		if _, err := i.Metadata(t.Context()); err != nil || time.Since(began) > issuer.DefaultTimeout {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
