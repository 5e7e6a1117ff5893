package jwks_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk/jwks"
)

func TestLog(t *testing.T) {
	var log bytes.Buffer
	inBubble(t, jwks.Config{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})), HardMaxAge: 3 * time.Hour}, func(w *world) {
		w.server.answer(strings.Replace(keySet("a", "b"), `{"keys":[`, `{"keys":[{"kty":"oct","kid":"shared","k":"c2VjcmV0"},`, 1))
		w.begin()
		time.Sleep(time.Hour) // what is said once is not said at every refresh
		w.server.publish("b", "c")
		time.Sleep(time.Hour)
		w.server.turn(true)
		time.Sleep(4 * time.Hour)
	})
	for _, tt := range []struct {
		text  string
		times int
	}{
		{`level=WARN msg="key of the key set passed over" error="key 1 (kid \"shared\")`, 1},
		{`level=DEBUG msg="signing key is new" key_id=a`, 1}, // at the start
		{`level=DEBUG msg="signing key is new" key_id=b`, 1},
		{`level=INFO msg="signing key is new" key_id=c`, 1},
		{`msg="signing key is new"`, 3},
		{`level=INFO msg="signing key is withdrawn" key_id=a`, 1},
		{`level=INFO msg="signing key is withdrawn" key_id=b`, 0},
		{`level=ERROR msg="signing keys dropped: no key set could be fetched for the hard maximum age"`, 1},
		{`c2VjcmV0`, 0},
		{`context canceled`, 0},
	} {
		if got := strings.Count(log.String(), tt.text); got != tt.times {
			t.Errorf("%d times %s", got, tt.text)
		}
	}
	if failures := strings.Count(log.String(), `level=WARN msg="key set not refreshed" error="fetch key set: connection refused"`); failures < 100 {
		t.Errorf("%d failures", failures)
	}
}
