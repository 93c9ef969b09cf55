package isolation

import (
	"path"
	"strings"
)

// Options say which cookies of apps are isolated, and how much room cookies may take in a browser.
// The zero Options isolate every cookie. They must not change while they are used.
type Options struct {
	// Except has the names of cookies that all accounts of a browser share. An asterisk stands for
	// any characters but a slash.
	Except []string

	// Scripted has the names of cookies that scripts make at the path / for the host, and of which
	// each account has its own. Asterisks are as in Except.
	Scripted []string

	// MaxBytes bounds the Cookie header of a request in bytes. An app's cookie that would make it
	// larger is not set. Default, if zero: DefaultMaxBytes.
	MaxBytes int
}

// DefaultMaxBytes leaves room for the rest of a request's header within the 16 KiB that Caddy takes
// by default.
const DefaultMaxBytes = 10 << 10

// maxCookies bounds the cookies of a browser, copies included. Browsers keep some 180 cookies of a
// site and drop the oldest ones beyond that.
const maxCookies = 150

func (o *Options) maxBytes() int {
	if o.MaxBytes > 0 {
		return o.MaxBytes
	}
	return DefaultMaxBytes
}

func (o *Options) excepted(name string) bool { return matches(o.Except, name) }
func (o *Options) scripted(name string) bool { return matches(o.Scripted, name) }

// matches reports whether a name matches any of the patterns.
func matches(patterns []string, name string) bool {
	for _, pattern := range patterns {
		if pattern == name {
			return true
		}
		if strings.Contains(pattern, "*") {
			if ok, err := path.Match(pattern, name); ok && err == nil {
				return true
			}
		}
	}
	return false
}
