package portal

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/strictjson"
)

// maxBody bounds a form or JSON body, in bytes. A password and two addresses fit with room to
// spare.
const maxBody = 64 << 10

// readBody reads a body of one media type. Every error is a problem, also when the client goes away
// while it sends.
func readBody(w http.ResponseWriter, r *http.Request, mediaType string, otherType *problem) ([]byte, error) {
	if !hasMediaType(r, mediaType) {
		return nil, otherType
	}
	return readAll(w, r)
}

func hasMediaType(r *http.Request, mediaType string) bool {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && got == mediaType
}

// readAll reads a body of any media type. Every error is a problem.
func readAll(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errTooSlow
	case err != nil:
		return nil, errBadRequest
	}
	return body, nil
}

// readForm reads a form. It refuses a field that is there twice, because something in front of the
// gateway may have checked the other one.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	body, err := readBody(w, r, "application/x-www-form-urlencoded", errNotAForm)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errBadForm
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, errBadForm
		}
	}
	return form, nil
}

// object is a JSON body whose members are asked for one by one. It collects what is wrong with
// them, in the words of the validator that Better Auth uses, and err reports all of it at once.
type object struct {
	members strictjson.Object
	issues  []string
}

// readObject reads a JSON object. Members that nobody asks for are ignored.
func readObject(w http.ResponseWriter, r *http.Request) (*object, error) {
	body, err := readBody(w, r, "application/json", errNotJSON)
	if err != nil {
		return nil, err
	}
	return parseObject(body)
}

// readOptionalObject is readObject for calls that need no member. Without a body it returns an object
// without members; such a request need not name a media type.
func readOptionalObject(w http.ResponseWriter, r *http.Request) (*object, error) {
	const mediaType = "application/json"
	typeless := r.Header.Get("Content-Type") == ""
	if !typeless && !hasMediaType(r, mediaType) {
		return nil, errNotJSON
	}
	body, err := readAll(w, r)
	switch {
	case err != nil:
		return nil, err
	case len(body) == 0:
		return new(object), nil
	case typeless:
		return nil, errNotJSON
	}
	return parseObject(body)
}

func parseObject(body []byte) (*object, error) {
	members, err := strictjson.ParseObject(body)
	var kind *strictjson.KindError
	switch {
	case errors.As(err, &kind):
		return nil, invalid([]string{"[body] Invalid input: " + kind.Error()})
	case err != nil:
		return nil, errBadRequest
	}
	return &object{members: members}, nil
}

// text returns a member that must be there and be a string.
func (o *object) text(name string) string {
	if _, ok := o.members.Get(name); !ok {
		o.expect(name, "string", "undefined")
		return ""
	}
	return o.optionalText(name)
}

// optionalText returns a member that must be a string where it is there.
func (o *object) optionalText(name string) (text string) {
	o.read(name, "string", &text)
	return text
}

// maybeText returns a member that must be a string where it is there, and nil where it is absent.
func (o *object) maybeText(name string) *string {
	if _, ok := o.members.Get(name); !ok {
		return nil
	}
	text := o.optionalText(name)
	return &text
}

// nullableText is maybeText, but takes null for the empty string.
func (o *object) nullableText(name string) *string {
	if value, ok := o.members.Get(name); ok && strictjson.KindOf(value) == "null" {
		return new(string)
	}
	return o.maybeText(name)
}

// optionalBool returns a member that must be true or false where it is there.
func (o *object) optionalBool(name string, absent bool) bool {
	value := absent
	o.read(name, "boolean", &value)
	return value
}

// optionalTexts returns a member that must be an array of strings where it is there.
func (o *object) optionalTexts(name string) (texts []string) {
	o.read(name, "array", &texts)
	return texts
}

// optionalTextMap returns a member that must be an object of strings where it is there.
func (o *object) optionalTextMap(name string) (texts map[string]string) {
	o.read(name, "object", &texts)
	return texts
}

// has reports whether a member is there and not null.
func (o *object) has(name string) bool {
	value, ok := o.members.Get(name)
	return ok && strictjson.KindOf(value) != "null"
}

func (o *object) read(name, kind string, into any) {
	value, ok := o.members.Get(name)
	if !ok {
		return
	}
	if got := strictjson.KindOf(value); got != kind {
		o.expect(name, kind, got)
		return
	}
	if err := json.Unmarshal(value, into); err != nil {
		o.expect(name, kind, "undefined")
	}
}

func (o *object) expect(name, kind, got string) {
	err := &strictjson.KindError{Want: kind, Got: got}
	o.issues = append(o.issues, "[body."+name+"] Invalid input: "+err.Error())
}

// err returns the problem with the members that were asked for, or nil.
func (o *object) err() error {
	if len(o.issues) == 0 {
		return nil
	}
	return invalid(o.issues)
}

func invalid(issues []string) error {
	return &problem{status: http.StatusBadRequest, code: "VALIDATION_ERROR", message: strings.Join(issues, "; ")}
}
