package cookie

import (
	"net/http"
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
	jar := Spec{Name: NamePlain}
	var parts []string
	for i := range maxFlows + 2 {
		parts = append(parts, NamePlain+"_flow_t"+strconv.Itoa(i)+"=v")
	}
	request := http.Header{"Cookie": {strings.Join(parts, "; ")}}
	answer := http.Header{}
	jar.Flow("new").Set(answer, request, "v", time.Minute)
	set := answer["Set-Cookie"]
	if len(set) != 4 {
		t.Fatalf("%q, want three cleared and one set", set)
	}
	for i, line := range set[:3] {
		if !strings.HasPrefix(line, NamePlain+"_flow_t"+strconv.Itoa(i)+"=;") || !strings.Contains(line, "Max-Age=0") {
			t.Errorf("%q, want the oldest cleared", line)
		}
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
