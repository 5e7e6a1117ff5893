package auth_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

// Zero says that there is none, such as no client behind what the system itself did. Nobody may name something by it.
func TestZeroNamesNothing(t *testing.T) {
	for text, parse := range map[string]func(string) error{
		auth.ClientID{}.String(): func(text string) error { _, err := auth.ParseClientID(text); return err },
		auth.APIID{}.String():    func(text string) error { _, err := auth.ParseAPIID(text); return err },
		auth.SecretID{}.String(): func(text string) error { _, err := auth.ParseSecretID(text); return err },
		auth.KeyID{}.String():    func(text string) error { _, err := auth.ParseKeyID(text); return err },
		auth.EventID{}.String():  func(text string) error { _, err := auth.ParseEventID(text); return err },
		auth.TokenID{}.String():  func(text string) error { _, err := auth.ParseTokenID(text); return err },
	} {
		if err := parse(text); !errors.Is(err, fault.NotFound) {
			t.Errorf("%s: error %v, want %v", text, err, fault.NotFound)
		}
	}
}

func TestIDsGoThroughJSON(t *testing.T) {
	type ids struct {
		Client auth.ClientID
		API    auth.APIID
		Secret auth.SecretID
		Key    auth.KeyID
		Event  auth.EventID
		Token  auth.TokenID
	}
	now := time.Now()
	for _, want := range []ids{
		{},
		{auth.NewClientID(now), auth.NewAPIID(now), auth.NewSecretID(now), auth.NewKeyID(now), auth.NewEventID(now), auth.NewTokenID(now, now)},
	} {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got ids
		if err := json.Unmarshal(text, &got); err != nil || got != want {
			t.Errorf("%s became %+v, %v", text, got, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"Client": "api_0352ltF3cxLIdMwGwlZrhd"}`), new(ids)); err == nil {
		t.Error("an id of another kind passed")
	}
}
