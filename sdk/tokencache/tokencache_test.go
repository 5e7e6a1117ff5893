package tokencache_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/countersign/countersign/sdk/tokencache"
)

// key returns a key in the first set of any small cache, told from others by n. All have the same home.
func key(n int) *tokencache.Key {
	var k tokencache.Key
	binary.BigEndian.PutUint32(k[16:], uint32(n))
	return &k
}

func put(c *tokencache.Cache[int], n int, life time.Duration) *tokencache.Entry[int] {
	e := tokencache.NewEntry[int](key(n), time.Now().Add(life))
	e.Value = n
	c.Put(e, time.Now())
	return e
}

// held tells which of the keys 0…n-1 are there, without counting as a read of the others.
func held(c *tokencache.Cache[int], n int) string {
	var text []byte
	for i := range n {
		if c.Entry(key(i)) != nil {
			text = append(text, byte('0'+i))
		}
	}
	return string(text)
}

func TestSlots(t *testing.T) {
	for asked, want := range map[int]int{0: 8, 1: 8, 8: 8, 9: 16, 16: 16, 17: 24, 1000: 1000, 16384: 16384} {
		if got := tokencache.New[int](asked).Slots(); got != want {
			t.Errorf("%d slots asked for: %d, want %d", asked, got, want)
		}
	}
}

func TestReplacement(t *testing.T) {
	for _, tt := range []struct {
		name string
		fill func(c *tokencache.Cache[int])
		want string // of the ten that were put
		out  uint64 // pushed out alive
	}{
		{name: "a set holds eight", want: "12345678", out: 1, fill: func(c *tokencache.Cache[int]) {
			for n := range 9 {
				put(c, n, time.Hour+time.Duration(n)*time.Minute)
			}
		}},
		{name: "the dead go before the living", want: "12345678", fill: func(c *tokencache.Cache[int]) {
			put(c, 0, time.Second)
			for n := range 7 {
				put(c, n+1, time.Minute)
			}
			time.Sleep(time.Second)
			put(c, 8, time.Hour)
		}},
		{name: "what was read has a second chance", want: "0234567" + "8", out: 1, fill: func(c *tokencache.Cache[int]) {
			for n := range 8 {
				put(c, n, time.Hour+time.Duration(n)*time.Minute)
			}
			c.Entry(key(0))
			put(c, 8, time.Hour)
		}},
		{name: "if all were read, the next to expire goes", want: "0124567" + "8", out: 1, fill: func(c *tokencache.Cache[int]) {
			for n := range 8 {
				life := time.Hour
				if n == 3 {
					life = time.Minute
				}
				put(c, n, life)
			}
			held(c, 8)
			put(c, 8, time.Hour)
		}},
		{name: "a weighing takes the chances back", want: "2345678" + "9", out: 2, fill: func(c *tokencache.Cache[int]) {
			for n := range 8 {
				put(c, n, time.Hour+time.Duration(n)*time.Minute)
			}
			held(c, 8)
			put(c, 8, 3*time.Hour)
			put(c, 9, 3*time.Hour)
		}},
		{name: "the same key takes its own place", want: "01234567", fill: func(c *tokencache.Cache[int]) {
			for n := range 8 {
				put(c, n, time.Hour)
			}
			for range 20 {
				put(c, 5, time.Second)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := tokencache.New[int](8)
				tt.fill(c)
				if got := held(c, 10); got != tt.want {
					t.Errorf("holds %s, want %s", got, tt.want)
				}
				if c.Evicted() != tt.out {
					t.Errorf("%d pushed out, want %d", c.Evicted(), tt.out)
				}
			})
		})
	}
}

func TestPutReplacesAndDropSparesTheNewer(t *testing.T) {
	c := tokencache.New[int](8)
	old := put(c, 1, time.Hour)
	newer := put(c, 1, time.Minute)
	c.Drop(old)
	if got := c.Entry(key(1)); got != newer {
		t.Fatalf("got %v, want the newer entry", got)
	}
	c.Drop(newer)
	if c.Entry(key(1)) != nil || c.Len() != 0 {
		t.Error("the entry was dropped and is still there")
	}
	put(c, 2, time.Hour)
	c.Clear()
	if c.Len() != 0 {
		t.Error("the cache was cleared and is not empty")
	}
}

// Keys that differ in any one bit are different keys.
func TestWholeKeyCounts(t *testing.T) {
	c := tokencache.New[int](8)
	put(c, 7, time.Hour)
	for bit := range 256 {
		other := *key(7)
		other[bit/8] ^= 1 << (bit % 8)
		if c.Entry(&other) != nil {
			t.Errorf("found under a key that differs in bit %d", bit)
		}
	}
}

// Memory is bounded whatever comes, what comes last is there, and keys are spread over all sets, whatever number of them there is.
func TestBounded(t *testing.T) {
	for _, slots := range []int{8, 24, 64, 1000} {
		c := tokencache.New[int](slots)
		for n := range 20 * slots {
			k := sha256.Sum256(fmt.Append(nil, n))
			e := tokencache.NewEntry[int](&k, time.Now().Add(time.Hour))
			c.Put(e, time.Now())
			if c.Entry(&k) != e {
				t.Fatalf("%d is not there right after it was put", n)
			}
		}
		if got := c.Len(); got != slots {
			t.Errorf("%d entries, want all %d slots in use", got, slots)
		}
	}
}

// What has expired goes when the table is swept, and nothing else.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := tokencache.New[int](64)
		for n := range 8 {
			put(c, n, time.Duration(n)*time.Second)
		}
		time.Sleep(3 * time.Second)
		c.Sweep(time.Now())
		if got := held(c, 8); got != "4567" || c.Len() != 4 || c.Evicted() != 0 {
			t.Errorf("holds %s, %d entries, %d pushed out; want 4567, 4, 0", got, c.Len(), c.Evicted())
		}
	})
}

// Readers and writers at once: an entry that is found is always that of the key, whole.
func TestConcurrent(t *testing.T) {
	c := tokencache.New[[2]int](64)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(worker)))
			for range 5_000 {
				n := random.IntN(200)
				k := sha256.Sum256(fmt.Append(nil, n))
				e := c.Entry(&k)
				switch {
				case e == nil:
					e = tokencache.NewEntry[[2]int](&k, time.Now().Add(time.Duration(random.IntN(1000))*time.Microsecond))
					e.Value = [2]int{n, n}
					c.Put(e, time.Now())
				case e.Value != [2]int{n, n}:
					t.Errorf("found %v under %d", e.Value, n)
				case random.IntN(4) == 0:
					c.Drop(e)
				case random.IntN(100) == 0:
					c.Sweep(time.Now())
				}
			}
		})
	}
	wg.Wait()
}

func TestReadingDoesNotAllocate(t *testing.T) {
	c := tokencache.New[int](1024)
	put(c, 3, time.Hour)
	there, missing := key(3), key(4)
	if n := testing.AllocsPerRun(100, func() { c.Entry(there); c.Entry(missing) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEntry(b *testing.B) {
	c := tokencache.New[int](16384)
	keys := make([]tokencache.Key, 8192)
	for i := range keys {
		keys[i] = sha256.Sum256(fmt.Append(nil, i))
		c.Put(tokencache.NewEntry[int](&keys[i], time.Now().Add(time.Hour)), time.Now())
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		c.Entry(&keys[i%len(keys)])
	}
}
