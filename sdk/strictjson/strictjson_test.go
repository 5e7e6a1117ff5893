package strictjson_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/sdk/strictjson"
)

// list renders the members of an object, in order, with names quoted.
func list(text string) (string, error) {
	var out []string
	err := strictjson.Object([]byte(text), func(name string, value strictjson.Value) error {
		out = append(out, fmt.Sprintf("%q=%s", name, value.Raw()))
		return nil
	})
	return strings.Join(out, " "), err
}

func TestObject(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"empty", `{}`, ``},
		{"space everywhere", " \t\r\n{ \"a\" \n:\t1 , \"b\":[ 1 , 2 ] }\n", `"a"=1 "b"=[ 1 , 2 ]`},
		{"every kind", `{"a":null,"b":true,"c":false,"d":-0.5e+10,"e":"x","f":[],"g":{}}`, `"a"=null "b"=true "c"=false "d"=-0.5e+10 "e"="x" "f"=[] "g"={}`},
		{"escaped name", `{"\u0061\"\\\/\b\f\n\r\t":1}`, `"a\"\\/\b\f\n\r\t"=1`},
		{"surrogate pair", `{"\ud83d\uDE00":1}`, `"😀"=1`},
		{"name is the empty string", `{"":1}`, `""=1`},
		{"names that differ in case", `{"alg":1,"ALG":2,"Alg":3}`, `"alg"=1 "ALG"=2 "Alg"=3`},
		{"names that encoding/json takes for one", "{\"kid\":1,\"\u212aid\":2}", "\"kid\"=1 \"\u212aid\"=2"},
		{"NUL is part of a name", `{"alg":1,"alg\u0000":2}`, `"alg"=1 "alg\x00"=2`},
		{"same name in different objects", `{"a":{"a":1},"b":[{"a":1},{"a":1}]}`, `"a"={"a":1} "b"=[{"a":1},{"a":1}]`},
		{"numbers beyond any type", `{"a":1e999,"b":123456789012345678901234567890}`, `"a"=1e999 "b"=123456789012345678901234567890`},
		{"objects as deep as may be", strings.Repeat(`{"a":`, 16) + "1" + strings.Repeat("}", 16), `"a"=` + strings.Repeat(`{"a":`, 15) + "1" + strings.Repeat("}", 15)},
		{"as deep as may be", `{"a":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`, `"a"=` + strings.Repeat("[", 15) + strings.Repeat("]", 15)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := list(tt.text)
			if err != nil || got != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

func TestObjectRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"nothing", ``},
		{"space", " \n"},
		{"array", `[]`},
		{"string", `"a"`},
		{"text after", `{} {}`},
		{"comma after", `{},`},
		{"NUL after", "{}\x00"},
		{"byte order mark", "\ufeff{}"},
		{"no end", `{"a":1`},
		{"no value", `{"a":}`},
		{"no colon", `{"a" 1}`},
		{"no name", `{:1}`},
		{"name without quotes", `{a:1}`},
		{"name in single quotes", `{'a':1}`},
		{"comma before the end", `{"a":1,}`},
		{"comma before the end of an array", `{"a":[1,]}`},
		{"no comma", `{"a":1"b":2}`},
		{"no comma in an array", `{"a":[1 2]}`},
		{"comment", `{/**/}`},
		{"space of Unicode", "{\u00a0}"},
		{"leading zero", `{"a":01}`},
		{"plus", `{"a":+1}`},
		{"minus only", `{"a":-}`},
		{"no digit after the point", `{"a":1.}`},
		{"no digit before the point", `{"a":.5}`},
		{"no exponent", `{"a":1e}`},
		{"no exponent after the sign", `{"a":1e+}`},
		{"hexadecimal", `{"a":0x1}`},
		{"NaN", `{"a":NaN}`},
		{"words in capitals", `{"a":True}`},
		{"half a word", `{"a":tru}`},
		{"more than a word", `{"a":nullx}`},
		{"string without end", `{"a":"b}`},
		{"string ends in a backslash", `{"a":"\`},
		{"control character", "{\"a\":\"\x1f\"}"},
		{"attack: NUL in a string", "{\"a\":\"b\x00\"}"},
		{"attack: NUL in a name", "{\"a\x00\":1}"},
		{"unknown escape", `{"a":"\x41"}`},
		{"short escape", `{"a":"\u12"}`},
		{"escape that is not hexadecimal", `{"a":"\u12g4"}`},
		{"attack: lone high surrogate", `{"a":"\ud800"}`},
		{"attack: lone low surrogate", `{"a":"\udc00"}`},
		{"attack: surrogates in the wrong order", `{"a":"\udc00\ud800"}`},
		{"attack: high surrogate before a character", `{"a":"\ud800\u0041"}`},
		{"attack: high surrogate before the end", `{"a":"\ud800\`},
		{"attack: lone surrogate in a name", `{"\ud800":1}`},
		{"attack: not UTF-8", "{\"a\":\"\xff\"}"},
		{"attack: overlong UTF-8", "{\"a\":\"\xc0\x80\"}"},
		{"attack: surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}"},
		{"attack 14: duplicate", `{"a":1,"b":2,"a":1}`},
		{"attack 14: duplicate by escape", `{"alg":1,"\u0061lg":2}`},
		{"attack 14: duplicate by another escape", `{"\u0061lg":1,"al\u0067":2}`},
		{"attack 14: duplicate of a pair", `{"😀":1,"\ud83d\ude00":2}`},
		{"attack 14: duplicate within", `{"a":{"b":1,"b":1}}`},
		{"attack 14: duplicate in an array", `{"a":[[{"b":1,"b":1}]]}`},
		{"attack 14: duplicate of the empty name", `{"":1,"":1}`},
		{"attack 35: too deep", `{"a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`},
		{"attack 35: objects too deep", strings.Repeat(`{"a":`, 17) + "1" + strings.Repeat("}", 17)},
		{"attack 35: much too deep", strings.Repeat(`{"a":`, 100_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := list(tt.text); !errors.Is(err, strictjson.ErrSyntax) {
				t.Errorf("got %s, %v; want ErrSyntax", got, err)
			}
		})
	}
}

// many returns the beginning of an object of n members.
func many(n int) string {
	var out strings.Builder
	out.WriteByte('{')
	for i := range n {
		fmt.Fprintf(&out, `"n%d":%d,`, i, i)
	}
	return out.String()
}

func TestAttack14DuplicateAmongMany(t *testing.T) {
	for i := range 40 {
		if got, err := list(fmt.Sprintf(`%s"n%d":1}`, many(40), i)); !errors.Is(err, strictjson.ErrSyntax) {
			t.Errorf("member %d twice: %s, %v", i, got, err)
		}
	}
}

func TestObjectOfManyMembers(t *testing.T) {
	count := 0
	err := strictjson.Object([]byte(many(100_000)+`"last":1}`), func(string, strictjson.Value) error {
		count++
		return nil
	})
	if err != nil || count != 100_001 {
		t.Errorf("got %d members, %v", count, err)
	}
}

func TestErrorsDoNotTell(t *testing.T) {
	for _, text := range []string{`{"secret":1,"secret":2}`, `{"secret":secret}`, `{"a":"secret`} {
		if _, err := list(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestErrorOfEachEndsIt(t *testing.T) {
	stop := errors.New("stop")
	seen := 0
	err := strictjson.Object([]byte(`{"a":[1,2],"b":1}`), func(_ string, value strictjson.Value) error {
		return value.Array(func(strictjson.Value) error {
			seen++
			return stop
		})
	})
	if !errors.Is(err, stop) || seen != 1 {
		t.Errorf("got %v after %d", err, seen)
	}
}

// at returns the member a of text.
func at(t testing.TB, text string) strictjson.Value {
	var found strictjson.Value
	err := strictjson.Object([]byte(text), func(name string, value strictjson.Value) error {
		if name == "a" {
			found = value
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestValue(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		read        func(strictjson.Value) (any, error)
		want        any
		err         error
	}{
		{"string", `"b"`, text, "b", nil},
		{"string with escapes", `"\u00e9\n\ud83d\ude00\u0000/\/"`, text, "é\n😀\x00//", nil},
		{"string: null", `null`, text, "", strictjson.ErrKind},
		{"string: number", `1`, text, "", strictjson.ErrKind},
		{"S17 number: fraction", `1.5`, number, 1.5, nil},
		{"number: exponent", `1E3`, number, 1000.0, nil},
		{"number: beyond", `1e999`, number, 0.0, strictjson.ErrRange},
		{"S17 number: string", `"1"`, number, 0.0, strictjson.ErrKind},
		{"int", `-9223372036854775808`, integer, int64(-9223372036854775808), nil},
		{"int: beyond", `9223372036854775808`, integer, int64(0), strictjson.ErrRange},
		{"int: fraction", `1.0`, integer, int64(0), strictjson.ErrRange},
		{"int: exponent", `1e3`, integer, int64(0), strictjson.ErrRange},
		{"int: string", `"1"`, integer, int64(0), strictjson.ErrKind},
		{"bool: true", `true`, boolean, true, nil},
		{"bool: false", `false`, boolean, false, nil},
		{"bool: string", `"true"`, boolean, false, strictjson.ErrKind},
		{"bool: number", `1`, boolean, false, strictjson.ErrKind},
		{"strings: one", `"b"`, texts, []string{"b"}, nil},
		{"strings: array", `["b","\u0063"]`, texts, []string{"b", "c"}, nil},
		{"strings: none", `[]`, texts, []string(nil), nil},
		{"strings: a number among them", `["b",1]`, texts, []string(nil), strictjson.ErrKind},
		{"strings: nested", `[["b"]]`, texts, []string(nil), strictjson.ErrKind},
		{"strings: null", `null`, texts, []string(nil), strictjson.ErrKind},
		{"object: array", `[]`, object, nil, strictjson.ErrKind},
		{"array: object", `{}`, array, nil, strictjson.ErrKind},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.read(at(t, `{"a":`+tt.value+`}`))
			if !errors.Is(err, tt.err) || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", tt.want) {
				t.Errorf("got %#v, %v; want %#v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func text(v strictjson.Value) (any, error)    { return v.String() }
func number(v strictjson.Value) (any, error)  { return v.Number() }
func integer(v strictjson.Value) (any, error) { return v.Int() }
func boolean(v strictjson.Value) (any, error) { return v.Bool() }
func texts(v strictjson.Value) (any, error)   { return v.Strings() }

func object(v strictjson.Value) (any, error) {
	return nil, v.Object(func(string, strictjson.Value) error { return nil })
}

func array(v strictjson.Value) (any, error) {
	return nil, v.Array(func(strictjson.Value) error { return nil })
}

func TestValueNested(t *testing.T) {
	var got []string
	err := at(t, `{"a": [ {"b": {"c": "d"}}, 1 ] }`).Array(func(member strictjson.Value) error {
		if member.Kind() == strictjson.Number {
			got = append(got, string(member.Raw()))
			return nil
		}
		return member.Object(func(name string, value strictjson.Value) error {
			got = append(got, name)
			return value.Object(func(name string, value strictjson.Value) error {
				text, err := value.String()
				got = append(got, name, text)
				return err
			})
		})
	})
	if want := []string{"b", "c", "d", "1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestKind(t *testing.T) {
	for value, want := range map[string]string{
		"null": "null", "true": "boolean", "1": "number", `"x"`: "string", "[]": "array", "{}": "object",
	} {
		if got := at(t, `{"a":`+value+`}`).Kind().String(); got != want {
			t.Errorf("%s is %s", value, got)
		}
	}
	if got := (strictjson.Value{}).Kind().String(); got != "nothing" {
		t.Errorf("no value is %s", got)
	}
	if _, err := (strictjson.Value{}).String(); !errors.Is(err, strictjson.ErrKind) {
		t.Errorf("no value read as a string: %v", err)
	}
}

// What a value gives away must not hold on to the text that it comes from, which may be megabytes long.
func TestRawIsACopy(t *testing.T) {
	source := []byte(`{"a":"b"}`)
	var raw []byte
	err := strictjson.Object(source, func(_ string, value strictjson.Value) error {
		raw = value.Raw()
		return nil
	})
	source[6] = 'x'
	if err != nil || string(raw) != `"b"` {
		t.Errorf("got %s, %v", raw, err)
	}
}
