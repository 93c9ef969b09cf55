package admin

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/strictjson"
)

// maxBody bounds a JSON object: more than the largest user takes.
const maxBody = 64 << 10

// readObject reads a JSON object whose members are the ones given, each into the pointer beside its
// name, and returns the names of those that are there.
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

// unread is the problem with a body that could not be read to its end.
func unread(err error) *problem {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return failure(http.StatusRequestEntityTooLarge, "body is larger than %d bytes", tooLarge.Limit)
	}
	return invalid("body cannot be read: %v", err)
}

// parseObject parses a JSON object whose members are among the ones given. A member that is
// unknown, there twice, null or of another type is an error.
func parseObject(body []byte, members map[string]any) (given []string, err error) {
	object, err := strictjson.ParseObject(body)
	var duplicate *strictjson.DuplicateError
	switch {
	case errors.As(err, &duplicate):
		return nil, invalid("member %q is there twice", bounded(duplicate.Name))
	case err != nil:
		return nil, invalid("body is not a JSON object: %v", err)
	}
	for _, member := range object {
		into, known := members[member.Name]
		if !known {
			return nil, invalid("unknown member %q", bounded(member.Name))
		}
		if err := json.Unmarshal(member.Value, into); err != nil || strictjson.KindOf(member.Value) == "null" {
			return nil, invalid("member %q: must be %s", member.Name, describeType(into))
		}
		given = append(given, member.Name)
	}
	return given, nil
}

// describeType says what a member must be.
func describeType(into any) string {
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
