package portal

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestParseObject(t *testing.T) {
	tests := map[string]struct {
		body string
		code string // of the refusal; empty if it is accepted
	}{
		"object":        {`{"a":{"b":1},"c":null}`, ""},
		"nothing":       {``, "BAD_REQUEST"},
		"name twice":    {`{"a":1,"a":1}`, "BAD_REQUEST"},
		"text after it": {`{}x`, "BAD_REQUEST"},
		"not UTF-8":     {"{\"\xff\":1}", "BAD_REQUEST"},
		"form":          {`a=1`, "BAD_REQUEST"},
		"array":         {`[{}]`, "VALIDATION_ERROR"},
		"null":          {`null`, "VALIDATION_ERROR"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parseObject([]byte(test.body))
			var told *problem
			if errors.As(err, &told); (err == nil) != (test.code == "") || err != nil && told.code != test.code {
				t.Errorf("got %v, want %s", err, test.code)
			}
		})
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	b := newGateway(t).browser()
	r := b.request("POST", "/.auth/sign-out", "", "Content-Type", "application/json")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failingReader{}))
	wantProblem(t, b.send(r), http.StatusBadRequest, "BAD_REQUEST")
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// FuzzParseObject compares the members of accepted bodies with encoding/json.
func FuzzParseObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"email":"a@b","password":"x","rememberMe":false,"callbackURL":null}`, `{"a":1,"a":2}`, `{"\u0061":"\ud800"}`, `[1]`, `{"a":{"b":[]}} `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := parseObject(body)
		var told *problem
		if err != nil {
			if !errors.As(err, &told) || told.status != http.StatusBadRequest {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		var want map[string]any
		if err := json.Unmarshal(body, &want); err != nil || len(want) != len(o.members) {
			t.Fatalf("%q: encoding/json has %v, %v", body, want, err)
		}
		for name, value := range want {
			before := len(o.issues)
			text := o.text(name)
			if s, ok := value.(string); ok != (len(o.issues) == before) || ok && s != text {
				t.Fatalf("%q: %s is %q and not %v", body, name, text, value)
			}
			before = len(o.issues)
			flag := o.optionalBool(name, true)
			if b, ok := value.(bool); ok != (len(o.issues) == before) || ok && b != flag {
				t.Fatalf("%q: %s is %v and not %v", body, name, flag, value)
			}
		}
	})
}
