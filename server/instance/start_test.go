package instance_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
	"github.com/countersign/countersign/server/instance"
)

// A mistyped address of Redis is told at the start, before anybody asks for a token, and nothing of its password.
func TestRedisThatDoesNotAnswerIsToldAtStart(t *testing.T) {
	d := newDeployment(t)
	d.settings.TokenStore = "redis://:hush-hush@" + closedAddress(t)
	told := d.runOnce()
	for _, want := range []string{"redis cannot be used yet", `"draining"`, `"stopped"`} {
		if !strings.Contains(told, want) {
			t.Errorf("no %s: told %s", want, told)
		}
	}
	if strings.Contains(told, "hush-hush") {
		t.Errorf("told the password: %s", told)
	}
	d.settings.TokenStore = testbed.StartRedis(t).URL()
	if told = d.runOnce(); strings.Contains(told, "redis") {
		t.Errorf("told %s", told)
	}
}

// runOnce runs an instance until it listens, and returns its log.
func (d *deployment) runOnce() string {
	d.Helper()
	var told bytes.Buffer
	ctx, cancel := context.WithCancel(d.Context())
	defer cancel()
	d.check(instance.Run(ctx, instance.Config{
		Settings: d.settings, Version: "test", Logger: slog.New(slog.NewJSONHandler(&told, nil)), Now: time.Now,
		Listening: func(net.Addr, net.Addr) { cancel() },
	}))
	return told.String()
}

func closedAddress(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
