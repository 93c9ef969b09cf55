package cookie

import (
	"strings"
	"testing"
)

func TestSlotNames(t *testing.T) {
	tag := strings.Repeat("aZ", tagLength/2)
	filler := strings.Repeat("n", tagLength-2)
	for _, c := range []struct {
		name      string // of the browser's cookie
		tag, want string // of the slot, and the upstream's name; an empty tag if it is no slot's
	}{
		{"ms~" + tag + "~theme", tag, "theme"},
		{"ms~" + tag + "~", tag, ""},
		{"ms~" + tag + "~a~b", tag, "a~b"},
		{"ms~0~theme", Anonymous, "theme"},
		{"ms~0~" + filler + "~b", Anonymous, filler + "~b"},
		{"ms~x~theme", UnknownOrigin, "theme"},
		{"__Host-ms~" + tag + "~theme", tag, "__Host-theme"},
		{"__host-http-ms~0~theme", Anonymous, "__host-http-theme"},
		{"ms~" + tag, "", ""},
		{"ms~0", "", ""},
		{"ms~", "", ""},
		{"ms~~theme", "", ""},
		{"ms~1~theme", "", ""},
		{"ms~" + tag[1:] + "~theme", "", ""},
		{"ms~" + tag + "a~theme", "", ""},
		{"ms~" + tag[1:] + "!~theme", "", ""},
		{"ms~" + tag + "~the\x01me", "", ""},
		{"ms~" + tag + "~__Host-theme", "", ""},
		{"MS~" + tag + "~theme", "", ""},
		{"theme", "", ""},
	} {
		tag, name, ok := ParseSlotName(c.name)
		if ok != (c.tag != "") || tag != c.tag || name != c.want {
			t.Errorf("%q: slot %q, name %q, %t", c.name, tag, name, ok)
		}
		if ok && SlotName(tag, name) != c.name {
			t.Errorf("%q: the name comes back as %q", c.name, SlotName(tag, name))
		}
	}
}
