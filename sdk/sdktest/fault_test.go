package sdktest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/sdktest"
)

func jwks(i *sdktest.Issuer) string { return i.URL() + "/oauth2/jwks" }

// statusOf returns the status of an answer, or 0 for none.
func statusOf(t testing.TB, i *sdktest.Issuer, address string) int {
	t.Helper()
	resp, err := try(t.Context(), i, http.MethodGet, address, nil)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestFail(t *testing.T) {
	for name, i := range newIssuers(t) {
		t.Run(name, func(t *testing.T) {
			i.Fail(sdktest.Failure{Status: 429, RetryAfter: 7 * time.Second, Times: 2}, sdktest.JWKSEndpoint)
			status, body, header := do(t, i, http.MethodGet, jwks(i), nil)
			if status != 429 || header.Get("Retry-After") != "7" || body != `{"error":"temporarily_unavailable"}` {
				t.Errorf("the failure is %d %s with %v", status, body, header)
			}
			if status := statusOf(t, i, i.URL()+"/.well-known/oauth-authorization-server"); status != 200 {
				t.Errorf("another endpoint answers %d", status)
			}
			if first, second := statusOf(t, i, jwks(i)), statusOf(t, i, jwks(i)); first != 429 || second != 200 {
				t.Errorf("the second and third answers are %d and %d", first, second)
			}
			i.Fail(sdktest.Failure{Status: 400, Code: "invalid_scope"}, sdktest.TokenEndpoint)
			status, body, _ = do(t, i, http.MethodPost, i.URL()+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
			if status != 400 || body != `{"error":"invalid_scope"}` {
				t.Errorf("the refusal is %d %s", status, body)
			}
			i.Fail(sdktest.Failure{})
			if status := statusOf(t, i, jwks(i)); status != 0 {
				t.Errorf("a broken connection answers %d", status)
			}
			i.Heal()
			if status := statusOf(t, i, jwks(i)); status != 200 {
				t.Errorf("what is well again answers %d", status)
			}
		})
	}
}

func TestFailAtARate(t *testing.T) {
	var runs [2]string
	for run := range runs {
		i := sdktest.New()
		i.Fail(sdktest.Failure{Status: 500, Rate: 0.3})
		for range 200 {
			if statusOf(t, i, jwks(i)) == 500 {
				runs[run] += "x"
			} else {
				runs[run] += "."
			}
		}
	}
	if failed := strings.Count(runs[0], "x"); failed < 40 || failed > 80 || runs[0] != runs[1] {
		t.Errorf("of 200 requests at a rate of 0.3 %d failed, or not the same in both runs", failed)
	}
}

func TestDown(t *testing.T) {
	for name, i := range newIssuers(t) {
		t.Run(name, func(t *testing.T) {
			s, _ := openStream(t, i, i.Cursor())
			next(s)
			i.Down(true)
			if line := next(s); line != "" || s.Err() == nil {
				t.Errorf("a stream goes on with %q, or its end is %v", line, s.Err())
			}
			if status := statusOf(t, i, jwks(i)); status != 0 {
				t.Errorf("who is down answers %d", status)
			}
			if i.Refused() == 0 || i.Requests(sdktest.JWKSEndpoint) != 0 {
				t.Errorf("%d were refused, %d came through", i.Refused(), i.Requests(sdktest.JWKSEndpoint))
			}
			i.Down(false)
			if status := statusOf(t, i, jwks(i)); status != 200 {
				t.Errorf("who is up again answers %d", status)
			}
		})
	}
}

func TestDownByHost(t *testing.T) {
	i := sdktest.New(sdktest.WithURL("https://auth.example.test"))
	i.Down(true, "one.example.test")
	_, err := try(t.Context(), i, http.MethodGet, "https://one.example.test/oauth2/jwks", nil)
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the host that is down: %v", err)
	}
	if status := statusOf(t, i, "https://two.example.test/oauth2/jwks"); status != 200 {
		t.Errorf("the other host answers %d", status)
	}
	if log := i.Log(sdktest.JWKSEndpoint); len(log) != 1 || log[0].Host != "two.example.test" || log[0].Status != 200 {
		t.Errorf("the log is %+v", log)
	}
}

func TestAnswersAreHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := sdktest.New()
		i.Slow(3*time.Second, sdktest.FeedPoll)
		start := time.Now()
		go func() {
			time.Sleep(time.Second)
			i.RevokeAll()
		}()
		if a := poll(t, i, ""); len(a.Entries) != 0 || time.Since(start) != 3*time.Second {
			t.Errorf("after %v the answer is %+v, which was to be made before it was held", time.Since(start), a)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		_, err := try(ctx, i, http.MethodGet, i.URL()+"/oauth2/revocations", nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("a caller that gives up gets %v after %v", err, time.Since(start))
		}
		i.Slow(0)
		start = time.Now()
		if poll(t, i, ""); time.Since(start) != 0 {
			t.Errorf("an answer came after %v still", time.Since(start))
		}
	})
}

func TestFeedIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := sdktest.New()
		defer i.Close()
		s, _ := openStream(t, i, i.Cursor())
		next(s)
		held := []time.Duration{2 * time.Second, time.Second}
		i.HoldFeed(func() (d time.Duration) {
			d, held = held[0], held[1:]
			return d
		})
		start := time.Now()
		i.RevokeAll()
		i.RevokeAll()
		for _, want := range []time.Duration{2 * time.Second, 3 * time.Second} {
			next(s)
			next(s)
			if after := time.Since(start); after != want {
				t.Errorf("an event came after %v, want %v", after, want)
			}
			i.RevokeAll()
			if want == 3*time.Second {
				i.HoldFeed(nil)
			}
		}
	})
}

func TestBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := sdktest.New()
		release := i.Block(sdktest.JWKSEndpoint)
		answered := make(chan int, 2)
		for range 2 {
			go func() { answered <- statusOf(t, i, jwks(i)) }()
		}
		if err := i.Await(t.Context(), sdktest.JWKSEndpoint, 2); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case status := <-answered:
			t.Fatalf("a blocked request was answered %d", status)
		default:
		}
		release()
		release()
		if first, second := <-answered, <-answered; first != 200 || second != 200 {
			t.Errorf("the answers are %d and %d", first, second)
		}
		if status := statusOf(t, i, jwks(i)); status != 200 {
			t.Errorf("after the release the answer is %d", status)
		}
		defer i.Block()()
		go func() { answered <- statusOf(t, i, jwks(i)) }()
		synctest.Wait()
		i.Fail(sdktest.Failure{Status: 500})
		if status := <-answered; status != 0 {
			t.Errorf("the request under way was answered %d when its endpoint failed, want a broken connection", status)
		}
	})
}

func TestAwaitGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := sdktest.New().Await(ctx, sdktest.TokenEndpoint, 1); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Await returned %v", err)
		}
	})
}

func TestCutFeed(t *testing.T) {
	for name, i := range newIssuers(t) {
		t.Run(name, func(t *testing.T) {
			address := i.URL() + "/oauth2/revocations"
			for _, tt := range []struct {
				name string
				cut  func(bool)
				poll int
			}{{"stream", i.CutStream, 200}, {"all", i.CutFeed, 0}} {
				s, _ := openStream(t, i, i.Cursor())
				next(s)
				tt.cut(true)
				if next(s); s.Err() == nil {
					t.Errorf("cut %s: the stream did not break", tt.name)
				}
				if status := statusOf(t, i, address); status != tt.poll {
					t.Errorf("cut %s: a poll is answered %d, want %d", tt.name, status, tt.poll)
				}
				tt.cut(false)
				if status := statusOf(t, i, address); status != 200 {
					t.Errorf("healed %s: a poll is answered %d", tt.name, status)
				}
			}
		})
	}
}

func TestReplaceAndAlter(t *testing.T) {
	i := sdktest.New()
	i.Replace(sdktest.JWKSEndpoint, http.RedirectHandler("https://elsewhere.test/", http.StatusFound))
	if status := statusOf(t, i, jwks(i)); status != http.StatusNotFound || i.Requests(sdktest.Elsewhere) != 1 {
		t.Errorf("a client that follows the redirect gets %d", status)
	}
	i.Replace(sdktest.JWKSEndpoint, nil)
	if status := statusOf(t, i, jwks(i)); status != 200 {
		t.Errorf("what was replaced answers %d", status)
	}
	metadata := i.URL() + "/.well-known/oauth-authorization-server"
	i.WrongIssuer("https://evil.test")
	if _, body, _ := do(t, i, http.MethodGet, metadata, nil); members(t, body)["issuer"] != "https://evil.test" {
		t.Errorf("the metadata is %s", body)
	}
	i.WrongIssuer("")
	if _, body, _ := do(t, i, http.MethodGet, metadata, nil); members(t, body)["issuer"] != i.URL() {
		t.Errorf("the metadata is %s still", body)
	}
	i.Alter(sdktest.FeedPoll, func(answer map[string]any) { delete(answer, "age_ms") })
	if a := poll(t, i, ""); a.Age != nil || a.Sequence != 0 {
		t.Errorf("the altered answer is %+v", a)
	}
}

func TestClients(t *testing.T) {
	i := sdktest.New(sdktest.WithAuthMethods("client_secret_post"))
	i.AddClient("cl:ä", "one")
	i.AddClient("cl:ä", "two")
	ask := func(secret string) int {
		form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"cl:ä"}, "client_secret": {secret}}
		resp, err := i.Client().PostForm(i.URL()+"/oauth2/token", form)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if one, two, wrong := ask("one"), ask("two"), ask("three"); one != 200 || two != 200 || wrong != 401 {
		t.Errorf("during a rotation the secrets are answered %d and %d, a wrong one %d", one, two, wrong)
	}
	i.RotateSecret("cl:ä", "three")
	if two, three := ask("two"), ask("three"); two != 401 || three != 200 {
		t.Errorf("after it the old one is answered %d, the new one %d", two, three)
	}
	status, body, header := do(t, i, http.MethodPost, i.URL()+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}})
	if status != 401 || members(t, body)["error"] != "invalid_client" || header.Get("WWW-Authenticate") == "" {
		t.Errorf("a method that is not allowed is answered %d %s", status, body)
	}
	if log := i.Log(sdktest.TokenEndpoint); len(log) != 6 || log[0].ClientID != "cl:ä" || log[2].Status != 401 {
		t.Errorf("the log is %+v", log)
	}
}

func TestTLS(t *testing.T) {
	i := sdktest.Start(t, sdktest.WithTLS())
	if status := statusOf(t, i, jwks(i)); !strings.HasPrefix(i.URL(), "https://127.0.0.1:") || status != 200 {
		t.Errorf("%s answers %d", i.URL(), status)
	}
}

func TestExpiredCertificate(t *testing.T) {
	for name, i := range newIssuers(t, sdktest.WithExpiredCertificate()) {
		t.Run(name, func(t *testing.T) {
			_, err := try(t.Context(), i, http.MethodGet, jwks(i), nil)
			var failed *tls.CertificateVerificationError
			var invalid x509.CertificateInvalidError
			if !errors.As(err, &failed) || !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
				t.Errorf("the connection was refused by %v, want an expired certificate", err)
			}
		})
	}
}

func TestAddressOfAnIssuerWithAnotherURL(t *testing.T) {
	i := sdktest.Start(t, sdktest.WithURL("https://auth.example.test/tenant"))
	if host, _, err := net.SplitHostPort(strings.TrimPrefix(i.Address(), "http://")); err != nil || host != "127.0.0.1" {
		t.Errorf("the address is %s", i.Address())
	}
	status, body, _ := do(t, i, http.MethodGet, i.Address()+"/.well-known/oauth-authorization-server/tenant", nil)
	if status != 200 || members(t, body)["issuer"] != "https://auth.example.test/tenant" {
		t.Errorf("the metadata is %d %s", status, body)
	}
}

func TestMemoryGivesUpWithItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := sdktest.New()
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := errors.New("enough")
		cancel(enough)
		if _, err := try(ctx, i, http.MethodGet, jwks(i), nil); !errors.Is(err, enough) || i.Requests(sdktest.JWKSEndpoint) != 0 {
			t.Errorf("a caller that has gone gets %v", err)
		}
		ctx, cancel = context.WithCancelCause(t.Context())
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, i.URL()+"/oauth2/revocations", nil)
		req.Header.Set("Accept", "text/event-stream")
		req.SetBasicAuth(i.ClientID(), i.ClientSecret())
		resp, err := i.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		cancel(enough)
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, enough) {
			t.Errorf("the stream ends by %v", err)
		}
		i.Close()
		if _, err := try(t.Context(), i, http.MethodGet, jwks(i), nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a closed issuer answers %v", err)
		}
	})
}
