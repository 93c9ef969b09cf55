package page

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	schemes = map[string]int{"light": 0, "dark": 1} // the order of the :root rules
	root    = regexp.MustCompile(`(?s):root \{(.*?)\}`)
	value   = regexp.MustCompile(`--([a-z-]+):\s*([^;]+);`)
	hue     = regexp.MustCompile(`\.hue-(\d+) \{ --hue: (\d+); \}`)
)

// values returns the custom properties of a scheme.
func values(t *testing.T, scheme string) map[string]string {
	t.Helper()
	rules := root.FindAllStringSubmatch(string(style), -1)
	if len(rules) != len(schemes) {
		t.Fatalf("%d :root rules", len(rules))
	}
	found := map[string]string{}
	for _, rule := range rules[:schemes[scheme]+1] {
		for _, v := range value.FindAllStringSubmatch(rule[1], -1) {
			found[v[1]] = v[2]
		}
	}
	return found
}

func TestTextContrast(t *testing.T) {
	const text, graphic = 4.5, 3 // WCAG 2.2, 1.4.3 and 1.4.11
	for scheme := range schemes {
		v := values(t, scheme)
		for _, c := range []struct {
			front, back string
			least       float64
		}{
			{"text", "page", text},
			{"text", "card", text},
			{"text", "tint", text},
			{"text", "hover", text},
			{"muted", "page", text},
			{"muted", "card", text},
			{"muted", "tint", text},
			{"muted", "hover", text},
			{"accent", "card", text},
			{"accent", "tint", text},
			{"accent", "hover", text},
			{"on-accent", "accent", text},
			{"on-accent", "accent-hover", text},
			{"problem", "problem-tint", text},
			{"problem", "card", graphic},
			{"edge", "card", graphic},
		} {
			if got := contrast(hex(t, v[c.front]), hex(t, v[c.back])); got < c.least {
				t.Errorf("%s: %s on %s is %.2f", scheme, c.front, c.back, got)
			}
		}
	}
}

func TestAvatarContrast(t *testing.T) {
	if !strings.Contains(string(style), "background: hsl(var(--hue) var(--soft));\n\tcolor: hsl(var(--hue) var(--deep));") {
		t.Fatal(".avatar has other colours than those measured here")
	}
	hues := hue.FindAllStringSubmatch(string(style), -1)
	if len(hues) != Hues {
		t.Fatalf("%d hues", len(hues))
	}
	for scheme := range schemes {
		v := values(t, scheme)
		for i, h := range hues {
			if h[1] != strconv.Itoa(i) {
				t.Fatalf("hue %s in place of %d", h[1], i)
			}
			if got := contrast(hsl(t, h[2], v["deep"]), hsl(t, h[2], v["soft"])); got < 4.5 {
				t.Errorf("%s: hue %d is %.2f", scheme, i, got)
			}
		}
	}
}

func TestStyleNeedsNothingElse(t *testing.T) {
	body, contentType := Style()
	if contentType != "text/css; charset=utf-8" {
		t.Errorf("content type %q", contentType)
	}
	if len(body) > 9<<10 {
		t.Errorf("%d bytes", len(body))
	}
	for _, not := range []string{"@import", "url(", "@font-face"} {
		if strings.Contains(string(body), not) {
			t.Errorf("has %s", not)
		}
	}
	defined := values(t, "light")
	for _, used := range regexp.MustCompile(`var\(--([a-z-]+)\)`).FindAllStringSubmatch(string(body), -1) {
		if _, ok := defined[used[1]]; !ok && used[1] != "hue" {
			t.Errorf("--%s is not defined", used[1])
		}
	}
}

func TestIconIsXML(t *testing.T) {
	body, contentType := Icon()
	if contentType != "image/svg+xml" {
		t.Errorf("content type %q", contentType)
	}
	decoder := xml.NewDecoder(strings.NewReader(string(body)))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok && (element.Name.Local == "script" || element.Name.Local == "style") {
			t.Errorf("has <%s>", element.Name.Local)
		}
	}
}

type rgb [3]float64 // sRGB, 0 to 1

func hex(t *testing.T, s string) rgb {
	t.Helper()
	var r, g, b int
	if _, err := fmt.Sscanf(s, "#%02x%02x%02x", &r, &g, &b); err != nil {
		t.Fatalf("colour %q: %v", s, err)
	}
	return rgb{float64(r) / 255, float64(g) / 255, float64(b) / 255}
}

// hsl follows CSS Color 4, section 7.1.
func hsl(t *testing.T, hue, rest string) rgb {
	t.Helper()
	var h, s, l float64
	if _, err := fmt.Sscanf(hue+" "+rest, "%g %g%% %g%%", &h, &s, &l); err != nil {
		t.Fatalf("colour %q %q: %v", hue, rest, err)
	}
	s, l = s/100, l/100
	channel := func(n float64) float64 {
		k := math.Mod(n+h/30, 12)
		return l - s*min(l, 1-l)*max(-1, min(k-3, 9-k, 1))
	}
	return rgb{channel(0), channel(8), channel(4)}
}

// contrast follows WCAG 2.2, "contrast ratio" and "relative luminance".
func contrast(a, b rgb) float64 {
	luminance := func(c rgb) float64 {
		for i, v := range c {
			if v <= 0.04045 {
				c[i] = v / 12.92
			} else {
				c[i] = math.Pow((v+0.055)/1.055, 2.4)
			}
		}
		return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2]
	}
	la, lb := luminance(a), luminance(b)
	return (max(la, lb) + 0.05) / (min(la, lb) + 0.05)
}
