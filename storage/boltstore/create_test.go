package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestPublishWithoutLinks(t *testing.T) {
	noLinks := func(string, string) error { return errors.New("operation not supported") }
	for name, link := range map[string]func(string, string) error{"link": os.Link, "copy": noLinks} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			temp, path := filepath.Join(dir, "temp"), filepath.Join(dir, "test.db")
			content := func(want string) {
				t.Helper()
				if got, err := os.ReadFile(path); err != nil || string(got) != want {
					t.Errorf("there is %q, %v; want %q", got, err, want)
				}
			}
			for _, attempt := range []string{"first", "second"} {
				if err := os.WriteFile(temp, []byte(attempt), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := publish(temp, path, link); err != nil {
					t.Fatal(err)
				}
				content("first") // also when another process was quicker
				if err := os.Remove(temp); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
