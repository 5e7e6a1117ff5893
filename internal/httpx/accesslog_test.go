package httpx_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/httpx"
	"github.com/countersign/countersign/internal/telemetry"
)

// A line that is written past slog reads as slog would have written it.
func TestAccessLogReadsAsSlogWritesIt(t *testing.T) {
	for name, tt := range map[string]struct {
		method string
		peer   string
		serve  func(x *httpx.Exchange) error
	}{
		"plain":      {serve: func(x *httpx.Exchange) error { x.Client = "cl_1"; return nil }},
		"odd method": {method: "M!#$%&'*+-.^_`|~", serve: func(*httpx.Exchange) error { return nil }},
		"no address": {peer: "@", serve: func(*httpx.Exchange) error { return nil }},
		"IPv6":       {peer: "[2001:db8::1%eth0]:80", serve: func(*httpx.Exchange) error { return nil }},
		"mapped":     {peer: "[::ffff:192.0.2.7]:80", serve: func(*httpx.Exchange) error { return nil }},
		"refused":    {serve: func(*httpx.Exchange) error { return fault.New(fault.InvalidClient, "no") }},
		"down": {serve: func(*httpx.Exchange) error {
			return fault.Wrap(fault.Unavailable, "no", errors.New("the \"db\" <is> down"))
		}},
		"defect": {serve: func(*httpx.Exchange) error { return errors.New("nil <map>") }},
		"quiet":  {serve: func(x *httpx.Exchange) error { x.Quiet = true; return nil }},
		"details": {serve: func(x *httpx.Exchange) error {
			x.Details = []slog.Attr{slog.String("upstream", "<a&b>"), slog.Int64("auth_us", -7)}
			return nil
		}},
		"escapes": {serve: func(x *httpx.Exchange) error {
			x.Client = "a\"b\\c\n\u2028\x7f\xff"
			return nil
		}},
		"escapes in the route": {serve: func(x *httpx.Exchange) error { x.Route = "/\t"; return nil }},
		"escapes in details":   {serve: func(x *httpx.Exchange) error { x.Details = []slog.Attr{slog.String("a", "é")}; return nil }},
		"escapes in a key":     {serve: func(x *httpx.Exchange) error { x.Details = []slog.Attr{slog.Int("é", 1)}; return nil }},
		"other kinds of details": {serve: func(x *httpx.Exchange) error {
			x.Details = []slog.Attr{slog.Duration("d", 1), {}, slog.Any("n", nil)}
			return nil
		}},
		"a group": {serve: func(x *httpx.Exchange) error {
			x.Details = []slog.Attr{slog.Group("g", slog.Int("a", 1)), slog.Group("", slog.Int("b", 1))}
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 11, 1, 12, 0, 0, 120_000, time.FixedZone("", 3600))
			lines := map[bool]string{}
			for _, ours := range []bool{true, false} {
				var log bytes.Buffer
				logger := telemetry.NewLeveledLogger(&log, slog.LevelDebug)
				if !ours {
					logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				}
				tick := 0
				clock := func() time.Time { tick++; return now.Add(time.Duration(tick) * 1234 * time.Microsecond) }
				proxies := httpx.Proxies{netip.MustParsePrefix("0.0.0.0/0")}
				handler := (&httpx.Edge{Log: logger, Now: clock, Proxies: proxies, Write: httpx.OAuth(docs)}).Wrap(
					httpx.Handler(func(w http.ResponseWriter, r *http.Request) error {
						x := httpx.From(r.Context())
						x.Route = "/oauth2/token"
						if err := tt.serve(x); err != nil {
							return err
						}
						_, _ = io.WriteString(w, "four")
						return nil
					}).With(httpx.OAuth(docs)))
				r := request("/")
				r.Header.Set("X-Request-Id", "same")
				if tt.method != "" {
					r.Method = tt.method
				}
				if tt.peer != "" {
					r.RemoteAddr = tt.peer
					r.Header.Del("X-Request-Id")
				}
				answer(handler, r)
				lines[ours] = log.String()
				if tt.peer != "" {
					from := strings.Index(lines[ours], `"request_id":"`)
					lines[ours] = lines[ours][:from] + lines[ours][from+len(`"request_id":"`)+26:]
				}
			}
			if lines[true] != lines[false] || lines[true] == "" {
				t.Errorf("got  %s\nwant %s", lines[true], lines[false])
			}
		})
	}
}
