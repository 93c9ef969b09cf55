package portal

import (
	"regexp"
	"strings"
	"sync"
	"testing"
)

const webKit = "AppleWebKit/605.1.15 (KHTML, like Gecko) "

var userAgentTests = []struct{ name, userAgent, browser, system string }{
	{"Firefox on Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140", "Windows"},
	{"Firefox on Linux", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140", "Linux"},
	{"Firefox on a Mac", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140", "Mac"},
	{"Firefox on Android", "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox 140", "Android"},
	{"Firefox on an iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) " + webKit + "FxiOS/140.0 Mobile/15E148 Safari/605.1.15", "Firefox 140", "iPhone"},
	{"Chrome on Windows", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36", "Chrome 138", "Windows"},
	{"Chrome on ChromeOS", "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36", "Chrome 138", "ChromeOS"},
	{"Chrome on Android", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Mobile Safari/537.36", "Chrome 138", "Android"},
	{"Chrome on an iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) " + webKit + "CriOS/138.0.7204.33 Mobile/15E148 Safari/604.1", "Chrome 138", "iPhone"},
	{"Edge", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0", "Edge 138", "Windows"},
	{"Safari on a Mac", "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) " + webKit + "Version/18.5 Safari/605.1.15", "Safari 18", "Mac"},
	{"Safari on an iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) " + webKit + "Version/18.5 Mobile/15E148 Safari/604.1", "Safari 18", "iPhone"},
	{"Safari on an iPad", "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) " + webKit + "Version/16.6 Mobile/15E148 Safari/604.1", "Safari 16", "iPad"},
	{"an app on an iPhone", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) " + webKit + "Mobile/15E148", "Safari", "iPhone"},
	{"Samsung Internet", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "Samsung Internet 28", "Android"},
	{"Android WebView", "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A.240205.002; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/121.0.6167.178 Mobile Safari/537.36", "Chrome 121", "Android"},
	{"Opera", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/137.0.0.0 Safari/537.36 OPR/121.0.0.0", "Opera 121", "Windows"},
	{"Internet Explorer", "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", "Internet Explorer", "Windows"},
	{"headless", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/138.0.0.0 Safari/537.36", "Chrome 138", "Linux"},

	{"curl", "curl/8.14.1", unknownBrowser, ""},
	{"Go", "Go-http-client/2.0", unknownBrowser, ""},
	{"empty", "", unknownBrowser, ""},
	{"junk", strings.Repeat("junk/1.0 (", 410), unknownBrowser, ""},
	{"not UTF-8", "\xff\xfeMozilla\x80", unknownBrowser, ""},
	{"behind junk", strings.Repeat(" ", 4<<10) + "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", unknownBrowser, ""},
	{"turned around", "\u202e0.041/xoferiF \u2066Windows\u2069", unknownBrowser, ""},
	{"markup", `<script>alert(1)</script>`, unknownBrowser, ""},
	{"markup for a version", `Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/<b>140</b>`, "Firefox", "Linux"},
	{"words for a version", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140\u202e, this browser", "Firefox 140", "Linux"},
	{"endless version", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/" + strings.Repeat("9", 100), "Firefox", "Linux"},
}

func TestDevice(t *testing.T) {
	for _, c := range userAgentTests {
		t.Run(c.name, func(t *testing.T) {
			if browser, system := device(c.userAgent); browser != c.browser || system != c.system {
				t.Errorf("%q on %q, want %q on %q", browser, system, c.browser, c.system)
			}
		})
	}
}

// TestDeviceAtOnce is for the race detector.
func TestDeviceAtOnce(t *testing.T) {
	var all sync.WaitGroup
	for _, c := range userAgentTests {
		all.Go(func() {
			if browser, _ := device(c.userAgent); browser != c.browser {
				t.Errorf("%s: %q", c.name, browser)
			}
		})
	}
	all.Wait()
}

// shownBrowser and shownSystem match everything that device may return, so no text of a User-Agent
// reaches the page.
var (
	shownBrowser = regexp.MustCompile(`^([A-Z][a-z]+( [A-Z][a-z]+)?( \d{1,4})?|Unknown browser)$`)
	shownSystem  = regexp.MustCompile(`^(|Android|ChromeOS|FreeBSD|Linux|Mac|OpenBSD|Windows|iPad|iPhone)$`)
)

func FuzzDevice(f *testing.F) {
	for _, c := range userAgentTests {
		f.Add(c.userAgent)
	}
	f.Fuzz(func(t *testing.T, userAgent string) {
		browser, system := device(userAgent)
		if len(browser) > 32 || !shownBrowser.MatchString(browser) || !shownSystem.MatchString(system) {
			t.Errorf("%q on %q", browser, system)
		}
	})
}
