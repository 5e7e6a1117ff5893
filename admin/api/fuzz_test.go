package api_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/countersign/countersign/admin/api"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/server/auth"
)

func FuzzCursor(f *testing.F) {
	const list = "/admin/v1/clients?limit=1&sort=name"
	f.Add(list, "", "name", []byte("0123456789abcdef"))
	f.Add("/admin/v1/clients?sort=name", api.NextCursor(list, auth.Place{Key: "x"}), "", []byte{})
	f.Fuzz(func(t *testing.T, url, sent, key string, id []byte) {
		if _, err := api.Place(url, sent); err != nil && !errors.Is(err, fault.InvalidRequest) {
			t.Errorf("%q: %v", sent, err)
		}
		at := auth.Place{Key: strings.ToValidUTF8(key, "?")}
		copy(at.ID[:], id)
		made := api.NextCursor(list, at)
		got, err := api.Place("/admin/v1/clients?sort=name&limit=9&cursor="+made, made)
		if err != nil || *got != at {
			t.Errorf("%+v becomes %q becomes %+v, %v", at, made, got, err)
		}
		if _, err := api.Place("/admin/v1/clients?sort=created", made); err == nil {
			t.Errorf("%q is good for another list", made)
		}
	})
}

func FuzzIfMatch(f *testing.F) {
	for _, text := range []string{"*", `"1"`, `W/"1", "2"`, `"a,b"`, `,"3",,`, `"1`, "1"} {
		f.Add(text, int64(7))
	}
	f.Fuzz(func(t *testing.T, text string, revision int64) {
		found, err := api.ParseMatch(text)
		if (err == nil) == (len(found) == 0) || err != nil && !errors.Is(err, fault.InvalidRequest) && !errors.Is(err, fault.PreconditionFailed) {
			t.Errorf("%q: %v, %v", text, found, err)
		}
		for _, m := range found {
			if text != "*" && !strings.Contains(text, api.ETag(int64(m))) {
				t.Errorf("%q is taken for %v", text, found)
			}
		}
		if revision < 1 {
			return
		}
		found, err = api.ParseMatch(`"x", ` + api.ETag(revision))
		if err != nil || len(found) != 1 || int64(found[0]) != revision {
			t.Errorf("revision %d: %v, %v", revision, found, err)
		}
	})
}

func FuzzMergePatch(f *testing.F) {
	for _, c := range [][2]string{ // RFC 7396, appendix A, where the target is an object
		{`{"a":"b"}`, `{"a":null}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`},
		{`{"a":[1,2]}`, `{"a":{"b":null}}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`},
		{`{"a":"b"}`, `["c"]`},
		{`{"a":1,"a":2}`, `{}`},
	} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, target, patch string) {
		var is map[string]any
		if json.Unmarshal([]byte(target), &is) != nil || is == nil {
			return
		}
		once, err := api.Merge(is, []byte(patch))
		if err != nil {
			if !errors.Is(err, fault.InvalidRequest) {
				t.Errorf("%s: %v", patch, err)
			}
			return
		}
		twice, err := api.Merge(once, []byte(patch))
		if err != nil || !reflect.DeepEqual(once, twice) {
			t.Errorf("%s on %s: once %v, twice %v, %v", patch, target, once, twice, err)
		}
		var changes map[string]any
		if json.Unmarshal([]byte(patch), &changes) == nil {
			for name, value := range changes {
				if after, there := once.(map[string]any)[name]; there != (value != nil) {
					t.Errorf("%s on %s leaves %v", patch, target, after)
				}
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{`{"a":1}`, `{"a":1,"a":2}`, `[{"b":{"c":[],"c":1}}]`, `{"a":`, `1 2`, `{"a":"\u0061","\u0061":2}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got, plain any
		err := api.Decode([]byte(text), &got)
		if plainly := json.Unmarshal([]byte(text), &plain); err == nil && (plainly != nil || !reflect.DeepEqual(got, plain)) {
			t.Errorf("%s: %v, plainly %v, %v", text, got, plain, plainly)
		}
		if pointer := api.Pointer(text, []byte(text)); !strings.HasPrefix(pointer, "#") || strings.ContainsAny(pointer, " \"<>") {
			t.Errorf("%q becomes %q", text, pointer)
		}
	})
}
