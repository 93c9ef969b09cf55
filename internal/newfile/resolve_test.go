package newfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestResolve(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(at("real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("real/there"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"to-there":       "real/there",
		"to-missing":     "real/missing",
		"to-to-missing":  at("to-missing"),
		"to-directory":   "real",
		"to-nowhere":     "no/such/file",
		"to-itself":      "to-itself",
		"real/to-parent": "../to-missing",
	} {
		if err := os.Symlink(target, at(name)); err != nil {
			t.Skip(err)
		}
	}
	for name, want := range map[string]string{
		"real/there":           "real/there",
		"real/missing":         "real/missing",
		"to-there":             "real/there",
		"to-missing":           "real/missing",
		"to-to-missing":        "real/missing",
		"to-directory/missing": "real/missing",
		"to-nowhere":           "no/such/file",
		"real/to-parent":       "real/missing",
		"a/b/c":                "a/b/c",
	} {
		if got, err := Resolve(at(name)); err != nil || got != at(want) {
			t.Errorf("%s is %s, %v; want %s", name, got, err, at(want))
		}
	}
	if got, err := Resolve(at("to-itself")); err == nil {
		t.Errorf("a link to itself is %s", got)
	}
}
