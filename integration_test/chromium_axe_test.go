package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// axe is the source of axe-core, the accessibility checker.
func axe(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if errors.Is(err, fs.ErrNotExist) {
		missing(t, "npm packages: run npm ci in integration_test")
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// A name and an address as long as people have seen, without a place to break them.
const (
	longName  = "Maximiliane-Wilhelmine-Friederike-von-und-zu-Hohenlohe-Waldenburg-Schillingsfuerst"
	longEmail = "maximiliane-wilhelmine-friederike@hohenlohe-waldenburg-schillingsfuerst.example.com"
	rtlName   = "ليلى المنصوري"
)

// TestChromiumAccessibility holds every page, in the states that it has, to axe-core's rules and to
// what axe-core does not look at: that it fits on the narrowest of screens, and that a keyboard goes
// through it in order and is seen to.
func TestChromiumAccessibility(t *testing.T) {
	checker := axe(t)
	startChromium(t)
	address := freeAddress(t)
	up := newGreeter(t)
	config := strings.Replace(site(address, up, "max_sessions 4 reject", `@admin path /admin
	multi_session @admin {
		require group admin
	}
	@nobody path /nobody
	multi_session @nobody {
		require group nobody somebody
	}
	multi_session`), userOptions, userOptions+`
	user long `+longEmail+` "$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK" {
		name "`+longName+`"
	}
	user rtl rtl@example.com "$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK" {
		name "`+rtlName+`"
	}
`, 1)
	insecure := "http://wiki.example.test:" + port(address)
	config += insecure + " {\n\tmulti_session\n\treverse_proxy " + up + "\n}\n"
	g := startGateway(t, config)
	origin := "http://" + address
	portal := origin + "/.auth"
	const back = "?return_to=%2Fdocuments"

	b := newTab(t)
	inspect := func(name string) {
		t.Helper()
		b.inspect(name, checker)
	}
	signIn := func(user, password string) {
		t.Helper()
		b.open(portal + "/sign-in" + back)
		b.signIn(http.StatusOK, user, password)
	}

	b.open(portal + "/sign-in")
	inspect("sign-in")
	b.open(portal + "/sign-in?signed_out=1&login_hint=alice" + "&return_to=%2F")
	inspect("sign-in with a notice")
	b.signIn(http.StatusUnauthorized, "alice", "wrong")
	inspect("sign-in with an error")
	b.open(portal + "/accounts")
	inspect("chooser without accounts")
	b.openAs(http.StatusBadRequest, portal+"/sign-in?return_to=https://evil.example/")
	inspect("failure")

	signIn("bob", password("bob"))
	b.openAs(http.StatusForbidden, origin+"/admin")
	inspect("refusal without alternatives")
	b.open(portal + "/accounts" + back)
	inspect("chooser with one account")
	b.open(portal + "/sign-in" + back)
	inspect("sign-in with an account")

	signIn("carol", password("carol"))
	signIn("alice", password("alice"))
	b.open(portal + "/accounts" + back)
	inspect("chooser with three accounts")
	b.follow("button", "Switch to Bob Example bob@example.com")
	b.openAs(http.StatusForbidden, origin+"/admin")
	inspect("refusal with an alternative")
	b.openAs(http.StatusForbidden, origin+"/nobody")
	inspect("refusal of all accounts")

	signIn("long", "alice-example")
	b.open(portal + "/accounts" + back)
	inspect("chooser with a long name")
	b.openAs(http.StatusForbidden, origin+"/admin")
	inspect("refusal with a long name")
	b.open(portal + "/sign-in" + back)
	b.signIn(http.StatusConflict, "rtl", "alice-example")
	inspect("sign-in with too many accounts")
	b.open(portal + "/accounts" + back)
	b.follow("button", "Sign out "+longName)
	inspect("chooser with a notice")
	signIn("rtl", "alice-example")

	// The page is older than what has happened since.
	b.open(portal + "/accounts" + back)
	b.must(b.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("[name=session]").value = "gone"`)))
	b.followAs(http.StatusConflict, "button", "Sign out Bob Example")
	inspect("chooser with an error")

	// The active account ends by itself: its user is taken out.
	b.open(portal + "/accounts" + back)
	b.follow("button", "Switch to Bob Example bob@example.com")
	if err := g.reload(withoutUser(t, config, "bob")); err != nil {
		t.Fatal(err)
	}
	b.open(origin + "/documents")
	b.at(portal + "/accounts" + back)
	b.says("No account is active right now.")
	inspect("chooser with none active")

	// A name that is not loopback's, over plain HTTP.
	b.openAs(http.StatusForbidden, insecure+"/.auth/sign-in")
	b.says("HTTPS")
	inspect("insecure")
}

// inspect checks the page that the tab is on.
func (b *tab) inspect(name, checker string) {
	b.t.Run(name, func(t *testing.T) {
		whole := b.t
		b.t = t
		defer func() { b.t = whole }()
		for _, window := range []struct {
			device        string
			width, height int64
		}{{"desktop", 1280, 800}, {"phone", 390, 844}} {
			b.resize(window.width, window.height, 1)
			for _, scheme := range []string{"light", "dark"} {
				b.scheme(scheme)
				in := window.device + ", " + scheme
				b.axe(in, checker)
				b.walk(in)
			}
		}
		b.fits(320, 640)
		b.resize(1280, 800, 1)
		b.scheme("light")
	})
}

// axe runs all of axe-core's rules that there are for what WCAG 2.2 asks for on its levels A and AA,
// and its best practices. What it is not sure of counts like what it is sure of, with one exception:
// on a phone the text in a button that is for screen readers alone reaches past the edge of the
// window, unseen, and leaves axe-core in doubt about the colours of the button. On the desktop, where
// they are the same, it is in no doubt.
func (b *tab) axe(in, checker string) {
	b.t.Helper()
	b.must(b.run(chromedp.Evaluate[chromedp.Void](checker + "\n;0")))
	found := evaluate[[]struct{ Rule, Help, Where string }](b, `(async () => {
		const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice", "experimental"];
		const result = await axe.run(document, {runOnly: tags, resultTypes: ["violations", "incomplete"], elementRef: true,
			rules: {"hidden-content": {enabled: false}}}); // finds nothing but that something is hidden
		if (result.passes.length < 10) throw new Error("only " + result.passes.length + " rules passed");
		const excepted = node => innerWidth < 600 && node.element.matches("button.quiet:has(.sr)") &&
			node.any.every(check => check.data.messageKey === "elmPartiallyObscured");
		const unsure = result.incomplete.map(rule => rule.id === "color-contrast" ?
			{...rule, nodes: rule.nodes.filter(node => !excepted(node))} : rule);
		return [...result.violations, ...unsure].flatMap(rule => rule.nodes.map(node => ({
			Rule: rule.id, Help: rule.help, Where: node.html + " " + (node.failureSummary ?? ""),
		})));
	})()`)
	for _, f := range found {
		b.t.Errorf("%s: %s: %s: %s", in, f.Rule, f.Help, f.Where)
	}
}

// fits fails the test if anything of the page is wider than a screen.
func (b *tab) fits(width, height int64) {
	b.t.Helper()
	b.resize(width, height, 1)
	// What screen readers alone get is cut off.
	if wide := evaluate[[]string](b, `[...document.querySelectorAll("body, body *:not(.sr *)")]
		.filter(e => e.getBoundingClientRect().right > `+fmt.Sprint(width)+`.5 || e.getBoundingClientRect().left < -.5)
		.map(e => e.outerHTML)`); len(wide) > 0 {
		b.t.Errorf("%d pixels: too wide: %s", width, strings.Join(wide, "\n"))
	}
	if scrollable := evaluate[int64](b, `document.scrollingElement.scrollWidth`); scrollable > width {
		b.t.Errorf("%d pixels: the page is %d pixels wide", width, scrollable)
	}
}

// stop is an element that the keyboard comes to.
type stop struct {
	Index    int // among all that can be focused, in the order of the document; -1 for none of them
	Name     string
	Top      float64
	Left     float64
	Bottom   float64
	Visible  bool    // nothing is in front of it, and it is in the window
	Outline  float64 // width of the ring around it
	Contrast float64 // of the ring against what it is drawn on
}

// where describes the element that has the focus.
const where = `(() => {
	const all = [...document.querySelectorAll("a[href], button, input:not([type=hidden], [hidden]), select, textarea, summary, [tabindex]")];
	const e = document.activeElement;
	const index = all.indexOf(e);
	if (index < 0) return {Index: index};
	const box = e.getBoundingClientRect();
	const style = getComputedStyle(e);
	const channels = colour => colour.match(/[\d.]+/g).map(Number);
	const background = e => {
		for (; e; e = e.parentElement) {
			const [red, green, blue, alpha = 1] = channels(getComputedStyle(e).backgroundColor);
			if (alpha === 1) return [red, green, blue];
			if (alpha !== 0) throw new Error("a translucent background");
		}
		return channels(getComputedStyle(document.body).backgroundColor);
	};
	// WCAG 2.2, relative luminance and contrast ratio.
	const luminance = ([red, green, blue]) => [red, green, blue]
		.map(c => c / 255)
		.map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
		.reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
	const behind = luminance(background(parseFloat(style.outlineOffset) < 0 ? e : e.parentElement));
	const ring = luminance(channels(style.outlineColor));
	return {
		Index: index,
		Name: e.outerHTML.slice(0, 200),
		Top: box.top + scrollY, Left: box.left, Bottom: box.bottom + scrollY,
		Visible: box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth &&
			e.contains(document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2)),
		Outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
		Contrast: (Math.max(behind, ring) + 0.05) / (Math.min(behind, ring) + 0.05),
	};
})()`

// walk goes through the page by Tab. It comes to everything that can be used, in the order in which
// it is read, and what has the focus is marked.
func (b *tab) walk(in string) {
	b.t.Helper()
	n := evaluate[int](b, `document.querySelectorAll("a[href], button, input:not([type=hidden], [hidden]), select, textarea, summary, [tabindex]").length`)
	var stops []stop
	// One more than there is: the way goes round, past the browser's own controls.
	for range n + 1 {
		b.must(b.run(press(kb.Tab)))
		s := b.focusStop()
		if s.Index < 0 {
			continue
		}
		if len(stops) > 0 && s.Index == stops[0].Index {
			break
		}
		stops = append(stops, s)
	}
	if len(stops) != n {
		b.t.Errorf("%s: Tab comes to %d of %d elements", in, len(stops), n)
		return
	}
	for i, s := range stops {
		if next := stops[(i+1)%n]; next.Index != (s.Index+1)%n {
			b.t.Errorf("%s: after %s comes %s", in, s.Name, next.Name)
		}
		if !s.Visible {
			b.t.Errorf("%s: with the focus it cannot be seen: %s", in, s.Name)
		}
		// WCAG 2.2, 2.4.13 and 1.4.11.
		if s.Outline < 2 || s.Contrast < 3 {
			b.t.Errorf("%s: the focus cannot be seen on %s: %g pixels, contrast %.2f", in, s.Name, s.Outline, s.Contrast)
		}
	}
	slices.SortFunc(stops, func(a, b stop) int { return a.Index - b.Index })
	for i := range len(stops) - 1 {
		s, next := stops[i], stops[i+1]
		if next.Bottom <= s.Top || next.Top < s.Bottom && next.Left < s.Left {
			b.t.Errorf("%s: the keyboard goes back from %s to %s", in, s.Name, next.Name)
		}
	}
}

func (b *tab) focusStop() stop {
	b.t.Helper()
	var s stop
	if err := json.Unmarshal(evaluate[[]byte](b, where), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}
