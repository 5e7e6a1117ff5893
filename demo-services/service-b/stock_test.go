package serviceb

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

func TestReserve(t *testing.T) {
	t.Parallel()
	s := newStock()
	first, err := s.reserve("cl_1", "key", "tongs", 5)
	if err != nil || first.Left != 7 {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := s.reserve("cl_1", "key", "tongs", 5); err != nil || again != first {
		t.Errorf("the same request: %+v, %v", again, err)
	}
	if other, err := s.reserve("cl_2", "key", "tongs", 5); err != nil || other == first || other.Left != 2 {
		t.Errorf("the same key of another caller: %+v, %v", other, err)
	}
	for _, tt := range []struct {
		name, key, item string
		quantity        int
		err             error
	}{
		{"more than there is", "", "tongs", 3, errTooFew},
		{"unknown item", "", "hammer", 1, errUnknownItem},
		{"nothing", "", "tongs", 0, errQuantity},
		{"less than nothing", "", "tongs", -1, errQuantity},
		{"far too many", "", "anvil", 1001, errQuantity},
		{"a key that was used otherwise", "key", "tongs", 4, errKeyReused},
		{"a long key", strings.Repeat("k", 129), "tongs", 1, errKeyLength},
	} {
		if _, err := s.reserve("cl_1", tt.key, tt.item, tt.quantity); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.err)
		}
	}
	if got := s.items()[2]; got != (item{Item: "tongs", Available: 2, Reserved: 10}) {
		t.Errorf("in stock: %+v", got)
	}
}

func TestKeysAreForgottenOldestFirst(t *testing.T) {
	t.Parallel()
	s := newStock()
	reserve := func(key string) reservation {
		made, err := s.reserve("cl_1", key, "anvil", 1)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	first, second := reserve("first"), reserve("second")
	for n := range maxKept - 1 {
		reserve(strconv.Itoa(n))
	}
	if reserve("second") != second {
		t.Error("a key was forgotten early")
	}
	if reserve("first") == first {
		t.Error("the oldest key is still known")
	}
}
