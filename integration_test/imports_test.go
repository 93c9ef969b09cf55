package integration

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/caddy-multi-session/gateway"

// mayImport is which packages of this module and which libraries each room may import, beside the
// standard library. An entry that ends with a slash stands for what is below it too.
var mayImport = map[string][]string{
	"":                           {"caddymodule"},
	"cmd/caddy":                  {"caddymodule", "github.com/caddyserver/caddy/v2/"},
	"caddymodule":                {"internal/", "storage/", "github.com/caddyserver/caddy/v2/", "go.uber.org/zap/"},
	"internal/admin":             {"internal/login", "internal/login/password", "internal/session", "internal/strictjson", "internal/user", "storage", "go.uber.org/zap/"},
	"internal/cli":               {"internal/admin", "internal/session", "internal/user", "github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/term"},
	"internal/session":           {"internal/origin", "storage"},
	"internal/gateway":           {"internal/admin", "internal/cookie", "internal/gate", "internal/gate/identity", "internal/gate/stream", "internal/login", "internal/login/password", "internal/origin", "internal/portal", "internal/seal", "internal/session", "internal/tokens", "internal/user", "storage", "go.uber.org/zap/"},
	"internal/gate":              {"internal/cookie", "internal/gate/cache", "internal/gate/identity", "internal/gate/isolation", "internal/gate/stream", "internal/login", "internal/origin", "internal/session", "github.com/hashicorp/golang-lru/v2/simplelru", "go.uber.org/zap/"},
	"internal/gate/isolation":    {"internal/cookie", "internal/origin"},
	"internal/gate/cache":        {},
	"internal/cookie":            {"internal/origin", "internal/session"},
	"internal/gate/stream":       {"internal/session"},
	"internal/gate/identity":     {"internal/session", "golang.org/x/net/http/httpguts"},
	"internal/user":              {"internal/session", "storage", "golang.org/x/text/secure/precis", "golang.org/x/text/unicode/norm"},
	"internal/newfile":           {},
	"internal/origin":            {"golang.org/x/net/publicsuffix"},
	"internal/seal":              {"golang.org/x/crypto/chacha20poly1305"},
	"internal/login":             {"internal/session", "internal/user", "github.com/hashicorp/golang-lru/v2/simplelru"},
	"internal/login/claims":      {"internal/login", "internal/session", "internal/user"},
	"internal/login/oauth2":      {"internal/login", "internal/login/claims", "internal/login/oauthclient", "internal/session", "go.uber.org/zap/", "golang.org/x/oauth2"},
	"internal/login/oauthclient": {"internal/login", "internal/origin", "internal/strictjson", "github.com/go-jose/go-jose/v4", "golang.org/x/oauth2"},
	"internal/login/oidc":        {"internal/login", "internal/login/claims", "internal/login/oauthclient", "internal/origin", "internal/session", "internal/strictjson", "github.com/coreos/go-oidc/v3/oidc", "github.com/go-jose/go-jose/v4/", "github.com/hashicorp/golang-lru/v2/simplelru", "go.uber.org/zap/", "golang.org/x/oauth2", "golang.org/x/sync/singleflight", "golang.org/x/time/rate"},
	"internal/login/password":    {"internal/login", "internal/session", "internal/user", "github.com/trustelem/zxcvbn/frequency", "golang.org/x/crypto/", "golang.org/x/text/unicode/norm"},
	"internal/tokens":            {"internal/login", "internal/seal", "internal/session", "go.uber.org/zap/"},
	"internal/portal":            {"internal/session", "internal/login", "internal/cookie", "internal/origin", "internal/strictjson", "internal/tokens", "internal/seal", "internal/portal/page", "github.com/hashicorp/golang-lru/v2/simplelru", "github.com/medama-io/go-useragent/", "golang.org/x/net/http/httpguts", "golang.org/x/time/rate", "go.uber.org/zap/"},
	"internal/portal/page":       {},
	"internal/strictjson":        {},
	"storage":                    {},
	"storage/boltstore":          {"storage", "internal/newfile", "go.etcd.io/bbolt/", "go.uber.org/zap/", "golang.org/x/sys/"},
	"storage/storagetest":        {"storage"},
}

// TestImports holds the rooms apart: what is not in the table above is not imported.
func TestImports(t *testing.T) {
	list := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := 0
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		room := strings.TrimPrefix(strings.TrimPrefix(pkg.ImportPath, module), "/")
		allowed, known := mayImport[room]
		if !known {
			t.Errorf("%s: is not in the table of rooms", room)
			continue
		}
		seen++
		for _, path := range pkg.Imports {
			ours, inModule := strings.CutPrefix(path, module+"/")
			if !inModule && !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") {
				if path == "net/http" && !knowsHTTP(room) {
					t.Errorf("%s: must not know HTTP", room)
				}
				continue
			}
			if !slices.ContainsFunc(allowed, func(entry string) bool { return covers(entry, ours) }) {
				t.Errorf("%s: must not import %s", room, path)
			}
		}
	}
	if seen != len(mayImport) {
		t.Errorf("%d of %d rooms of the table exist", seen, len(mayImport))
	}
}

// knowsHTTP reports whether a room is one of those that deal with requests, or make them.
func knowsHTTP(room string) bool {
	switch room {
	case "internal/login/oauthclient", "internal/login/oauth2", "internal/login/oidc":
		return true
	}
	return !strings.HasPrefix(room, "storage") && !strings.HasPrefix(room, "internal/session") && !strings.HasPrefix(room, "internal/login")
}

// covers reports whether an entry of the table stands for a path.
func covers(entry, path string) bool {
	tree, ok := strings.CutSuffix(entry, "/")
	return path == tree || ok && strings.HasPrefix(path, entry)
}
