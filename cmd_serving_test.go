package main

import "testing"

func TestSpare(t *testing.T) {
	const large = 1 << 62
	for _, tt := range []struct {
		name    string
		environ []string
		limits  []int64
		want    int64
	}{
		{"memory enough", []string{"HOME=/"}, []int64{8 << 30, large}, spareHeap},
		{"no limit is known", nil, []int64{0, large}, spareHeap},
		{"a small container", nil, []int64{256 << 20, large}, 64 << 20},
		{"Go is told of a limit", []string{"GOMEMLIMIT=100MiB"}, []int64{8 << 30, 100 << 20}, 25 << 20},
		{"somebody has decided otherwise", []string{"GOGC=50"}, []int64{8 << 30, large}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := spareOf(tt.environ, tt.limits...); got != tt.want {
				t.Errorf("%d bytes, want %d", got, tt.want)
			}
		})
	}
}
