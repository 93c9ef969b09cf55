package integration

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// chromium is the one browser process of a run. Every test has cookies and tabs of its own in it.
var chromium struct {
	once  sync.Once
	ctx   context.Context
	end   func()
	front string // the loopback address behind https://app.example.com
	err   error
}

// frontOrigin is a site with a name and no port, as people have it.
const frontOrigin = "https://app.example.com"

// startChromium returns the context of the browser process, which is started at the first call.
func startChromium(t *testing.T) context.Context {
	t.Helper()
	path := chromiumPath()
	if path == "" {
		missing(t, "Chromium")
	}
	chromium.once.Do(func() {
		chromium.front = freeAddress(t)
		rules := []string{
			"MAP app.example.com:443 " + chromium.front,
			"MAP *.example.test 127.0.0.1",
			"MAP * ~NOTFOUND", // nothing leaves this machine
			"EXCLUDE localhost",
			"EXCLUDE 127.0.0.1",
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path),
			chromedp.NoSandbox, // containers run as root and without user namespaces
			chromedp.IgnoreCertErrors,
			chromedp.Flag("disable-component-update", true),
			chromedp.Flag("disable-gpu", true),
			chromedp.Flag("disable-quic", true),
			chromedp.Flag("hide-scrollbars", true),
			chromedp.Flag("host-resolver-rules", strings.Join(rules, ", ")),
		)
		allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		chromium.ctx = ctx
		chromium.end = func() {
			graceful, done := context.WithTimeout(ctx, 10*time.Second)
			defer done()
			_ = chromedp.Cancel(graceful)
			cancel()
			release() // ends the process if it has not ended, and takes its profile away
		}
		chromium.err = chromedp.Do(ctx)
	})
	if chromium.err != nil {
		t.Fatalf("start %s: %v", path, chromium.err)
	}
	return chromium.ctx
}

// endChromium ends the browser process, if there is one.
func endChromium() {
	if chromium.end != nil {
		chromium.end()
	}
}

func chromiumPath() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// tab is a tab of Chromium, in a browser context of its own: its cookies are no other tab's. A test
// fails if anything went wrong in its tab that a developer would see in the browser's tools.
type tab struct {
	t      *testing.T
	ctx    context.Context
	strict bool   // faults are failures
	close  func() // looks for faults and closes the tab, at the end of the test at the latest

	mu       sync.Mutex
	faults   []string
	refusals map[string]bool // console messages of refusals that the test asked for
	requests []string        // where the page went or meant to go: every request, redirect and navigation
}

func newTab(t *testing.T) *tab {
	t.Helper()
	b := newFaultyTab(t)
	b.strict = true
	return b
}

// newFaultyTab returns a tab whose faults are the test's own to look at.
func newFaultyTab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(startChromium(t), chromedp.WithNewBrowserContext())
	return openTab(t, ctx, cancel)
}

// another returns a further tab of the same browser, which has the same cookies.
func (b *tab) another() *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	another := openTab(b.t, ctx, cancel)
	another.strict = b.strict
	return another
}

func openTab(t *testing.T, ctx context.Context, cancel context.CancelFunc) *tab {
	t.Helper()
	b := &tab{t: t, ctx: ctx, refusals: map[string]bool{}}
	b.close = sync.OnceFunc(func() {
		t.Helper()
		if b.strict {
			for _, fault := range b.unexpected() {
				t.Errorf("in the browser: %s", fault)
			}
		}
		cancel()
	})
	t.Cleanup(b.close)
	b.must(chromedp.Listen(ctx, b.hear))
	call(b, audits.Enable, cdp.Empty{})
	// A tab in the background has no focus, and its fields no caret.
	call(b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	b.resize(1280, 800, 1)
	return b
}

// call sends a command of the DevTools protocol to the tab.
func call[P, R any](b *tab, command cdp.Command[P, R], params P) R {
	b.t.Helper()
	result, err := chromedp.Call(b.ctx, command, params)
	b.must(err)
	return result
}

// evaluate runs a script in the page as the developer tools do, which the page's policy does not bind.
func evaluate[T any](b *tab, script string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	result, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	b.must(err)
	return result
}

// asUser has a script count as something that the user did. Chromium complains of navigations that
// nobody asked for.
func asUser(p *runtime.EvaluateParams) {
	p.UserGesture = new(true)
}

// run runs actions that do not lead to another page.
func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	return chromedp.Do(ctx, actions...)
}

func (b *tab) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// hear takes note of what the browser reports. It runs on the goroutine that reads from the browser
// and must not call the browser itself.
func (b *tab) hear(event any) {
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.mu.Lock()
		b.requests = append(b.requests, e.Request.URL)
		b.mu.Unlock()
	case *page.EventFrameRequestedNavigation:
		b.mu.Lock()
		b.requests = append(b.requests, e.URL)
		b.mu.Unlock()
	case *network.EventLoadingFailed:
		if e.Type == network.ResourceTypeEventSource && e.Canceled {
			return // a page that listened was left
		}
		b.fault("loading of a %s failed: %s %s", e.Type, e.ErrorText, e.BlockedReason)
	case *log.EventEntryAdded:
		if strings.HasPrefix(e.Entry.Text, "Clear-Site-Data header on ") {
			return // says what was done
		}
		// Every level: what Chromium logs as "verbose" is advice on forms.
		b.fault("%s", consoleLine(string(e.Entry.Level), string(e.Entry.Source), e.Entry.URL, e.Entry.Text))
	case *runtime.EventConsoleAPICalled:
		var text strings.Builder
		for _, argument := range e.Args {
			fmt.Fprintf(&text, " %s%s", argument.Value, argument.Description)
		}
		b.fault("console.%s:%s", e.Type, text.String())
	case *runtime.EventExceptionThrown:
		d := e.ExceptionDetails
		if d.Exception != nil {
			b.fault("exception: %s %s", d.Text, d.Exception.Description)
		} else {
			b.fault("exception: %s", d.Text)
		}
	case *audits.EventIssueAdded:
		details, _ := json.Marshal(e.Issue.Details)
		b.fault("issue: %s %s", e.Issue.Code, details)
	case *page.EventJavascriptDialogOpening:
		b.fault("dialog: %s %q", e.Type, e.Message)
		// The page stands still until the dialog is closed.
		go func() {
			_, _ = chromedp.Call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{})
		}()
	case *page.EventWindowOpen:
		b.fault("a window was opened: %s", e.URL)
	}
}

func consoleLine(level, source, url, text string) string {
	return fmt.Sprintf("%s of %s at %s: %s", level, source, url, text)
}

func (b *tab) fault(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// catchUp returns when all has been heard that the browser has had to say so far.
func (b *tab) catchUp() { _, _ = chromedp.Run(b.ctx, chromedp.Location()) }

// unexpected returns the faults so far, without those that the test brought about.
func (b *tab) unexpected() []string {
	b.catchUp()
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.faults), func(fault string) bool { return b.refusals[fault] })
}

// attempts takes the addresses out that the tab has asked for or tried to go to since the last call.
func (b *tab) attempts() []string {
	b.catchUp()
	b.mu.Lock()
	defer b.mu.Unlock()
	attempts := b.requests
	b.requests = nil
	return attempts
}

// outage runs what makes the site unreachable for a while. Chromium fetches a page's icon when it has
// time to, and that fetch may fail by it: what it says meanwhile is about the outage.
func (b *tab) outage(run func()) {
	b.catchUp()
	b.mu.Lock()
	before := slices.Clone(b.faults)
	b.mu.Unlock()
	run()
	b.catchUp()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = before
}

// arrive waits for the navigation that the actions bring about, and checks the status of its page.
func (b *tab) arrive(status int, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if got := b.arriveAnyhow(actions...); got != status {
		b.t.Fatalf("arrived with status %d, want %d\n%s", got, status, b.outline())
	}
}

// arriveAnyhow waits for the navigation that the actions bring about, and returns the status of its page.
func (b *tab) arriveAnyhow(actions ...chromedp.Action[chromedp.Void]) (status int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	response, err := chromedp.RunResponse(ctx, actions...)
	if err != nil && strings.Contains(err.Error(), "net::ERR_ABORTED") || err == nil && response != nil && precedesPage(response) {
		response, err = b.reloaded(), nil
	}
	if err != nil {
		b.t.Fatalf("navigation: %v\n%s", err, strings.Join(b.unexpected(), "\n"))
	}
	if response == nil {
		b.t.Fatalf("arrived without an answer\n%s", b.outline())
	}
	status = int(response.Status)
	// A field that asks for the focus gets it with the first frame, which nobody can type before. A page
	// that leads on by itself may be gone while it is asked, and the next one is asked then.
	await(b.t, "the focus", func() bool {
		focused, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`[null, document.activeElement].includes(document.querySelector("[autofocus]"))`))
		return err == nil && focused
	})
	if status >= http.StatusBadRequest {
		// Chromium puts the status of a refused page into the console, with the fragment of the address. The
		// refusal is what the test asked for, and the line says nothing else.
		at := b.location()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, reason := range []string{http.StatusText(status), ""} { // HTTP/2 has no reason phrases
			text := fmt.Sprintf("Failed to load resource: the server responded with a status of %d (%s)", status, reason)
			b.refusals[consoleLine("error", "network", response.URL, text)] = true
			b.refusals[consoleLine("error", "network", at, text)] = true
		}
	}
	return status
}

// precedesPage is precedes for what Chromium knows of a page.
func precedesPage(page *network.Response) bool {
	for name := range page.Headers {
		if strings.EqualFold(name, "Cross-Origin-Embedder-Policy") {
			return true
		}
	}
	return false
}

// reloaded returns once the page that precedes the first one after a switch has led to that.
func (b *tab) reloaded() *network.Response {
	b.t.Helper()
	var at *network.Response
	await(b.t, "the page behind the one that precedes it", func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
		defer cancel()
		page, err := chromedp.Run(ctx, chromedp.Evaluate[*network.Response](`document.readyState === "complete" && !document.title.startsWith("One moment")
			? {status: performance.getEntriesByType("navigation")[0].responseStatus, url: location.href} : null`))
		at = page
		return err == nil && page != nil
	})
	return at
}

// open goes to an address as if it had been typed in.
func (b *tab) open(address string) { b.t.Helper(); b.openAs(http.StatusOK, address) }

// openAs is open for an address that is answered with a status of its own.
func (b *tab) openAs(status int, address string) {
	b.t.Helper()
	b.arrive(status, visit(address))
}

// visit has the browser go to an address, and does not wait for its page.
func visit(address string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		answer, err := cdp.Call(ctx, target, page.Navigate, page.NavigateParams{URL: address})
		if err == nil && answer.ErrorText != "" {
			return fmt.Errorf("%s: %s", address, answer.ErrorText)
		}
		return err
	})
}

// attribute is an attribute of an element, or "" if it has none.
func (b *tab) attribute(e element, name string) string {
	b.t.Helper()
	node := call(b, dom.DescribeNode, dom.DescribeNodeParams{BackendNodeID: e.node}).Node
	for i := 0; i+1 < len(node.Attributes); i += 2 {
		if node.Attributes[i] == name {
			return node.Attributes[i+1]
		}
	}
	return ""
}

// press presses and releases a key.
func press(key string) chromedp.Action[chromedp.Void] { return chromedp.KeyEvent(key) }

// element is a node of the page as assistive technology finds it.
type element struct {
	role, name, description, value string
	properties                     map[string]string
	node                           cdp.BackendNodeID
}

// elements returns what assistive technology finds in the page, level by level.
func (b *tab) elements() []element {
	b.t.Helper()
	var found []element
	for _, node := range call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		if node.Ignored {
			continue
		}
		e := element{
			role:        text(node.Role),
			name:        text(node.Name),
			description: text(node.Description),
			value:       text(node.Value),
			properties:  map[string]string{},
			node:        node.BackendDOMNodeID,
		}
		for _, property := range node.Properties {
			e.properties[string(property.Name)] = text(property.Value)
		}
		found = append(found, e)
	}
	return found
}

// text is a value of the accessibility tree, in which strings are as frequent as flags.
func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal(v.Value, &s) == nil {
		return s
	}
	return string(v.Value)
}

// outline describes the page for the log of a failed test.
func (b *tab) outline() string {
	var out strings.Builder
	fmt.Fprintln(&out, b.location())
	for _, e := range b.elements() {
		if e.name != "" && e.role != "InlineTextBox" {
			fmt.Fprintf(&out, "%s %q %v\n", e.role, e.name, e.properties)
		}
	}
	return out.String()
}

// lookup returns the element of a role and name, if there is exactly one.
func (b *tab) lookup(role, name string) (element, bool) {
	b.t.Helper()
	var found []element
	for _, e := range b.elements() {
		if e.role == role && e.name == name {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		return element{}, false
	}
	return found[0], true
}

// find returns the one element of a role and name.
func (b *tab) find(role, name string) element {
	b.t.Helper()
	e, ok := b.lookup(role, name)
	if !ok {
		b.t.Fatalf("there is not one %s %q on the page\n%s", role, name, b.outline())
	}
	return e
}

// lacks fails the test if the page has the element.
func (b *tab) lacks(role, name string) {
	b.t.Helper()
	if _, ok := b.lookup(role, name); ok {
		b.t.Fatalf("%s %q is on the page\n%s", role, name, b.outline())
	}
}

// says fails the test if a text is not on the page.
func (b *tab) says(text string) {
	b.t.Helper()
	if !slices.ContainsFunc(b.elements(), func(e element) bool { return e.role == "StaticText" && strings.Contains(e.name, text) }) {
		b.t.Fatalf("the page does not say %q\n%s", text, b.outline())
	}
}

// click is a click of the mouse on the element.
func (b *tab) click(e element) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: e.node}); err != nil {
			return err
		}
		shape, err := cdp.Call(ctx, target, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: e.node})
		if err != nil {
			return err
		}
		if len(shape.Quads) == 0 {
			return fmt.Errorf("%s %q cannot be seen", e.role, e.name)
		}
		quad := shape.Quads[0]
		_, err = chromedp.MouseClickXY((quad[0]+quad[4])/2, (quad[1]+quad[5])/2)(ctx, target)
		return err
	})
}

// follow clicks on an element that leads to another page.
func (b *tab) follow(role, name string) { b.t.Helper(); b.followAs(http.StatusOK, role, name) }

// followAs is follow to a page with a status of its own.
func (b *tab) followAs(status int, role, name string) {
	b.t.Helper()
	b.arrive(status, b.click(b.find(role, name)))
}

// fill types into a field, in place of what is in it.
func (b *tab) fill(field, content string) {
	b.t.Helper()
	e := b.find("textbox", field)
	b.must(b.run(b.click(e), chromedp.KeyEvent("a", chromedp.KeyModifiers(kb.ModifierCtrl)), chromedp.KeyEvent(content)))
}

// The accessible names on the sign-in page.
const (
	identifierField = "E-mail or user name"
	passwordField   = "Password"
)

// signIn fills in the sign-in page and sends it.
func (b *tab) signIn(status int, identifier, password string) {
	b.t.Helper()
	b.fill(identifierField, identifier)
	b.fill(passwordField, password)
	b.followAs(status, "button", "Sign in")
}

// focused returns the element that has the keyboard's focus, or false.
func (b *tab) focused() (element, bool) {
	b.t.Helper()
	for _, e := range b.elements() {
		// The document says that it is focused when none of its elements is.
		if e.properties["focused"] == "true" && e.role != "RootWebArea" {
			return e, true
		}
	}
	return element{}, false
}

// location is the address of the page.
func (b *tab) location() string {
	b.t.Helper()
	location, err := chromedp.Run(b.ctx, chromedp.Location())
	b.must(err)
	return location
}

// at fails the test if the page has another address.
func (b *tab) at(address string) {
	b.t.Helper()
	if got := b.location(); got != address {
		b.t.Fatalf("at %s, want %s\n%s", got, address, b.outline())
	}
}

// disableScripts has the tab run no script of any page.
func (b *tab) disableScripts() {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// resize sets the size of the window in CSS pixels. Up to the width of a phone it is one.
func (b *tab) resize(width, height int64, scale float64) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: width, Height: height, DeviceScaleFactor: scale, Mobile: width < 600,
	})
}

// scheme sets whether the user prefers "light" or "dark". Transitions between the two are off: what
// is measured next would be colours of neither.
func (b *tab) scheme(scheme string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme},
		{Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// cookies returns all cookies of the tab's browser context.
func (b *tab) cookies() []*network.Cookie {
	b.t.Helper()
	id := chromedp.FromContext(b.ctx).BrowserContextID
	answer, err := chromedp.CallBrowser(b.ctx, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: id})
	b.must(err)
	return answer.Cookies
}

// awaitTLS returns when a gateway that has just started has the certificate of a host.
func awaitTLS(t *testing.T, address string, hosts ...string) {
	t.Helper()
	for _, host := range hosts {
		await(t, "a certificate of "+host, func() bool {
			connection, err := tls.Dial("tcp", address, &tls.Config{ServerName: host, InsecureSkipVerify: true})
			if err != nil {
				return false
			}
			connection.Close()
			return true
		})
	}
}

// startFront runs a gateway behind frontOrigin, with options of its password login and the directives
// in its site.
func startFront(t *testing.T, options, directives string) *gateway {
	t.Helper()
	return startFrontWith(t, "login password {\n\t\t\tthrottle off\n"+userOptions+options+"\n\t\t}", directives)
}

// startFrontWith runs a gateway behind frontOrigin, with options of the app.
func startFrontWith(t *testing.T, options, directives string) *gateway {
	t.Helper()
	startChromium(t)
	// The port is the same for all of a run: Chromium is told once which one is behind the name.
	host := strings.TrimPrefix(frontOrigin, "https://")
	g := newGateway(t)
	g.start(`{
	auto_https disable_redirects
	multi_session {
		` + options + `
	}
}
https://` + host + ":" + port(chromium.front) + ` {
	tls internal
	` + directives + `
	reverse_proxy ` + newGreeter(t) + `
}
`)
	awaitTLS(t, chromium.front, host)
	return g
}

// newGreeter is an app that says hello to whom the gateway says it is.
func newGreeter(t *testing.T) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!doctype html><html lang=en><title>App</title><h1>Hello, %s</h1>", r.Header.Get("Remote-User"))
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// TestChromiumHarness: a fault in a page is found by the tests that look for faults, and a page's
// scripts can be switched off.
func TestChromiumHarness(t *testing.T) {
	pages := map[string]struct {
		html   string
		policy string
		click  bool // on the button
		fault  string
	}{
		"error":          {html: `<script>console.error("wrong")</script>`, fault: `console.error: "wrong"`},
		"warning":        {html: `<script>console.warn("odd")</script>`, fault: `console.warning: "odd"`},
		"exception":      {html: `<script>throw new Error("thrown")</script>`, fault: "exception: Uncaught Error: thrown"},
		"rejection":      {html: `<script>Promise.reject(new Error("late"))</script>`, fault: "exception: Uncaught (in promise) Error: late"},
		"missing image":  {html: `<img src="/missing" alt="">`, fault: "status of 404"},
		"refused image":  {html: `<img src="http://127.0.0.1:1/" alt="">`, fault: "loading of a Image failed"},
		"style attrib":   {html: `<p style="color: red">`, policy: "style-src 'self'", fault: "error of security"},
		"script":         {html: `<script>1</script>`, policy: "script-src 'none'", fault: "issue: ContentSecurityPolicyIssue"},
		"form-action":    {html: `<form action="http://other.example.test/"><button>Go</button></form>`, policy: "form-action 'self'", click: true, fault: "form-action"},
		"form redirect":  {html: `<form action="/away" method="post"><button>Go</button></form>`, policy: "form-action 'self'", click: true, fault: "form-action"},
		"dialog":         {html: `<script>alert("look")</script>`, fault: `dialog: alert "look"`},
		"password field": {html: `<form><label>Password <input type="password" name="p"></label></form>`, fault: "verbose of"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := pages[strings.ReplaceAll(r.URL.Path[1:], "-", " ")]
		switch {
		case r.URL.Path == "/away":
			http.Redirect(w, r, "http://other.example.test/", http.StatusSeeOther)
			return
		case r.URL.Path == "/form-action":
			p, ok = pages["form-action"], true
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		if p.policy != "" {
			w.Header().Set("Content-Security-Policy", p.policy)
		}
		fmt.Fprint(w, "<!doctype html><html lang=en><link rel=icon href=data:,>", p.html)
	}))
	t.Cleanup(server.Close)
	for name, p := range pages {
		t.Run(name, func(t *testing.T) {
			b := newFaultyTab(t)
			b.open(server.URL + "/" + strings.ReplaceAll(name, " ", "-"))
			if p.click {
				b.must(b.run(b.click(b.find("button", "Go"))))
			}
			await(t, "the fault "+p.fault, func() bool {
				return slices.ContainsFunc(b.unexpected(), func(fault string) bool { return strings.Contains(fault, p.fault) })
			})
		})
	}
	t.Run("no scripts", func(t *testing.T) {
		b := newTab(t)
		b.disableScripts()
		b.open(server.URL + "/error")
	})
	t.Run("another origin", func(t *testing.T) {
		b := newFaultyTab(t)
		ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
		defer cancel()
		if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/away")); err == nil {
			t.Error("the way there failed for no reason")
		}
		if attempts := b.attempts(); !slices.Contains(attempts, "http://other.example.test/") {
			t.Errorf("it went to %q", attempts)
		}
	})
}
