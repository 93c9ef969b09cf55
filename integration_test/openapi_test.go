package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	"github.com/pb33f/libopenapi/datamodel"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// description is the OpenAPI description of the JSON API, as far as answers are held against it.
type description struct {
	Paths      map[string]map[string]struct{ Responses map[string]describedAnswer }
	Components struct {
		Responses map[string]describedAnswer
		Headers   map[string]describedHeader
	}

	document any // all of it, for the schemas
	mu       sync.Mutex
	schemas  map[string]*jsonschema.Schema // by JSON pointer
}

type describedAnswer struct {
	Ref     string `json:"$ref"`
	Headers map[string]describedHeader
	Content map[string]any
}

type describedHeader struct {
	Ref      string `json:"$ref"`
	Required bool
	Schema   struct{ Type string }
}

const descriptionFile = "../internal/portal/openapi.json"

// describedAPI reads the description once a run.
var describedAPI = sync.OnceValues(func() (*description, error) {
	data, err := os.ReadFile(descriptionFile)
	if err != nil {
		return nil, err
	}
	d := &description{schemas: make(map[string]*jsonschema.Schema)}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, err
	}
	d.document, err = jsonschema.UnmarshalJSON(bytes.NewReader(data))
	return d, err
})

// check returns what is wrong by the description with the answer to a request for a path of the
// portal, or nil. It knows nothing of pages: what is at a path that is not described is checked
// only if it says that there is nothing.
func (d *description) check(request *http.Request, path string, answer reply) error {
	operations, ok := d.Paths[path]
	if !ok {
		if answer.StatusCode == http.StatusNotFound && answer.mediaType() == "application/json" {
			return d.checkShared(request, answer, "NotFound")
		}
		return nil
	}
	method := strings.ToLower(request.Method)
	if request.Method == http.MethodHead {
		method = "get"
	}
	operation, ok := operations[method]
	switch {
	case request.Method == http.MethodOptions && answer.StatusCode == http.StatusNoContent:
		if answer.body != "" {
			return errors.New("a preflight is answered with a body")
		}
		return nil
	case strings.ToUpper(request.Method) != request.Method || !ok:
		// Before it looks at the path the gateway may have found that it cannot serve at all.
		shared := map[int]string{http.StatusMethodNotAllowed: "MethodNotAllowed", http.StatusForbidden: "InsecureTransport", http.StatusServiceUnavailable: "Unavailable"}[answer.StatusCode]
		if shared == "" {
			return errors.New("the method is not described, and the answer does not say so")
		}
		if allow := answer.Header.Get("Allow"); shared == "MethodNotAllowed" && allow != allowed(operations) {
			return fmt.Errorf("Allow is %q, described is %q", allow, allowed(operations))
		}
		return d.checkShared(request, answer, shared)
	}
	status := strconv.Itoa(answer.StatusCode)
	described, ok := operation.Responses[status]
	if !ok {
		return errors.New("the status is not described")
	}
	pointer := "/paths/" + escapePointer(path) + "/" + method + "/responses/" + status
	return d.checkAnswer(request, answer, pointer, described)
}

// allowed is the Allow of a path: what is there for GET is there for HEAD.
func allowed[T any](operations map[string]T) string {
	var methods []string
	for method := range operations {
		methods = append(methods, strings.ToUpper(method))
		if method == "get" {
			methods = append(methods, http.MethodHead)
		}
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// undescribed are the headers that an answer has only where its description says so.
var undescribed = []string{"Allow", "Location", "Retry-After", "Set-Cookie", "X-Retry-After"}

func (d *description) checkAnswer(request *http.Request, answer reply, pointer string, described describedAnswer) error {
	if name, ok := strings.CutPrefix(described.Ref, "#/components/responses/"); ok {
		return d.checkShared(request, answer, name)
	}
	for _, name := range undescribed {
		if _, ok := described.Headers[name]; !ok && answer.Header.Get(name) != "" {
			return fmt.Errorf("the header %s is not described", name)
		}
	}
	for name, header := range described.Headers {
		at := pointer + "/headers/" + name
		if header.Ref != "" {
			at = strings.TrimPrefix(header.Ref, "#")
			header = d.Components.Headers[strings.TrimPrefix(at, "/components/headers/")]
		}
		values := answer.Header.Values(name)
		if name == "Set-Cookie" {
			values = slices.DeleteFunc(slices.Clone(values), func(value string) bool {
				return dropsFlow(value) || len(values) > 1 && accompanies(value)
			})
			// Before the cookie comes what clears it elsewhere in the browser.
			for len(values) > 1 && clears(values[0]) && sameCookie(values[0], values[len(values)-1]) {
				values = values[1:]
			}
		}
		if err := d.checkHeader(values, at, header); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	mediaType := answer.mediaType()
	if _, ok := described.Content[mediaType]; !ok {
		return fmt.Errorf("the media type %q is not described", mediaType)
	}
	switch {
	case request.Method == http.MethodHead:
		return nil
	case mediaType == "text/html":
		if request.Method != http.MethodGet {
			return errors.New("is a page, but the request is no navigation")
		}
		return nil
	}
	body, err := jsonschema.UnmarshalJSON(strings.NewReader(answer.body))
	if err != nil {
		return err
	}
	return d.validate(pointer+"/content/"+escapePointer(mediaType)+"/schema", body)
}

// dropsFlow reports whether a Set-Cookie takes a sign-in away that somebody has left undone. There
// can be any number of those beside the cookie that an answer is about.
func dropsFlow(value string) bool {
	name, rest, _ := strings.Cut(value, "=")
	return strings.Contains(name, "_flow_") && strings.HasPrefix(rest, ";") && strings.Contains(rest, "Max-Age=0")
}

func clears(value string) bool { return strings.Contains(value, "; Max-Age=0") }

func sameCookie(a, b string) bool {
	nameA, _, _ := strings.Cut(a, "=")
	nameB, _, _ := strings.Cut(b, "=")
	return nameA == nameB
}

// accompanies reports whether a Set-Cookie is of a cookie beside the browser's: the one that
// changes with the active session, and those that say what a host has seen of the browser.
func accompanies(value string) bool {
	name, _, _ := strings.Cut(value, "=")
	return strings.HasSuffix(name, "_view") || strings.HasSuffix(name, "_confirmed") || strings.HasSuffix(name, "_started") || strings.HasSuffix(name, "_run")
}

// checkShared is for an answer that operations have in common.
func (d *description) checkShared(request *http.Request, answer reply, name string) error {
	return d.checkAnswer(request, answer, "/components/responses/"+name, d.Components.Responses[name])
}

func (d *description) checkHeader(values []string, pointer string, header describedHeader) error {
	switch {
	case len(values) == 0 && header.Required:
		return errors.New("is absent")
	case len(values) == 0:
		return nil
	case len(values) > 1:
		return fmt.Errorf("is there %d times", len(values))
	}
	var value any = values[0]
	if header.Schema.Type == "integer" {
		value = json.Number(values[0])
		if _, err := strconv.Atoi(values[0]); err != nil {
			return fmt.Errorf("%q is no number", values[0])
		}
	}
	return d.validate(pointer+"/schema", value)
}

// validate holds a value against the schema at a place in the document.
func (d *description) validate(pointer string, value any) error {
	schema, err := d.schema(pointer)
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// schema compiles a schema at its first use. Tests run side by side.
func (d *description) schema(pointer string) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if schema, ok := d.schemas[pointer]; ok {
		return schema, nil
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", d.document); err != nil {
		return nil, err
	}
	schema, err := compiler.Compile("openapi.json#" + pointer)
	if err == nil {
		d.schemas[pointer] = schema
	}
	return schema, err
}

// escapePointer makes a token of a JSON pointer (RFC 6901, section 3).
func escapePointer(token string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
}

// mediaType is the answer's, without parameters.
func (r reply) mediaType() string {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return mediaType
}

// conforms fails the test if an answer of the JSON API is not what its description says. Every
// answer that a browser of these tests gets goes through it.
func (b *browser) conforms(request *http.Request, answer reply) {
	b.t.Helper()
	path, ok := strings.CutPrefix(request.URL.Path, b.portal)
	if !ok || b.portal == "" {
		return
	}
	d, err := describedAPI()
	if err != nil {
		b.t.Errorf("the API's description: %v", err)
		return
	}
	if err := d.check(request, path, answer); err != nil {
		b.t.Errorf("%s %s is answered otherwise than described: %v\n%s %v\n%s", request.Method, request.URL, err, answer.Status, answer.Header, answer.body)
	}
}

// TestOpenAPIDocument holds the description itself against what OpenAPI 3.1 says a description is.
func TestOpenAPIDocument(t *testing.T) {
	data, err := os.ReadFile(descriptionFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("structure", func(t *testing.T) {
		rules, err := jsonschema.UnmarshalJSON(strings.NewReader(datamodel.OpenAPI31SchemaData))
		if err != nil {
			t.Fatal(err)
		}
		compiler := jsonschema.NewCompiler()
		if err := compiler.AddResource("openapi-3.1.json", rules); err != nil {
			t.Fatal(err)
		}
		schema, err := compiler.Compile("openapi-3.1.json")
		if err != nil {
			t.Fatal(err)
		}
		document := func() any {
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
		if err := schema.Validate(document()); err != nil {
			t.Error(err)
		}
		spoiled := document().(map[string]any)
		spoiled["path"] = spoiled["paths"]
		if schema.Validate(spoiled) == nil {
			t.Error("a misspelt member is not found")
		}
	})
	t.Run("references", func(t *testing.T) {
		document, err := libopenapi.NewDocument(data)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := document.BuildV3Model(); err != nil {
			t.Error(err)
		}
		broken, err := libopenapi.NewDocument(bytes.Replace(data, []byte("#/components/schemas/User"), []byte("#/components/schemas/Nobody"), 1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := broken.BuildV3Model(); err == nil {
			t.Error("a broken reference is not found")
		}
	})
	t.Run("schemas", func(t *testing.T) {
		d, err := describedAPI()
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		eachSchema(d.document, "", func(pointer string) {
			found++
			if _, err := d.schema(pointer); err != nil {
				t.Errorf("%s: %v", pointer, err)
			}
		})
		if found < 50 {
			t.Errorf("found only %d schemas", found)
		}
	})
}

// eachSchema visits every schema that is the member "schema" of something, or a component.
func eachSchema(value any, pointer string, visit func(pointer string)) {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			at := pointer + "/" + escapePointer(name)
			if name == "schema" || pointer == "/components/schemas" {
				visit(at)
				continue
			}
			eachSchema(value[name], at, visit)
		}
	case []any:
		for i, element := range value {
			eachSchema(element, pointer+"/"+strconv.Itoa(i), visit)
		}
	}
}

// TestOpenAPIRefusesWrongAnswers has answers that differ from the description in one thing each,
// for a check that lets everything pass would be no check.
func TestOpenAPIRefusesWrongAnswers(t *testing.T) {
	d, err := describedAPI()
	if err != nil {
		t.Fatal(err)
	}
	const (
		user    = `{"id":"password:alice","name":"Alice","email":"","emailVerified":false,"image":null,"createdAt":"2026-11-23T11:38:47.288Z","updatedAt":"2026-11-23T11:38:47.288Z"}`
		session = `{"id":"i","token":"t","userId":"password:alice","expiresAt":"2026-11-23T11:38:47.288Z","createdAt":"2026-11-23T11:38:47.288Z","updatedAt":"2026-11-23T11:38:47.288Z","ipAddress":null,"userAgent":"x"}`
		entry   = `{"session":` + session + `,"user":` + user + `}`
	)
	instead := func(old, new string) string {
		if strings.Count(entry, old) == 0 {
			t.Fatalf("%s is not in %s", old, entry)
		}
		return strings.Replace(entry, old, new, 1)
	}
	tests := map[string]struct {
		method, path string
		status       int
		body         string
		header       []string // beside Content-Type and Cache-Control, or in place of them; "" leaves one out
		right        bool
	}{
		"nobody":                    {"GET", "get-session", 200, `null`, nil, true},
		"somebody":                  {"GET", "get-session", 200, entry, nil, true},
		"a HEAD":                    {"HEAD", "get-session", 200, ``, nil, true},
		"list":                      {"GET", "multi-session/list-device-sessions", 200, `[` + entry + `]`, nil, true},
		"signed in":                 {"POST", "sign-in/email", 200, `{"redirect":false,"token":"t","user":` + user + `}`, []string{"Set-Cookie", "x=y"}, true},
		"signed in, with callback":  {"POST", "sign-in/email", 200, `{"redirect":true,"url":"/x","token":"t","user":` + user + `}`, []string{"Set-Cookie", "x=y", "Location", "/x"}, true},
		"error":                     {"POST", "sign-in/email", 401, `{"code":"INVALID_EMAIL_OR_PASSWORD","message":"x"}`, nil, true},
		"throttled":                 {"POST", "sign-in/email", 429, `{"message":"x"}`, []string{"Retry-After", "7", "X-Retry-After", "7"}, true},
		"no method":                 {"PUT", "revoke-sessions", 405, `{"code":"METHOD_NOT_ALLOWED","message":"x"}`, []string{"Allow", "POST"}, true},
		"a method in lower case":    {"get", "get-session", 405, `{"code":"METHOD_NOT_ALLOWED","message":"x"}`, []string{"Allow", "GET, HEAD"}, true},
		"not there":                 {"GET", "nothing", 404, `{"code":"NOT_FOUND","message":"x"}`, nil, true},
		"a page of nobody's":        {"GET", "nothing", 200, `x`, nil, true},
		"a preflight":               {"OPTIONS", "sign-out", 204, ``, nil, true},
		"unavailable, as a page":    {"GET", "get-session", 503, `x`, []string{"Content-Type", "text/html; charset=utf-8", "Retry-After", "5", "X-Retry-After", "5"}, true},
		"a surplus member":          {"GET", "get-session", 200, instead(`"session":`, `"x":1,"session":`), nil, false},
		"a surplus member of user":  {"GET", "get-session", 200, instead(`"image":null`, `"image":null,"groups":[]`), nil, false},
		"a surplus one of session":  {"GET", "get-session", 200, instead(`"token":"t"`, `"token":"t","jar":"x"`), nil, false},
		"a missing member":          {"GET", "get-session", 200, instead(`"image":null,`, ``), nil, false},
		"a null that is none":       {"GET", "get-session", 200, instead(`"email":""`, `"email":null`), nil, false},
		"another type":              {"GET", "get-session", 200, instead(`"emailVerified":false`, `"emailVerified":"false"`), nil, false},
		"two digits of a second":    {"GET", "get-session", 200, instead(`.288Z`, `.28Z`), nil, false},
		"nine digits of a second":   {"GET", "get-session", 200, instead(`.288Z`, `.288000000Z`), nil, false},
		"another time zone":         {"GET", "get-session", 200, instead(`.288Z`, `.288+01:00`), nil, false},
		"a day that is none":        {"GET", "get-session", 200, instead(`2026-11-23`, `2026-02-30`), nil, false},
		"an empty object":           {"GET", "get-session", 200, `{}`, nil, false},
		"no JSON":                   {"GET", "get-session", 200, `null null`, nil, false},
		"no list":                   {"GET", "multi-session/list-device-sessions", 200, `null`, nil, false},
		"a list with a stranger":    {"GET", "multi-session/list-device-sessions", 200, `[` + entry + `,{}]`, nil, false},
		"a redirect to nowhere":     {"POST", "sign-in/email", 200, `{"redirect":true,"token":"t","user":` + user + `}`, nil, false},
		"no redirect, but a place":  {"POST", "sign-in/email", 200, `{"redirect":false,"url":"/x","token":"t","user":` + user + `}`, nil, false},
		"a status of true only":     {"POST", "multi-session/revoke", 200, `{"status":false}`, nil, false},
		"another's code":            {"POST", "sign-in/email", 401, `{"code":"INVALID_USERNAME_OR_PASSWORD","message":"x"}`, nil, false},
		"a code under other status": {"POST", "sign-in/email", 400, `{"code":"INVALID_EMAIL_OR_PASSWORD","message":"x"}`, nil, false},
		"an error without a code":   {"POST", "sign-in/email", 401, `{"message":"x"}`, nil, false},
		"an error that says more":   {"POST", "sign-in/email", 401, `{"code":"INVALID_EMAIL_OR_PASSWORD","message":"x","user":"alice"}`, nil, false},
		"a status not described":    {"POST", "sign-out", 401, `{"code":"UNAUTHORIZED","message":"x"}`, nil, false},
		"created":                   {"POST", "sign-in/email", 201, `{"redirect":false,"token":"t","user":` + user + `}`, nil, false},
		"a failure":                 {"GET", "get-session", 500, `{"code":"X","message":"x"}`, nil, false},
		"throttled, for how long":   {"POST", "sign-in/email", 429, `{"message":"x"}`, []string{"Retry-After", "7"}, false},
		"throttled for no time":     {"POST", "sign-in/email", 429, `{"message":"x"}`, []string{"Retry-After", "0", "X-Retry-After", "0"}, false},
		"throttled until":           {"POST", "sign-in/email", 429, `{"message":"x"}`, []string{"Retry-After", "Mon, 23 Nov 2026 11:38:47 GMT", "X-Retry-After", "7"}, false},
		"to be kept":                {"GET", "get-session", 200, `null`, []string{"Cache-Control", "private"}, false},
		"to be kept, maybe":         {"GET", "get-session", 200, `null`, []string{"Cache-Control", ""}, false},
		"a cookie of a reader":      {"GET", "get-session", 200, `null`, []string{"Set-Cookie", "x=y"}, false},
		"a cookie of an error":      {"POST", "sign-in/email", 401, `{"code":"INVALID_EMAIL_OR_PASSWORD","message":"x"}`, []string{"Set-Cookie", "x=y"}, false},
		"two cookies":               {"POST", "sign-out", 200, `{"success":true}`, []string{"Set-Cookie", "x=y", "Set-Cookie", "z=y"}, false},
		"another media type":        {"GET", "get-session", 200, `null`, []string{"Content-Type", "text/plain"}, false},
		"a page to a program":       {"POST", "sign-out", 503, `x`, []string{"Content-Type", "text/html", "Retry-After", "5", "X-Retry-After", "5"}, false},
		"a page in place of JSON":   {"GET", "get-session", 200, `x`, []string{"Content-Type", "text/html"}, false},
		"a method that is not":      {"PUT", "revoke-sessions", 200, `{"status":true}`, nil, false},
		"a method too many":         {"PUT", "revoke-sessions", 405, `{"code":"METHOD_NOT_ALLOWED","message":"x"}`, []string{"Allow", "POST, PUT"}, false},
		"a HEAD too few":            {"PUT", "get-session", 405, `{"code":"METHOD_NOT_ALLOWED","message":"x"}`, []string{"Allow", "GET"}, false},
		"not there, for a reason":   {"GET", "nothing", 404, `{"code":"GONE","message":"x"}`, nil, false},
		"a preflight with a body":   {"OPTIONS", "sign-out", 204, `x`, nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			request, err := http.NewRequest(test.method, "http://127.0.0.1/"+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			header := http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}}
			for pair := range slices.Chunk(test.header, 2) {
				if pair[0] == "Content-Type" || pair[0] == "Cache-Control" {
					header.Del(pair[0])
				}
				if pair[1] != "" {
					header.Add(pair[0], pair[1])
				}
			}
			answer := reply{&http.Response{StatusCode: test.status, Header: header}, test.body}
			if err := d.check(request, "/"+test.path, answer); (err == nil) != test.right {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOpenAPIIsServed has the description where clients look for it, at whatever prefix.
func TestOpenAPIIsServed(t *testing.T) {
	up := newEcho(t)
	want, err := os.ReadFile(descriptionFile)
	if err != nil {
		t.Fatal(err)
	}
	for prefix, option := range map[string]string{"/.auth": "", "/sso/here": "path /sso/here"} {
		address := freeAddress(t)
		startGateway(t, site(address, up.address(), option, "multi_session"))
		b := newBrowser(t, "http://"+address)
		b.portal = prefix
		answer := b.get(prefix + "/openapi.json")
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %s %v", prefix, answer.Status, answer.Header)
		}
		// The address in it is all that is not as it stands in the tree, and leads to the API.
		var served struct{ Servers []struct{ URL string } }
		answer.json(t, &served)
		if len(served.Servers) != 1 || served.Servers[0].URL != prefix {
			t.Fatalf("%s: servers are %v", prefix, served.Servers)
		}
		if strings.Replace(answer.body, `"`+prefix+`"`, `"/.auth"`, 1) != string(want) {
			t.Errorf("%s: is not what stands in the tree", prefix)
		}
		if session := b.get(served.Servers[0].URL + "/get-session"); session.body != "null" {
			t.Errorf("%s: %s %s", prefix, session.Status, session.body)
		}
		head := b.must(b.request(http.MethodHead, prefix+"/openapi.json", nil))
		if head.StatusCode != http.StatusOK || head.body != "" {
			t.Errorf("%s: HEAD: %s %q", prefix, head.Status, head.body)
		}
		post := b.must(b.request(http.MethodPost, prefix+"/openapi.json", nil))
		if post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: POST: %s", prefix, post.Status)
		}
	}
	if n := up.requests.Load(); n != 0 {
		t.Errorf("the upstream saw %d requests", n)
	}
}
