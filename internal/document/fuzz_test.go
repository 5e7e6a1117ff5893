package document_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/document"
)

func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		"", "{}", "routes:\n- pool: a\n  timeouts: {response: 1s}\n", "health: &h {path: /a}\nadmin: {<<: *h}", "labels: &a {<<: *a}",
		"pools: {a: {targets: [{url: x, weight: 3}], ratio: 1e-1}}", "nested: {a: [1KiB, 2]}", "? [a]\n: b\n", "--- !!map {}\n---\n", "listen: !!str 5\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var first, second config
		source, err := document.Decode("lb.yaml", text, &first)
		if (err == nil) != (source != nil) {
			t.Fatalf("%v, %v", source, err)
		}
		if err != nil {
			if !strings.HasPrefix(err.Error(), "lb.yaml:") || len(err.Error()) > 1<<16 {
				t.Fatalf("%d bytes: %.200s", len(err.Error()), err)
			}
			return
		}
		_ = source.Errorf(string(text[:min(len(text), 300)]), "is bad")
		if _, err := document.Decode("lb.yaml", text, &second); err != nil || fmt.Sprint(len(first.Labels), first.Routes) != fmt.Sprint(len(second.Labels), second.Routes) {
			t.Fatalf("the second time: %v", err)
		}
	})
}

// What expands to more than anyone writes is refused before it grows.
func TestDecode_IsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 500<<10)
	for _, tt := range []struct{ name, text, want string }{
		{"a list many times", "pools:\n  p: &p {targets: [" + strings.Repeat("{url: "+long[:200]+"},", 2000) + "]}\n" + aliases(100), "the document's aliases make it larger than 4194304 bytes"},
		{"a long text many times", "listen: &l " + long + "\ntrusted: [" + strings.Repeat("*l,", 10_000) + "]", "the document's aliases make it larger than 4194304 bytes"},
		{"a merge of a merge", "health: &a0 {}\nlabels:\n" + bomb(24), "the document's aliases make it larger than 4194304 bytes"},
		{"a mapping that holds itself", "labels: &a {<<: *a}", "lb.yaml:1: labels: more than 100 values stand in one another"},
		{"a list that holds itself", "routes: &a [*a]", "lb.yaml:1: routes[0]: a list stands where a mapping belongs"},
		{"a long name above many values", "nested:\n  ? " + long + "\n  : [" + strings.Repeat("1,", 20_000) + "]", "must have 1 to 256 characters"},
		{"very many mistakes", "routes: [" + strings.Repeat("1,", 20_000) + "]", "lb.yaml: 19950 more mistakes"},
		{"very deep", "routes: " + strings.Repeat("[", 500_000), "exceeded max depth"},
		{"a long unknown name", "? " + long + "\n: 1", "must have 1 to 256 characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got config
			_, err := document.Decode("lb.yaml", []byte(tt.text), &got)
			if err == nil || !strings.Contains(err.Error(), tt.want) || len(err.Error()) > 1<<16 {
				t.Errorf("%.2000v", err)
			}
		})
	}
}

func TestDecode_IsBoundedInTypesThatHoldThemselves(t *testing.T) {
	t.Parallel()
	var got branch
	_, err := document.Decode("lb.yaml", []byte("children: &a [{children: *a}]"), &got)
	if err == nil || !strings.HasSuffix(err.Error(), "more than 100 values stand in one another") {
		t.Error(err)
	}
}

// aliases returns entries that are all the same.
func aliases(count int) string {
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, "  p%d: *p\n", i)
	}
	return text.String()
}

// bomb returns entries that double with each of them.
func bomb(doublings int) string {
	var text strings.Builder
	for i := range doublings {
		fmt.Fprintf(&text, "  k%d: &a%d {<<: [*a%d, *a%d]}\n", i, i+1, i, i)
	}
	fmt.Fprintf(&text, "  <<: *a%d\n", doublings)
	return text.String()
}
