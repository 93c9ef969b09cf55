package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"unicode/utf8"
)

// maxBody bounds a JSON object. It is more than the largest user takes.
const maxBody = 64 << 10

// readObject reads a JSON object with the given members, each into the pointer beside its name, and
// returns the names of those that the object has.
func readObject(w http.ResponseWriter, r *http.Request, members map[string]any) ([]string, error) {
	if err := wantType(r, "application/json"); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, unread(err)
	}
	return parseObject(body, members)
}

func wantType(r *http.Request, want string) error {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != want {
		return failure(http.StatusUnsupportedMediaType, "content type must be %s", want)
	}
	return nil
}

// unread returns the problem with a body that could not be read to its end.
func unread(err error) *problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return failure(http.StatusRequestEntityTooLarge, "body is larger than %d bytes", tooLarge.Limit)
	}
	return invalid("body cannot be read: %v", err)
}

// parseObject is stricter than encoding/json: names match exactly, no name occurs twice, no value
// is null, and nothing follows the object.
func parseObject(body []byte, members map[string]any) (given []string, err error) {
	if !utf8.Valid(body) {
		return nil, invalid("body is not UTF-8") // decoding would replace bytes, and two passwords could become equal
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, invalid("body is not a JSON object")
	}
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		name := token.(string) // a member begins with a string
		into, known := members[name]
		switch {
		case !known:
			return nil, invalid("unknown member %q", bounded(name))
		case seen[name]:
			return nil, invalid("member %q is there twice", name)
		}
		seen[name] = true
		given = append(given, name)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, notJSON(err)
		}
		if err := json.Unmarshal(value, into); err != nil || string(value) == "null" {
			return nil, invalid("member %q: must be %s", name, kindOf(into))
		}
	}
	if _, err := dec.Token(); err != nil {
		return nil, notJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, invalid("body has more after the JSON object")
	}
	return given, nil
}

func notJSON(err error) *problem { return invalid("body is not JSON: %v", err) }

// kindOf describes the type that a member must have.
func kindOf(into any) string {
	switch into.(type) {
	case **bool, *bool:
		return "true or false"
	case **int, *int:
		return "a whole number"
	case *Time:
		return "a time as 2026-11-23T11:38:47.288Z"
	case *[]byte:
		return "base64"
	case **[]string, *[]string:
		return "a list of texts"
	}
	return "a text"
}
