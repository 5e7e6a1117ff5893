package sdk_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/countersign/countersign/sdk"
)

// The JSON of a debug page is read by people and by scripts: durations have their unit in their name.
func TestRevocationStateAsJSON(t *testing.T) {
	state := sdk.VerifierState{Revocations: sdk.RevocationState{
		Feed: "followed", Bound: time.Second, Grace: 15 * time.Minute, LeaseLeft: 893883635, Good: true, Age: 106*time.Millisecond + 999,
		Generation: "g", Sequence: 7, Entries: map[string]int{"token": 2}, Polls: 3, Streaming: true, LastError: "x",
	}}
	const want = `{"feed":"followed","good":true,"generation":"g","sequence":7,"entries":{"token":2},"polls":3,"poll_failures":0,` +
		`"streaming":true,"streams":0,"events":0,"last_error":"x","bound_ms":1000,"grace_ms":900000,"lease_left_ms":893,"age_ms":106}`
	for name, value := range map[string]any{"by itself": state.Revocations, "by pointer": &state.Revocations} {
		if got, err := json.Marshal(value); string(got) != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", name, got, err, want)
		}
	}
	var whole struct{ Revocations json.RawMessage }
	text, err := json.Marshal(state)
	if err == nil {
		err = json.Unmarshal(text, &whole)
	}
	if string(whole.Revocations) != want || err != nil {
		t.Errorf("in the verifier's: %s, %v", text, err)
	}
}
