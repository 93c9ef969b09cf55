package cookie

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestFlowIsHeldAsTheJarIs(t *testing.T) {
	for name, c := range map[string]struct {
		jar  Spec
		want string
	}{
		"host":   {Spec{Name: NameHost, Secure: true}, "__Host-Http-multi_session_flow_tag=v; Path=/; Max-Age=600; HttpOnly; Secure; SameSite=Lax"},
		"domain": {Spec{Name: NameDomain, Domain: "example.com", Secure: true}, "__Secure-multi_session_flow_tag=v; Path=/; Domain=example.com; Max-Age=600; HttpOnly; Secure; SameSite=Lax"},
		"plain":  {Spec{Name: NamePlain}, "multi_session_flow_tag=v; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			c.jar.Flow("tag").Set(h, nil, "v", 10*time.Minute)
			if got := h.Get("Set-Cookie"); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestFlowRead(t *testing.T) {
	flow := Spec{Name: NameHost}.Flow("tag")
	for name, c := range map[string]struct {
		line, value string
		ok          bool
	}{
		"none":                      {"a=1", "", false},
		"one":                       {"a=1; " + NameHost + "_flow_tag=v", "v", true},
		"of another flow":           {NameHost + "_flow_other=v", "", false},
		"planted under a plain one": {NamePlain + "_flow_tag=v", "", false},
		"two, one of them planted":  {NameHost + "_flow_tag=v; " + NameHost + "_flow_tag=w", "w", false},
	} {
		value, ok := flow.Read(http.Header{"Cookie": {c.line}})
		if ok != c.ok || ok && value != c.value {
			t.Errorf("%s: %q, %t", name, value, ok)
		}
	}
}

func TestTabsLeftAtProvidersDoNotPileUp(t *testing.T) {
	tests := map[string]struct {
		sizes   []int // of the values in the request, oldest first
		size    int   // of the new value
		cleared int   // how many of the oldest go
	}{
		"none":                        {nil, 100, 0},
		"few and small":               {[]int{100, 100}, 100, 0},
		"as many as there may be":     {[]int{1, 1, 1, 1, 1, 1, 1}, 1, 0},
		"too many":                    {[]int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 1, 3},
		"large ones":                  {[]int{1000, 1000, 1000}, 1000, 2},
		"a large one among small":     {[]int{1, 2900, 1, 1}, 500, 2},
		"the new one is too large":    {[]int{1, 1}, 3900, 2},
		"30 tabs with long addresses": {slices.Repeat([]int{900}, 30), 900, 28},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			jar := Spec{Name: NamePlain}
			flowName := func(i int) string { return NamePlain + "_flow_t" + strconv.Itoa(i) }
			parts := []string{"other=" + strings.Repeat("x", 4000)}
			for i, size := range test.sizes {
				parts = append(parts, flowName(i)+"="+strings.Repeat("v", size))
			}
			answer := http.Header{}
			jar.Flow("new").Set(answer, http.Header{"Cookie": {strings.Join(parts, "; ")}}, strings.Repeat("v", test.size), time.Minute)
			set := answer["Set-Cookie"]
			if len(set) != test.cleared+1 {
				t.Fatalf("%d cookies are set or cleared, want %d cleared and one set", len(set), test.cleared)
			}
			for i, line := range set[:test.cleared] {
				if !strings.HasPrefix(line, flowName(i)+"=;") || !strings.Contains(line, "Max-Age=0") {
					t.Errorf("%q, want the oldest cleared", line)
				}
			}
			left := len(parts[0]) + len(NamePlain+"_flow_new") + test.size
			for _, part := range parts[1+test.cleared:] {
				left += len(part) + len("; ")
			}
			if left > len(parts[0])+maxFlowsBytes && test.cleared < len(test.sizes) {
				t.Errorf("%d bytes of flows are left", left-len(parts[0]))
			}
		})
	}
}

func TestFlowThatIsSetAgainDoesNotClearItself(t *testing.T) {
	jar := Spec{Name: NamePlain}
	answer := http.Header{}
	jar.Flow("t").Set(answer, http.Header{"Cookie": {NamePlain + "_flow_t=" + strings.Repeat("v", 3000)}}, strings.Repeat("w", 3000), time.Minute)
	if set := answer["Set-Cookie"]; len(set) != 1 || !strings.Contains(set[0], "=w") {
		t.Errorf("%d cookies are set or cleared, want the new value alone", len(set))
	}
}

func TestPlantedFlowNamesAreNotWrittenBack(t *testing.T) {
	var parts []string
	for i := range 20 {
		parts = append(parts, NamePlain+"_flow_\"<"+strconv.Itoa(i)+"=v", NamePlain+"_flow_=v")
	}
	answer := http.Header{}
	Spec{Name: NamePlain}.Flow("new").Set(answer, http.Header{"Cookie": {strings.Join(parts, "; ")}}, "v", time.Minute)
	if set := answer["Set-Cookie"]; len(set) != 1 {
		t.Errorf("%q, want the new one alone", set)
	}
}

func TestUpstreamsNeitherSeeNorSetFlows(t *testing.T) {
	for _, name := range names {
		h := http.Header{"Cookie": {"a=1; " + name + "_flow_tag=secret; b=2"}}
		StripRequest(h)
		if got := h.Get("Cookie"); got != "a=1; b=2" {
			t.Errorf("%s: Cookie is %q", name, got)
		}
		h = http.Header{"Set-Cookie": {name + "_flow_tag=planted; Path=/", "a=1"}}
		FilterResponse(h)
		if got := h["Set-Cookie"]; len(got) != 1 || got[0] != "a=1" {
			t.Errorf("%s: Set-Cookie is %q", name, got)
		}
	}
}
