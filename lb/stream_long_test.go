//go:build long

package lb_test

import "testing"

func TestStreamIsEvenForLong(t *testing.T) { streamIsEven(t, 10000) }
