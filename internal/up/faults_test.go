package up_test

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign/countersign/internal/up"
)

func TestFaults(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	faults := &up.Faults{}
	if err := faults.Set("database refuse"); err == nil || !strings.Contains(err.Error(), "up --drills") {
		t.Errorf("without any: %v", err)
	}
	target := listener.Addr().String()
	addresses, err := faults.Add("database", "here and there", target, target)
	if err != nil || len(addresses) != 2 {
		t.Fatalf("%d addresses, %v", len(addresses), err)
	}
	reach := func(address string) error {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	for _, step := range []struct {
		command string
		refused bool
		says    string
	}{
		{command: "database refuse", refused: true},
		{command: "database pass"},
		{command: "database break", says: "black-hole"},
		{command: "cache refuse", says: "allowed are database"},
	} {
		err := faults.Set(step.command)
		if step.says == "" && err != nil || step.says != "" && (err == nil || !strings.Contains(err.Error(), step.says)) {
			t.Errorf("%s: %v", step.command, err)
		}
		for _, address := range addresses { // both fail together
			if err := reach(address); errors.Is(err, syscall.ECONNREFUSED) != step.refused {
				t.Errorf("after %s: connect: %v", step.command, err)
			}
		}
		if mode := faults.Status()[0].Mode; (mode == "refuse") != step.refused {
			t.Errorf("after %s the status is %s", step.command, mode)
		}
	}
	if err := faults.Close(); err != nil {
		t.Error(err)
	}
	if err := reach(addresses[0]); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end: %v", err)
	}
}
