package portal

import (
	"sync"

	useragent "github.com/medama-io/go-useragent"
	"github.com/medama-io/go-useragent/agents"
)

const unknownBrowser = "Unknown browser"

// maxUserAgentRead bounds how much of a User-Agent is parsed, in bytes. Browsers send less than
// half of it.
const maxUserAgentRead = 512

// maxVersionDigits is the length of the longest version that browsers have. Longer ones are
// dropped.
const maxVersionDigits = 4

// userAgents is the parser. Its table takes five megabytes and some tens of milliseconds to build,
// so it is built when somebody first looks at their sessions. It is safe for concurrent use.
var userAgents = sync.OnceValue(useragent.NewParser)

// device returns the names of the browser and the system that sent a User-Agent, such as "Firefox
// 140" and "Windows". An unknown browser is "Unknown browser" and an unknown system is empty.
//
// Whoever signs in chooses this header, and the account's owner reads it to find out who that was.
// So device never passes on its text: names come from the parser's table, and a version is a few
// digits.
func device(userAgent string) (browser, system string) {
	if len(userAgent) > maxUserAgentRead {
		userAgent = userAgent[:maxUserAgentRead]
	}
	agent := userAgents().Parse(userAgent)
	return browserName(agent), systemName(agent)
}

func browserName(agent useragent.UserAgent) string {
	name := agent.Browser()
	switch name {
	case "":
		return unknownBrowser
	case agents.BrowserIE:
		return "Internet Explorer" // its number is taken from its engine, which counts otherwise
	case agents.BrowserSamsung:
		name = "Samsung Internet"
	}
	version := agent.BrowserVersionMajor()
	if version == "" || len(version) > maxVersionDigits {
		return string(name)
	}
	return string(name) + " " + version
}

func systemName(agent useragent.UserAgent) string {
	switch system := agent.OS(); system {
	case agents.OSIOS:
		if agent.IsTablet() {
			return "iPad"
		}
		return "iPhone"
	case agents.OSMacOS:
		return "Mac" // an iPad says so too, unless it is told not to
	default:
		return string(system)
	}
}
