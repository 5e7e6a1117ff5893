package issuer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/internal/issuer"
)

func two(c *issuer.Config) { c.Addresses = []string{"https://10.0.0.1:8443", "https://10.0.0.2:8443"} }

func TestTheNextAddressIsAsked(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first http.HandlerFunc
		asked int
		want  string // in the error; empty: the second answers
	}{
		{"no connection", func(http.ResponseWriter, *http.Request) { panic(errors.New("connection refused")) }, 2, ""},
		{"hung", hang, 2, ""},
		{"429 is to be waited for", status(429), 1, "answered 429 Too Many Requests"},
		{"500", status(500), 2, ""},
		{"502", status(502), 2, ""},
		{"503", status(503), 2, ""},
		{"504", status(504), 2, ""},
		{"503 with a large page", large(503), 2, ""},
		{"429 with a large page", large(429), 1, "answered 429 Too Many Requests"},
		{"400 is an answer", status(400), 1, ""},
		{"404 with a large page is an answer", large(404), 1, ""},
		{"401 is an answer", status(401), 1, ""},
		{"404 is an answer", status(404), 1, ""},
		{"redirect", status(302), 1, "redirects are not followed"},
		{"307", status(307), 1, "redirects are not followed"},
		{"too large", large(200), 1, "above the limit of 1024 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				i, n := open(t, func(w http.ResponseWriter, r *http.Request) {
					if calls.Add(1) == 1 {
						tt.first(w, r)
						return
					}
					say(w, 200, "well")
				}, two)
				_, err := ask(t.Context(), i)
				check(t, err, tt.want)
				if n.count() != tt.asked {
					t.Errorf("asked %q", n.asked)
				}
				if tt.asked == 2 && n.asked[0] == n.asked[1] {
					t.Errorf("asked the same address twice: %q", n.asked)
				}
			})
		})
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { say(w, code, "") }
}

func large(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { say(w, code, strings.Repeat("x", 1025)) }
}

func TestAnAddressThatHangsIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log journal
		var dead atomic.Pointer[string]
		i, n := open(t, func(w http.ResponseWriter, r *http.Request) {
			dead.CompareAndSwap(nil, &r.URL.Host) // whichever comes first
			if r.URL.Host == *dead.Load() {
				hang(w, r)
				return
			}
			say(w, 200, "well")
		}, func(c *issuer.Config) { two(c); c.Log = log.logger() })
		began := time.Now()
		if _, err := ask(t.Context(), i); err != nil || time.Since(began) != issuer.DefaultTimeout/2 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		for range 10 {
			began := time.Now()
			if a, err := ask(t.Context(), i); err != nil || time.Since(began) != 0 || !a.Began.Equal(began) {
				t.Errorf("%v after %s", err, time.Since(began))
			}
		}
		if n.count() != 12 {
			t.Errorf("asked %d times", n.count())
		}
		if lines := strings.Count(log.String(), "server is unavailable"); lines != 1 {
			t.Errorf("logged %q", log.String())
		}
	})
}

func TestAllAddressesAreTriedBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		i, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) < 3 {
				hang(w, r)
				return
			}
			say(w, 200, "well")
		}, func(c *issuer.Config) {
			c.Addresses = []string{"https://a.example", "https://b.example", "https://c.example"}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		if _, err := ask(ctx, i); err != nil {
			t.Error(err)
		}
	})
}

func TestTheCallersContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, n := open(t, hang, two)
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := ask(ctx, i)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 900*time.Millisecond || n.count() != 2 {
			t.Errorf("%v after %s and %d attempts", err, time.Since(began), n.count())
		}
		if _, err := ask(t.Context(), i); errors.Is(err, context.DeadlineExceeded) || err == nil {
			t.Errorf("our own time-out looks like the caller's: %v", err)
		}
	})
}

// However many requests there are, a server in trouble gets few more than those.
func TestRetriesHaveABudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Value // which address is
		well.Store("none")
		i, n := open(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Host == well.Load() {
				say(w, 200, "well")
				return
			}
			say(w, 503, "")
		}, two)
		attempts := func(requests int) int {
			before := n.count()
			for range requests {
				_, _ = i.Do(t.Context(), issuer.Request{Method: "GET", URL: identifier + "/x", Limit: 99, Rounds: 3})
			}
			return n.count() - before
		}
		if made := attempts(200); made != 200+10 {
			t.Errorf("200 requests made %d attempts", made)
		}
		// With the budget spent there is one attempt for a request, and still the address that is well is found, whichever it is.
		for _, host := range []string{"10.0.0.1:8443", "10.0.0.2:8443", "10.0.0.1:8443"} {
			well.Store(host)
			failed := 0
			for range 30 {
				if _, err := ask(t.Context(), i); err != nil {
					failed++
				}
			}
			if failed > 1 {
				t.Errorf("%d of 30 requests failed while %s was well", failed, host)
			}
		}
		attempts(100) // fill it again
		well.Store("none")
		if made := attempts(200); made != 200+10 {
			t.Errorf("later, 200 requests made %d attempts", made)
		}
	})
}

func TestAFailureTellsOfEveryAddress(t *testing.T) {
	var calls atomic.Int64
	i, _ := open(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 2 {
			panic(errors.New("connection refused"))
		}
		w.Header().Set("Retry-After", "3")
		say(w, 503, `{"error":"temporarily_unavailable","error_description":"no database"}`)
	}, two)
	_, err := ask(t.Context(), i)
	if failure := (*issuer.Failure)(nil); !errors.As(err, &failure) || failure.RetryAfter != 3*time.Second || failure.Status != 503 {
		t.Errorf("got %#v", err)
	}
	contains(t, err.Error(), "10.0.0.1:8443", "10.0.0.2:8443", "connection refused",
		"answered 503 Service Unavailable: temporarily_unavailable: no database")
}

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		name, header string
		within       time.Duration // the caller's
		wait         time.Duration // before the second round; 0: there is none
		says         time.Duration
	}{
		{"seconds", "3", time.Minute, 3 * time.Second, 3 * time.Second},
		{"date", time.Date(2000, 1, 1, 0, 0, 4, 0, time.UTC).Format(http.TimeFormat), time.Minute, 4 * time.Second, 0}, // it is over then
		{"later than the deadline", "3", 2 * time.Second, 0, 3 * time.Second},
		{"later than anybody waits", "120", time.Hour, 0, 2 * time.Minute},
		{"a day at most", "999999", time.Hour, 0, 24 * time.Hour},
		{"past", time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC).Format(http.TimeFormat), time.Minute, time.Millisecond, 0},
		{"garbage", "soon", time.Minute, time.Millisecond, 0},
		{"none", "", time.Minute, time.Millisecond, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i, n := open(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", tt.header)
					say(w, 503, "")
				}, nil)
				ctx, cancel := context.WithTimeout(t.Context(), tt.within)
				defer cancel()
				began := time.Now()
				_, err := i.Do(ctx, issuer.Request{Method: "GET", URL: identifier + "/x", Rounds: 2})
				rounds, took := 1, time.Since(began)
				if tt.wait > 0 {
					rounds = 2
				}
				if n.count() != rounds || took > max(tt.wait, 100*time.Millisecond) || tt.wait >= time.Second && took != tt.wait {
					t.Errorf("%d attempts within %s", n.count(), took)
				}
				if failure := (*issuer.Failure)(nil); !errors.As(err, &failure) || failure.RetryAfter != tt.says || failure.Status != 503 {
					t.Errorf("got %#v", err)
				}
			})
		})
	}
}

func TestWhereEndpointsAreAsked(t *testing.T) {
	for _, tt := range []struct{ name, endpoint, want string }{
		{"own origin", identifier + "/oauth2/token", "https://10.0.0.1:8443/oauth2/token"},
		{"own origin written otherwise", "HTTPS://Auth.Example.com:443/a%2Fb?x=1", "https://10.0.0.1:8443/a%2Fb?x=1"},
		{"other host", "https://keys.example.com/set", "https://keys.example.com/set"},
		{"other port", identifier + ":444/token", identifier + ":444/token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i, n := open(t, status(200), func(c *issuer.Config) { c.Addresses = []string{"https://10.0.0.1:8443"} })
			if _, err := i.Do(t.Context(), issuer.Request{Method: "GET", URL: tt.endpoint}); err != nil {
				t.Fatal(err)
			}
			if n.asked[0] != "GET "+tt.want {
				t.Errorf("asked %s", n.asked[0])
			}
		})
	}
	i, n := open(t, status(200), nil)
	if _, err := i.Do(t.Context(), issuer.Request{Method: "GET", URL: "http://auth.example.com/x"}); err == nil || n.count() != 0 {
		t.Errorf("asked in the open: %v", err)
	}
}

func TestEveryAttemptIsPreparedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		i, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			seen = append(seen, fmt.Sprint(r.Header.Get("Proof"), " ", string(text), " ", r.Header.Get("Content-Type")))
			say(w, 503, "")
		}, two)
		header, form := http.Header{"A": {"1"}}, url.Values{"a": {"1"}}
		attempts := 0
		r := issuer.Request{
			Method: "POST", URL: identifier + "/x", Header: header, Form: form,
			Prepare: func(_ context.Context, h http.Header, form url.Values) error {
				attempts++
				h.Set("Proof", fmt.Sprint(attempts))
				h["A"][0] = "changed"
				form["a"][0] = "changed"
				form.Add("a", fmt.Sprint(attempts))
				return nil
			},
		}
		_, _ = i.Do(t.Context(), r)
		const media = " application/x-www-form-urlencoded"
		if len(seen) != 2 || seen[0] != "1 a=changed&a=1"+media || seen[1] != "2 a=changed&a=2"+media {
			t.Errorf("saw %q", seen)
		}
		if len(header) != 1 || header.Get("A") != "1" || form.Encode() != "a=1" {
			t.Errorf("the request was changed: %v %v", header, form)
		}
		r.Prepare = func(context.Context, http.Header, url.Values) error { return io.ErrClosedPipe }
		if _, err := i.Do(t.Context(), r); !errors.Is(err, io.ErrClosedPipe) || err.Error() != io.ErrClosedPipe.Error() || len(seen) != 2 {
			t.Errorf("got %v, asked %d times", err, len(seen))
		}
	})
}

func TestTrace(t *testing.T) {
	type key struct{}
	for _, tt := range []struct {
		name, operation string
		serve           http.HandlerFunc
		want            string
	}{
		{"ok", "op", status(200), "op ok"},
		{"refused", "op", status(403), "op refused"},
		{"unavailable", "op", status(503), "op unavailable answered 503"},
		{"untold", "", status(200), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var told string
			i, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
				if carried := r.Context().Value(key{}) != nil; carried != (tt.operation != "") {
					t.Error("the context of the trace does not reach the request")
				}
				tt.serve(w, r)
			}, func(c *issuer.Config) {
				c.Trace = func(ctx context.Context, operation string) (context.Context, func(string, error)) {
					return context.WithValue(ctx, key{}, 1), func(result string, err error) {
						told += operation + " " + result
						if err != nil {
							told += err.Error()[strings.Index(err.Error(), " answered"):]
						}
					}
				}
			})
			_, _ = i.Do(t.Context(), issuer.Request{Operation: tt.operation, Method: "GET", URL: identifier + "/x"})
			if !strings.HasPrefix(told, tt.want) || tt.want == "" && told != "" {
				t.Errorf("told %q", told)
			}
		})
	}
}
