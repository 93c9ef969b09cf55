package portal

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// described is the part of an OpenAPI description that these tests read.
type described struct {
	OpenAPI    string
	Servers    []struct{ URL string }
	Paths      map[string]map[string]struct{ Responses map[string]describedResponse }
	Components struct{ Responses map[string]describedResponse }
}

type describedResponse struct {
	Content map[string]struct {
		Schema struct {
			Properties struct{ Code struct{ Enum []string } }
		}
	}
}

func describedAPI(t *testing.T, document []byte) described {
	t.Helper()
	var d described
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// codes returns all codes in the description.
func (d described) codes() []string {
	var codes []string
	add := func(responses map[string]describedResponse) {
		for _, response := range responses {
			codes = append(codes, response.Content["application/json"].Schema.Properties.Code.Enum...)
		}
	}
	add(d.Components.Responses)
	for _, operations := range d.Paths {
		for _, operation := range operations {
			add(operation.Responses)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

func TestOpenAPIIsServed(t *testing.T) {
	for _, prefix := range []string{"/.auth", "/sso", "/a/b.c~d_e-f"} {
		t.Run(prefix, func(t *testing.T) {
			p, err := New(Config{Prefix: prefix, Manager: new(session.Manager), Logins: new(login.Methods), Now: time.Now, Log: zap.NewNop()})
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			p.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://app.example.com"+prefix+"/openapi.json", nil), Visitor{Scheme: "https", Host: "app.example.com"})
			checkHeaders(t, w)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
				t.Fatalf("%d %v", w.Code, w.Header())
			}
			d := describedAPI(t, w.Body.Bytes())
			if d.OpenAPI != "3.1.0" || len(d.Servers) != 1 || d.Servers[0].URL != prefix {
				t.Errorf("OpenAPI %s at %v", d.OpenAPI, d.Servers)
			}
			// Everything else is as in the embedded file.
			if back := strings.Replace(w.Body.String(), `"url": "`+prefix+`"`, openAPIServer, 1); back != string(openAPI) {
				t.Error("more than the prefix was changed")
			}
		})
	}
}

func TestOpenAPIIsForTrustedOriginsOnly(t *testing.T) {
	b := sharing(t)
	wantShared(t, b.get("/.auth/openapi.json", "Origin", trustedOrigin, "Sec-Fetch-Mode", "cors"), trustedOrigin)
	wantUnshared(t, b.get("/.auth/openapi.json", "Origin", "https://evil.example", "Sec-Fetch-Mode", "cors"))
}

// operations returns all paths of the API with their methods, from the table of routes. It leaves
// out HEAD, which the description allows wherever there is GET.
func (p *Portal) operations() []string {
	var operations []string
	for path, route := range p.routes {
		if route.page || route.asset || route.provider {
			continue
		}
		for method := range route.methods() {
			if method != http.MethodHead {
				operations = append(operations, method+" "+path)
			}
		}
	}
	slices.Sort(operations)
	return operations
}

func (d described) operations() []string {
	var operations []string
	for path, methods := range d.Paths {
		for method := range methods {
			operations = append(operations, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(operations)
	return operations
}

func TestOpenAPIDescribesEveryRouteAndNoOther(t *testing.T) {
	described, there := describedAPI(t, openAPI).operations(), newGateway(t).operations()
	for _, operation := range there {
		if !slices.Contains(described, operation) {
			t.Errorf("%s is not described", operation)
		}
	}
	for _, operation := range described {
		if !slices.Contains(there, operation) {
			t.Errorf("%s is described and not there", operation)
		}
	}
}

// declaredCodes returns all codes that this package's source gives to problems.
func declaredCodes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := make(map[string]bool)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			pair, ok := node.(*ast.KeyValueExpr)
			if !ok {
				return true
			}
			key, isName := pair.Key.(*ast.Ident)
			value, isLiteral := pair.Value.(*ast.BasicLit)
			if isName && key.Name == "code" && isLiteral {
				code, err := strconv.Unquote(value.Value)
				if err != nil {
					t.Fatal(err)
				}
				codes[code] = true
			}
			return true
		})
	}
	return slices.Sorted(maps.Keys(codes))
}

// otherCodes are codes that no route of the API answers with.
var otherCodes = []string{
	"ACCOUNT_CHANGED",   // of the pages
	"AMBIGUOUS_PATH",    // of the gate
	"FORBIDDEN",         // of the gate
	"INVALID_CODE",      // of the way back from a provider
	"INVALID_RETURN_TO", // of the pages
	"NOT_ALLOWED",       // of the way back from a provider
	"NOT_FETCHED_AHEAD", // of the gate
	"PROVIDER_ERROR",    // of the way back from a provider
	"SESSION_CHANGED",   // of the gate
	"STATE_MISMATCH",    // of the way back from a provider
	"TOO_EARLY",         // of the gate
	"USER_NAME_TAKEN",   // of the way back from a provider
}

func TestOpenAPIHasEveryCodeAndNoOther(t *testing.T) {
	described, declared := describedAPI(t, openAPI).codes(), declaredCodes(t)
	if len(declared) < 20 {
		t.Fatalf("found only %v in the source", declared)
	}
	for _, code := range declared {
		if slices.Contains(described, code) == slices.Contains(otherCodes, code) {
			t.Errorf("%s: described is %v", code, slices.Contains(described, code))
		}
	}
	for _, code := range described {
		if !slices.Contains(declared, code) {
			t.Errorf("%s is described, and nothing answers with it", code)
		}
	}
	for _, code := range otherCodes {
		if !slices.Contains(declared, code) {
			t.Errorf("%s is no code any more", code)
		}
	}
}
