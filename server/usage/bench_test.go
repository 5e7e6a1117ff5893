package usage_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/countersign/countersign/server/auth"
)

// A request pays nothing that the garbage collector sees, once its client was seen. Scopes come in a string of their own each time.
func TestNothingIsAllocated(t *testing.T) {
	c := newCollector(t, newNotebook())
	client, secret, source := newClient(), auth.NewSecretID(time.Now()), address(1)
	issued := []*auth.Token{token(client, auth.APIID{1}, string([]byte("read write"))), token(client, auth.APIID{1}, string([]byte("read write")))}
	i := 0
	got := testing.AllocsPerRun(1000, func() {
		c.Authenticated(client, secret, source)
		c.Issued(issued[i%2])
		i++
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkAuthenticated(b *testing.B) {
	for _, clients := range []int{1, 10_000} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) {
			c := newCollector(b, newNotebook())
			ids := make([]auth.ClientID, clients)
			for i := range ids {
				ids[i] = newClient()
				c.Authenticated(ids[i], auth.SecretID{1}, address(1))
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					c.Authenticated(ids[i%clients], auth.SecretID{1}, address(1))
				}
			})
		})
	}
}

func BenchmarkIssued(b *testing.B) {
	for _, clients := range []int{1, 10_000} {
		b.Run(strconv.Itoa(clients), func(b *testing.B) {
			c := newCollector(b, newNotebook())
			tokens := make([]*auth.Token, clients)
			for i := range tokens {
				tokens[i] = token(newClient(), auth.APIID{}, "read write")
				c.Issued(tokens[i])
			}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					c.Issued(tokens[i%clients])
				}
			})
		})
	}
}
