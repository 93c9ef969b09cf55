package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseObject(t *testing.T) {
	duplicate := func(name string) error { return &DuplicateError{name} }
	received := func(kind string) error { return &KindError{"object", kind} }
	tests := map[string]struct {
		text string
		err  error
	}{
		"empty object":             {`{}`, nil},
		"white space around":       {" \r\n\t{ } \n", nil},
		"any member":               {`{"a":{"b":[1,{"b":2,"b":3}]},"c":null}`, nil},
		"names differ by case":     {`{"a":1,"A":2}`, duplicate("A")},
		"by the case of an escape": {`{"k":1,"\u212a":2}`, duplicate("\u212a")},
		"nothing":                  {``, ErrNotJSON},
		"white space":              {` `, ErrNotJSON},
		"name twice":               {`{"a":1,"b":2,"a":1}`, duplicate("a")},
		"name twice by an escape":  {`{"a":1,"\u0061":1}`, duplicate("a")},
		"pair of surrogates":       {`{"\ud83d\ude00":"\uD83D\uDE00x"}`, nil},
		"escaped backslash":        {`{"a":"\\ud800","b":"\\\\ud800"}`, nil},
		"lone surrogate in a name": {`{"\ud800":1}`, ErrLoneSurrogate},
		"high surrogate":           {`{"a":"x\ud800y"}`, ErrLoneSurrogate},
		"high surrogate at an end": {`{"a":"\uDBFF"}`, ErrLoneSurrogate},
		"low surrogate":            {`{"a":"\udfff"}`, ErrLoneSurrogate},
		"two high surrogates":      {`{"a":"\ud800\ud800\udc00"}`, ErrLoneSurrogate},
		"surrogates the wrong way": {`{"a":"\udc00\ud800"}`, ErrLoneSurrogate},
		"after an escaped quote":   {`{"a":"\"\\\ud800"}`, ErrLoneSurrogate},
		"deep in a value":          {`{"a":[{"b":"\ud800"}]}`, ErrLoneSurrogate},
		"comma at the end":         {`{"a":1,}`, ErrNotJSON},
		"comma at the front":       {`{,"a":1}`, ErrNotJSON},
		"brace after the object":   {`{}}`, ErrMore},
		"text after the object":    {`{}x`, ErrMore},
		"second object":            {`{}{}`, ErrMore},
		"unclosed":                 {`{"a":1`, ErrNotJSON},
		"name that is no string":   {`{1:1}`, ErrNotJSON},
		"single quotes":            {`{'a':1}`, ErrNotJSON},
		"comment":                  {`{/**/}`, ErrNotJSON},
		"NaN":                      {`{"a":NaN}`, ErrNotJSON},
		"byte order mark":          {"\ufeff{}", ErrNotJSON},
		"line break in a string":   {"{\"a\":\"\n\"}", ErrNotJSON},
		"name that is not UTF-8":   {"{\"\xff\":1}", ErrNotUTF8},
		"value that is not UTF-8":  {"{\"a\":\"\xff\"}", ErrNotUTF8},
		"nested too deeply":        {`{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, ErrNotJSON},
		"form":                     {`a=1`, ErrNotJSON},
		"array":                    {`[{}]`, received("array")},
		"number":                   {`-1`, received("number")},
		"string":                   {`"{}"`, received("string")},
		"null":                     {`null`, received("null")},
		"boolean with white space": {"\n true", received("boolean")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			object, err := ParseObject([]byte(test.text))
			if !errors.Is(err, test.err) && !reflect.DeepEqual(err, test.err) || (object == nil) != (err != nil) {
				t.Errorf("got %v, %v; want %v", object, err, test.err)
			}
		})
	}
}

func TestObjectKeepsOrderAndNames(t *testing.T) {
	object, err := ParseObject([]byte(`{"b": [1, 2] ,"a":"x","C":null}`))
	want := Object{{"b", json.RawMessage(`[1, 2]`)}, {"a", json.RawMessage(`"x"`)}, {"C", json.RawMessage(`null`)}}
	if err != nil || !reflect.DeepEqual(object, want) {
		t.Fatalf("got %s, %v; want %s", object, err, want)
	}
	if value, ok := object.Get("C"); !ok || string(value) != "null" {
		t.Errorf("C is %s, %t", value, ok)
	}
	if value, ok := object.Get("A"); ok {
		t.Errorf("A is %s, and there is none", value)
	}
}

func TestDecode(t *testing.T) {
	tests := map[string]struct {
		text string
		want any // nil for an error
	}{
		"object":                   {`{"a":"x"}`, map[string]any{"a": "x"}},
		"long number":              {`{"a":12345678901234567890}`, map[string]any{"a": json.Number("12345678901234567890")}},
		"name twice, the last one": {`{"a":1,"a":2}`, map[string]any{"a": json.Number("2")}},
		"white space around":       {" {}\n", map[string]any{}},
		"null":                     {"\tnull", nil},
		"array":                    {`[]`, nil},
		"string":                   {`"secret"`, nil},
		"more":                     {`{} {}`, nil},
		"text after the object":    {`{}secret`, nil},
		"nothing":                  {``, nil},
		"unclosed":                 {`{"a":"secret`, nil},
		"not JSON":                 {`secret`, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got map[string]any
			err := Decode([]byte(test.text), &got)
			if test.want == nil {
				if err == nil {
					t.Errorf("decoded %v", got)
				} else if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error quotes the value: %v", err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %v, %v; want %v", got, err, test.want)
			}
		})
	}
}

func TestDecodeErrorsQuoteNoValue(t *testing.T) {
	var token struct {
		Value   string    `json:"value"`
		Expires int       `json:"expires"`
		Issued  time.Time `json:"issued"`
	}
	for _, text := range []string{`{"value":8371936}`, `{"expires":8371936.5}`, `{"expires":"8371936"}`, `{"issued":"8371936"}`} {
		if err := Decode([]byte(text), &token); err == nil || strings.Contains(err.Error(), "8371936") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzParseObject compares what is accepted with encoding/json.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"email":"a@b","password":"x","rememberMe":false,"callbackURL":null}`, `{"a":1,"a":2}`, `{"\u0061":"\ud800"}`, `[1]`, `{"a":{"b":[]}} `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		object, err := ParseObject(text)
		if err != nil {
			var kind *KindError
			var duplicate *DuplicateError
			if !errors.Is(err, ErrNotUTF8) && !errors.Is(err, ErrNotJSON) && !errors.Is(err, ErrMore) && !errors.Is(err, ErrLoneSurrogate) && !errors.As(err, &kind) && !errors.As(err, &duplicate) {
				t.Fatalf("%q: %v is none of the documented errors", text, err)
			}
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil || len(want) != len(object) {
			t.Fatalf("%q: encoding/json has %s, %v", text, want, err)
		}
		for name, value := range want {
			if got, ok := object.Get(name); !ok || string(got) != string(value) {
				t.Fatalf("%q: %q is %s and not %s", text, name, got, value)
			}
		}
		var values any
		if err := json.Unmarshal(text, &values); err != nil {
			t.Fatal(err)
		}
		const replaced = "\ufffd"
		if strings.Contains(fmt.Sprint(values), replaced) && !strings.Contains(strings.ToLower(string(text)), `\ufffd`) && !strings.Contains(string(text), replaced) {
			t.Fatalf("%q: decoding replaces a character", text)
		}
	})
}
