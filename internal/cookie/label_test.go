package cookie

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

func labelled(t *testing.T, text string) *Names {
	t.Helper()
	names, err := Labelled(text)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestLabels(t *testing.T) {
	for text, ok := range map[string]bool{"": true, "nas": true, "0": true, "abcdefghij123456": true,
		"abcdefghij1234567": false, "NAS": false, "a-b": false, "a_b": false, "a.b": false, "a b": false, "ä": false, "a;": false} {
		if _, err := Labelled(text); (err == nil) != ok {
			t.Errorf("%q: %v, want ok: %t", text, err, ok)
		}
	}
}

// Two gateways are behind ports of one host, so browsers send each the cookies of both.
func TestGatewaysWithLabelsKeepTheirCookiesApart(t *testing.T) {
	for _, site := range []struct {
		https  bool
		host   string
		domain string
	}{{true, "app.example.com", ""}, {true, "app.example.com", "example.com"}, {false, "localhost", ""}} {
		mine, err := Options{Names: labelled(t, "nas"), Domain: site.domain}.For(site.https, site.host)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []string{"", "na", "nas2", "work"} {
			its, err := Options{Names: labelled(t, other), Domain: site.domain}.For(site.https, site.host)
			if err != nil {
				t.Fatal(err)
			}
			answer := http.Header{}
			set := func(j Spec) (sent []string) {
				h := http.Header{}
				j.Set(h, session.NewToken(), 0)
				j.SetView(h, "view")
				j.SetShown(h, "shown")
				j.SetRun(h, session.NewRun())
				j.SetConfirmed(h, "jar")
				j.Flow("tag").Set(h, http.Header{}, "flow", flowTestAge)
				h.Add("Set-Cookie", j.SetScripted("scripted"))
				for _, line := range h["Set-Cookie"] {
					pair, _, _ := strings.Cut(line, ";")
					sent = append(sent, pair)
					answer.Add("Set-Cookie", pair)
				}
				return sent
			}
			both := append(set(mine), set(its)...)
			for _, j := range []Spec{mine, its} {
				c := j.Parse(http.Header{"Cookie": both})
				for name, v := range map[string]Value{"jar": c.Jar, "view": c.View, "shown": c.Shown, "scripted": c.Scripted, "run": c.Run} {
					if v.Count != 1 {
						t.Errorf("%s beside the label %q: %d cookies of the %s, want its own alone", j.Name, other, v.Count, name)
					}
				}
			}
			slot := its.SlotName(strings.Repeat("A", tagLength), "sid")
			if _, _, ok := mine.ParseSlotName(slot); ok {
				t.Errorf("the slot %s counts as one of %s", slot, mine.Name)
			}
			if tag, name, ok := its.ParseSlotName(slot); !ok || tag != strings.Repeat("A", tagLength) || name != "sid" {
				t.Errorf("the slot %s is read as %q %q %t", slot, tag, name, ok)
			}
			both = append(both, slot+"=~1", its.SlotName(Anonymous, "sid")+"=~1")
			upstream := http.Header{"Cookie": {"app=1; " + strings.Join(both, "; ")}}
			StripRequest(upstream)
			if got := upstream.Get("Cookie"); got != "app=1" {
				t.Errorf("the app is sent %q", got)
			}
			FilterResponse(answer)
			if got := answer["Set-Cookie"]; len(got) > 0 {
				t.Errorf("the app can set %q", got)
			}
		}
	}
}

const flowTestAge = 60_000_000_000
