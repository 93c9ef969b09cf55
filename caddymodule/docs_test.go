package caddymodule

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// root is the repository.
const root = ".."

// document is a Markdown file of the repository.
type document struct {
	path   string // below root, with slashes
	source []byte
	tree   ast.Node
}

// readDocuments reads every Markdown file of the repository.
func readDocuments(t *testing.T) map[string]document {
	t.Helper()
	markdown := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser()
	documents := make(map[string]document)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		documents[relative] = document{relative, source, markdown.Parse(text.NewReader(source))}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) < 2 {
		t.Fatalf("found the documents %v", documents)
	}
	return documents
}

// walk calls visit for each node of the document, in its order.
func (d document) walk(visit func(ast.Node)) {
	_ = ast.Walk(d.tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			visit(n)
		}
		return ast.WalkContinue, nil
	})
}

// line returns the number of the line that the node begins at.
func (d document) line(n ast.Node) int {
	for ; n != nil; n = n.Parent() {
		if n.Type() == ast.TypeBlock && n.Lines().Len() > 0 {
			return 1 + strings.Count(string(d.source[:n.Lines().At(0).Start]), "\n")
		}
	}
	return 1
}

// plain returns the text of the node without markup.
func (d document) plain(n ast.Node) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Segment.Value(d.source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

// anchor returns the anchor that GitHub gives to a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '_', r == '-':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, heading)
}

// anchors returns the anchors of all headings.
func (d document) anchors() []string {
	var all []string
	d.walk(func(n ast.Node) {
		if heading, ok := n.(*ast.Heading); ok {
			all = append(all, anchor(d.plain(heading)))
		}
	})
	return all
}

// caddyfiles returns the Caddyfile blocks of the node: info strings and text.
func (d document) caddyfiles(n ast.Node) (blocks []*ast.FencedCodeBlock) {
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if block, ok := n.(*ast.FencedCodeBlock); ok && entering && string(block.Language(d.source)) == "caddyfile" {
			blocks = append(blocks, block)
		}
		return ast.WalkContinue, nil
	})
	return blocks
}

// TestDocumentLinks follows every relative link of every document: the file is there, and the
// heading.
func TestDocumentLinks(t *testing.T) {
	documents := readDocuments(t)
	for _, d := range documents {
		for _, name := range d.anchors() {
			if n := len(slices.DeleteFunc(d.anchors(), func(other string) bool { return other != name })); n > 1 {
				t.Errorf("%s: %d headings have the anchor #%s", d.path, n, name)
			}
		}
		d.walk(func(n ast.Node) {
			var destination string
			switch n := n.(type) {
			case *ast.Link:
				destination = string(n.Destination)
			case *ast.Image:
				destination = string(n.Destination)
			default:
				return
			}
			target, err := url.Parse(destination)
			if err != nil {
				t.Errorf("%s:%d: link %q: %v", d.path, d.line(n), destination, err)
				return
			}
			if target.IsAbs() {
				return
			}
			path := d.path
			if target.Path != "" {
				path = filepath.ToSlash(filepath.Join(filepath.Dir(d.path), target.Path))
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s:%d: link %q: %v", d.path, d.line(n), destination, err)
				return
			}
			if target.Fragment == "" {
				return
			}
			if linked, ok := documents[path]; !ok || !slices.Contains(linked.anchors(), target.Fragment) {
				t.Errorf("%s:%d: link %q: %s has no such heading", d.path, d.line(n), destination, path)
			}
		})
	}
}

var (
	environment = regexp.MustCompile(`\{env\.([A-Z_]+)\}`)
	secretFile  = regexp.MustCompile(`\{file\.[^}]+\}`)
)

// cheapHash is the hash of a password, which takes no time to check.
const cheapHash = "$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK"

// TestDocumentCaddyfiles loads every Caddyfile block of every document, without starting it. The info
// string of a block says where it belongs.
func TestDocumentCaddyfiles(t *testing.T) {
	found := 0
	files := exampleFiles(t)
	for _, d := range readDocuments(t) {
		for _, block := range d.caddyfiles(d.tree) {
			found++
			caddyfile := string(block.Lines().Value(d.source))
			// Most parts say nothing of logins, but a gateway needs one.
			const login = "login password {\n\tuser alice " + cheapHash + "\n}\n"
			switch info := string(block.Info.Value(d.source)); info {
			case "caddyfile":
			case "caddyfile site":
				caddyfile = "{\n multi_session {\n" + login + "}\n}\napp.example.com {\n" + caddyfile + "}\n"
			case "caddyfile global":
				if !strings.Contains("\n"+caddyfile, "\nlogin ") {
					caddyfile = login + caddyfile
				}
				caddyfile = "{\n multi_session {\n" + caddyfile + "}\n}\napp.example.com {\n multi_session\n}\n"
			default:
				t.Errorf("%s:%d: block %q: must be caddyfile (a whole file), caddyfile site (a part of a site), "+
					"or caddyfile global (a part of the global option)", d.path, d.line(block), info)
				continue
			}
			for _, name := range environment.FindAllStringSubmatch(caddyfile, -1) {
				t.Setenv(name[1], "0123456789abcdef0123456789abcdef")
			}
			caddyfile = strings.ReplaceAll(caddyfile, "$2a$14$...", cheapHash)
			caddyfile = secretFile.ReplaceAllLiteralString(caddyfile, cheapHash)
			for name, path := range files {
				caddyfile = strings.ReplaceAll(caddyfile, name, path)
			}
			if err := validateCaddyfile(t, caddyfile); err != nil {
				t.Errorf("%s:%d: %v\n%s", d.path, d.line(block), err, caddyfile)
			}
		}
	}
	if found == 0 {
		t.Error("the documents have no Caddyfile")
	}
}

// validateCaddyfile does what caddy validate does.
func validateCaddyfile(t *testing.T, caddyfile string) error {
	t.Helper()
	adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		return err
	}
	config := new(caddy.Config)
	if err := caddy.StrictUnmarshalJSON(adapted, config); err != nil {
		return err
	}
	return caddy.Validate(config)
}
