package integration

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	fenced      = regexp.MustCompile("(?s)```caddyfile\n(.*?)```")
	environment = regexp.MustCompile(`\{env\.([A-Z_]+)\}`)
)

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
		switch {
		case strings.HasPrefix(caddyfile, "login "), strings.HasPrefix(caddyfile, "secret_key "):
			// A part of the global option.
			caddyfile = "{\n\tmulti_session {\n\t\tlogin password\n" + caddyfile + "\t}\n}\nlocalhost {\n\tmulti_session\n}\n"
		case !strings.HasPrefix(caddyfile, "{"):
			// A part of a site.
			caddyfile = "{\n\tmulti_session {\n\t\tlogin password\n\t}\n}\nlocalhost {\n" + caddyfile + "}\n"
		}
		caddyfile = strings.Replace(caddyfile, `"$2a$14$..."`, `"$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK"`, 1)
		validate := g.command("validate", "--config", g.write(caddyfile), "--adapter", "caddyfile")
		validate.Env = validate.Environ()
		for _, name := range environment.FindAllStringSubmatch(caddyfile, -1) {
			validate.Env = append(validate.Env, name[1]+"=0123456789abcdef0123456789abcdef")
		}
		out, err := validate.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s\n%s", err, caddyfile, out)
		}
	}
}
