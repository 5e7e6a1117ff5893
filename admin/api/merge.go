package api

import (
	"encoding/json"
	"fmt"

	"github.com/countersign/countersign/internal/fault"
)

// merged returns what is after a merge patch of it (RFC 7396): absent members stay, null removes one, objects are merged, all
// else replaces. A member that is removed has its zero value. patch was validated against its schema.
func merged[T any](is T, patch []byte) (after T, err error) {
	text, err := json.Marshal(is)
	if err != nil {
		return after, fmt.Errorf("encode resource: %w", err)
	}
	var target, change any
	if err := json.Unmarshal(text, &target); err != nil {
		return after, fmt.Errorf("decode resource: %w", err)
	}
	if err := decode(patch, &change); err != nil {
		return after, fault.Wrap(fault.InvalidRequest, "the body is not JSON", err)
	}
	if _, ok := change.(map[string]any); !ok {
		return after, fault.New(fault.InvalidRequest, "the body must be a JSON object")
	}
	text, err = json.Marshal(mergePatch(target, change))
	if err != nil {
		return after, fmt.Errorf("encode resource: %w", err)
	}
	if err := json.Unmarshal(text, &after); err != nil {
		return after, fault.Wrap(fault.InvalidRequest, "a member of the body has the wrong type", err)
	}
	return after, nil
}

// mergePatch is the function of that name in RFC 7396 §2.
func mergePatch(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = mergePatch(object[name], value)
		}
	}
	return object
}

// names reports whether a merge patch names a member.
func names(patch []byte, member string) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal(patch, &members) == nil && members[member] != nil
}
