package caddymodule

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	markdown "github.com/yuin/goldmark/ast"
	table "github.com/yuin/goldmark/extension/ast"
)

// TestDocumentOptions holds docs/caddyfile.md against the parsers. For each parser there is a section
// that describes every option which the parser knows, in a table or with a heading, and shows it in
// an example.
func TestDocumentOptions(t *testing.T) {
	d, ok := readDocuments(t)["docs/caddyfile.md"]
	if !ok {
		t.Fatal("there is no docs/caddyfile.md")
	}
	sections := d.sections()
	parsers := parsedOptions(t)
	if len(parsers) < 10 {
		t.Fatalf("only found the parsers %v", parsers)
	}
	for name, options := range parsers {
		var best []string // what the best section lacks
		for i, s := range sections {
			if lacks := s.lacks(options); i == 0 || len(lacks) < len(best) {
				best = lacks
			}
		}
		if len(best) > 0 {
			t.Errorf("the options of %s: no section has them all: %s", name, strings.Join(best, ", "))
		}
	}
}

// section is a heading of a document with all that is below it.
type section struct {
	described []string // options in the first column of tables, and in headings
	shown     []string // options in the examples
}

// lacks returns what is missing of the options.
func (s section) lacks(options []string) (missing []string) {
	for _, option := range options {
		if !slices.Contains(s.described, option) {
			missing = append(missing, option+" is not described")
		}
		if !slices.Contains(s.shown, option) {
			missing = append(missing, option+" is in no example")
		}
	}
	return missing
}

var (
	codeSpan  = regexp.MustCompile("`([a-z_0-9]+)[^`]*`")
	firstWord = regexp.MustCompile(`(?m)^\s*([a-z_0-9]+)`)
)

// sections returns the sections below the title. A section has what its subsections have.
func (d document) sections() (all []*section) {
	open := make(map[int]*section) // by level
	add := func(described, shown []string) {
		for _, s := range open {
			s.described = append(s.described, described...)
			s.shown = append(s.shown, shown...)
		}
	}
	names := func(pattern *regexp.Regexp, text string) (words []string) {
		for _, match := range pattern.FindAllStringSubmatch(text, -1) {
			words = append(words, match[1])
		}
		return words
	}
	d.walk(func(n markdown.Node) {
		switch n := n.(type) {
		case *markdown.Heading:
			for level := range open {
				if level >= n.Level {
					delete(open, level)
				}
			}
			if n.Level > 1 {
				s := new(section)
				all = append(all, s)
				open[n.Level] = s
			}
			add(strings.Fields(d.plain(n)), nil)
		case *table.TableRow:
			first := n.FirstChild()
			for span := first.FirstChild(); span != nil; span = span.NextSibling() {
				add(names(codeSpan, "`"+d.plain(span)+"`"), nil)
			}
		case *markdown.FencedCodeBlock:
			if string(n.Language(d.source)) == "caddyfile" {
				add(nil, names(firstWord, string(n.Lines().Value(d.source))))
			}
		}
	})
	return all
}

// parsedOptions returns the options that each function of the Caddyfile's parsers knows: the words
// that it compares the value of a token with.
func parsedOptions(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("caddyfile*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no parsers: %v", err)
	}
	parsers := make(map[string][]string)
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if options := comparedWords(function); len(options) > 0 {
				parsers[receiver(function)+function.Name.Name] = options
			}
		}
	}
	return parsers
}

// comparedWords returns the words of switch b.Val() { case "word": }, of
// switch name := b.Val(); { case name == "word": }, and of b.Val() != "word".
func comparedWords(function *ast.FuncDecl) (words []string) {
	add := func(e ast.Expr) {
		if literal, ok := e.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if word, err := strconv.Unquote(literal.Value); err == nil && word != "{" {
				words = append(words, word)
			}
		}
	}
	ast.Inspect(function, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if isVal(n.X) {
				add(n.Y)
			}
		case *ast.SwitchStmt:
			assign, _ := n.Init.(*ast.AssignStmt)
			named := n.Tag == nil && assign != nil && len(assign.Rhs) == 1 && isVal(assign.Rhs[0])
			if !named && !isVal(n.Tag) {
				return true
			}
			for _, clause := range n.Body.List {
				for _, value := range clause.(*ast.CaseClause).List {
					add(value)
					ast.Inspect(value, func(n ast.Node) bool {
						if comparison, ok := n.(*ast.BinaryExpr); ok && comparison.Op == token.EQL {
							add(comparison.Y)
						}
						return true
					})
				}
			}
		}
		return true
	})
	return words
}

// isVal reports whether the expression is a call of the method Val.
func isVal(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	return ok && method.Sel.Name == "Val" && len(call.Args) == 0
}

// receiver returns the name of the method's type and a dot, or nothing for a function.
func receiver(function *ast.FuncDecl) string {
	if function.Recv == nil {
		return ""
	}
	kind := function.Recv.List[0].Type
	if pointer, ok := kind.(*ast.StarExpr); ok {
		kind = pointer.X
	}
	if name, ok := kind.(*ast.Ident); ok {
		return name.Name + "."
	}
	return ""
}
