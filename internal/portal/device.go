package portal

import (
	"sync"

	useragent "github.com/medama-io/go-useragent"
	"github.com/medama-io/go-useragent/agents"
)

const unknownBrowser = "Unknown browser"

// maxUserAgentRead bounds what is looked at of a User-Agent. Browsers' own are shorter than half of it.
const maxUserAgentRead = 512

// maxVersionDigits is as long as versions of browsers get. What is longer is somebody's joke.
const maxVersionDigits = 4

// userAgents knows browsers by a table of five megabytes, which takes some tens of milliseconds to
// build: it is built when somebody first looks at their sessions. Any number of goroutines may read
// it at once.
var userAgents = sync.OnceValue(useragent.NewParser)

// device reads from a User-Agent what people call the browser and the system that sent it, such as
// "Firefox 140" and "Windows". The browser is "Unknown browser" and the system empty where it does
// not say.
//
// Whoever signs in chooses what this header says, and the user reads it to find out who that was. No
// text of it is handed on, therefore: names are those that the table knows, and of the version there
// are a few digits.
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
