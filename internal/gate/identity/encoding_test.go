package identity

import (
	"io"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// decoders read values as apps do.
var decoders = map[string]func(string) (string, error){
	"utf-8":   func(text string) (string, error) { return text, nil },
	"rfc2047": new(mime.WordDecoder).DecodeHeader,
	"percent": url.PathUnescape,
	"quoted-printable": func(text string) (string, error) {
		read, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(text)))
		return string(read), err
	},
}

func TestEncodings(t *testing.T) {
	for _, c := range []struct{ encoding, text, want string }{
		{"utf-8", "Zoë 张三", "Zoë 张三"},
		{"rfc2047", "Zoe Miller", "Zoe Miller"},
		{"rfc2047", "Zoë", "=?UTF-8?B?Wm/Dqw==?="},
		{"rfc2047", "=?UTF-8?Q?admin?=", "=?UTF-8?B?PT9VVEYtOD9RP2FkbWluPz0=?="},
		{"rfc2047", strings.Repeat("é", 30), "=?UTF-8?B?w6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6nDqcOpw6k=?= =?UTF-8?B?w6nDqcOpw6nDqcOpw6nDqQ==?="},
		{"percent", "Zoë 100%", "Zo%C3%AB 100%25"},
		{"percent", "%61dmin", "%2561dmin"},
		{"percent", "Zoë\nadmin", ""},
		{"quoted-printable", "Zoë = 张", "Zo=C3=AB =3D =E5=BC=A0"},
	} {
		e, err := ParseEncoding(c.encoding)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.encode(c.text); got != c.want {
			t.Errorf("%s: %q is sent as %q, want %q", c.encoding, c.text, got, c.want)
		}
	}
	for _, name := range []string{"", "latin-1", "UTF-8"} {
		if _, err := ParseEncoding(name); err == nil {
			t.Errorf("there is an encoding %q", name)
		}
	}
}

// TestGroupsAreEncodedOneByOne keeps the commas between groups, by which apps split them.
func TestGroupsAreEncodedOneByOne(t *testing.T) {
	fields, err := Preset("remote")
	if err != nil {
		t.Fatal(err)
	}
	id := alice()
	id.Groups = []string{"Größen", "staff", "张"}
	for name, want := range map[string]string{
		"utf-8":            "Größen,staff,张",
		"rfc2047":          "=?UTF-8?B?R3LDtsOfZW4=?=,staff,=?UTF-8?B?5byg?=",
		"percent":          "Gr%C3%B6%C3%9Fen,staff,%E5%BC%A0",
		"quoted-printable": "Gr=C3=B6=C3=9Fen,staff,=E5=BC=A0",
	} {
		e, err := ParseEncoding(name)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		SetIdentity(h, fields, id, e)
		if got := h.Get("Remote-Groups"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func FuzzEncodings(f *testing.F) {
	for _, seed := range []string{"Zoë 张三", "=?utf-8?q?x?=", "100%", "a=b", strings.Repeat("é", 100), strings.Repeat("x", 44) + "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || !sendable(text) {
			return
		}
		for _, e := range encodings {
			sent := e.encode(text)
			if !httpguts.ValidHeaderFieldValue(sent) || e.name != "utf-8" && strings.ContainsFunc(sent, func(c rune) bool { return c >= 0x80 }) {
				t.Fatalf("%s sends %q as %q", e.name, text, sent)
			}
			if read, err := decoders[e.name](sent); err != nil || read != text {
				t.Fatalf("%s sends %q as %q, which is read as %q, %v", e.name, text, sent, read, err)
			}
		}
	})
}
