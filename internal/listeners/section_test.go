package listeners_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign/internal/listeners"
	"github.com/countersign/countersign/internal/statuspage"
)

func TestStatusSection(t *testing.T) {
	s := listeners.StatusSection([]listeners.Status{
		{Name: "entry", Address: "127.0.0.1:8080", Connections: 3, Idle: 2, Accepted: 7},
		{Name: "secure", Address: "127.0.0.1:8443", TLS: true, Most: 9},
		{Name: "raw", Address: "127.0.0.1:9", Stream: true},
	})
	free := statuspage.Said{Value: 0, Text: "any number"}
	want := [][]any{
		{"entry", "127.0.0.1:8080", "http", 3, 2, free, uint64(7)},
		{"secure", "127.0.0.1:8443", "https", 0, 0, 9, uint64(0)},
		{"raw", "127.0.0.1:9", "tcp", 0, 0, free, uint64(0)},
	}
	if diff := cmp.Diff(want, s.Rows); diff != "" {
		t.Error(diff)
	}
}
