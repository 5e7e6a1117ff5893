package redisstore_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/countersign/countersign/internal/ratelimit"
	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/auth"
	"github.com/countersign/countersign/server/redisstore"
	"github.com/countersign/countersign/server/storetest"
)

// TestDocumentedUsers gives Redis the users that the document recommends: a server can do its work, a service can read the
// records of its own API and do nothing else.
func TestDocumentedUsers(t *testing.T) {
	text, err := os.ReadFile("../../docs/token-store.md")
	if err != nil {
		t.Fatal(err)
	}
	var options []string
	for line := range strings.Lines(string(text)) {
		if user, ok := strings.CutPrefix(strings.TrimSpace(line), "ACL SETUSER "); ok {
			user = strings.ReplaceAll(user, "api_01tuWW4FooBN9IDJ2Mf77U", storetest.SampleAPI().String())
			options = append(append(options, "--user"), strings.Fields(user)...)
		}
	}
	redis := testbed.StartRedis(t, options...)
	as := func(user string) string { return strings.Replace(redis.URL(), "://", "://"+user+"@", 1) }

	conn := connect(t, as("countersign:SERVER-PASSWORD"))
	key, token := record(t, open(t, config(t, conn)))
	if err := conn.Publish(t.Context(), "countersign:changes", "1"); err != nil {
		t.Errorf("a server cannot publish: %v", err)
	}
	alone := prometheus.NewCounter(prometheus.CounterOpts{Name: "alone"})
	limits, err := ratelimit.New(ratelimit.Config{Redis: conn, Prefix: "cst:limit:", Fallbacks: alone})
	if err != nil {
		t.Fatal(err)
	}
	limits.Allow(t.Context(), "client", ratelimit.Limit{Requests: 1, Per: time.Minute, Burst: 1})
	if testutil.ToFloat64(alone) != 0 {
		t.Error("a server cannot share its limits")
	}
	if err := conn.Set(t.Context(), "elsewhere", []byte("x"), time.Minute); err == nil {
		t.Error("a server can write what is not a record")
	}

	service := connect(t, as("inventory:SERVICE-PASSWORD"))
	own, foreign := redisstore.RedisKey(token.API, key), redisstore.RedisKey(auth.APIID{15: 8}, key)
	if got, err := service.Get(t.Context(), own); err != nil || got == nil {
		t.Errorf("a service reads its record: %q, %v", got, err)
	}
	if _, err := service.Get(t.Context(), foreign); err == nil {
		t.Error("a service can read the records of another API")
	}
	if err := service.Set(t.Context(), own, []byte("x"), time.Minute); err == nil {
		t.Error("a service can write")
	}
	if err := service.Publish(t.Context(), "countersign:changes", "1"); err == nil {
		t.Error("a service can publish")
	}
}
