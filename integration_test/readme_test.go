package integration

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var fenced = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")

// TestReadme holds every Caddyfile of the README against the binary.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := fenced.FindAllStringSubmatch(string(readme), -1)
	if len(examples) == 0 {
		t.Fatal("the README has no Caddyfile")
	}
	g := newGateway(t)
	for _, example := range examples {
		caddyfile := example[1]
		if !strings.HasPrefix(caddyfile, "{") {
			// A part of a site.
			caddyfile = "{\n\tmulti_session {\n\t\tlogin password\n\t}\n}\nlocalhost {\n" + caddyfile + "}\n"
		}
		caddyfile = strings.Replace(caddyfile, `"$2a$14$..."`, `"$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK"`, 1)
		out, err := g.command("validate", "--config", g.write(caddyfile), "--adapter", "caddyfile").CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s\n%s", err, caddyfile, out)
		}
	}
}
