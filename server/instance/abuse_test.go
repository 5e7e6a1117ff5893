package instance_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/testbed"
)

// A client that has used up its budget at one instance has used it up at the other one, as the settings say.
func TestInstancesShareBudgets(t *testing.T) {
	d := newDeployment(t)
	d.settings.TokenStore, d.settings.TokenBudget = testbed.Redis(t).URL(), 300
	one, _ := d.start()
	other, _ := d.start()
	ask := func(address string) int {
		status, header := d.ask(address, d.client.ID.String(), d.client.Secret.Reveal())
		if status == http.StatusTooManyRequests && header.Get("Retry-After") == "" {
			t.Error("429 without Retry-After")
		}
		return status
	}
	alone, together := 0, 0
	for ask(one) == http.StatusOK {
		alone++
	}
	testbed.Wait(t, 20*time.Second, func() error {
		ask(one) // what Redis could not be told, it is told with the next request
		if status := ask(other); status != http.StatusTooManyRequests {
			together++
			return fmt.Errorf("the other instance answers %d", status)
		}
		return nil
	})
	if alone < 300 || alone > 330 || together > 150 {
		t.Errorf("%d tokens of one instance, then %d of the other", alone, together)
	}
}
