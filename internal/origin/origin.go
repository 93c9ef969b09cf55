// Package origin parses and compares web origins, hosts and domains. Every decision about which
// site a request comes from, or where a browser may be sent, rests on it, so there is one parser.
//
// The parser accepts only what every browser and every server reads alike. It repairs nothing that
// a browser would repair (WHATWG URL, section 4.4); such text is an error.
package origin

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Parse returns an origin in its canonical form, which is the form that browsers send (RFC 6454,
// section 6.2): lower case, without the scheme's default port. Only http and https have origins
// here. Parse refuses paths, user names, wildcards, names with letters outside ASCII, and every
// host that a browser would read as another one.
func Parse(text string) (string, error) {
	origin, rest, err := Cut(text)
	switch {
	case err != nil:
		return "", err
	case rest != "":
		return "", errors.New("must end after the host and port, without a slash or path")
	}
	return origin, nil
}

// Cut splits an absolute http or https URL into its canonical origin and the rest. The rest is
// empty or begins with a slash, question mark or number sign.
func Cut(url string) (origin, rest string, err error) {
	scheme, after, ok := strings.Cut(url, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "https" && scheme != "http" {
		return "", "", errors.New("must begin with https:// or http://")
	}
	authority := after
	if end := strings.IndexAny(after, "/?#"); end >= 0 {
		authority, rest = after[:end], after[end:]
	}
	host, port := splitPort(authority)
	if port != "" {
		if err := checkPort(port[1:]); err != nil {
			return "", "", err
		}
	}
	if host, err = canonicalHost(host); err != nil {
		return "", "", err
	}
	if port == defaultPort(scheme) {
		port = ""
	}
	return scheme + "://" + host + port, rest, nil
}

// OfURL returns the scheme, host and port of a parsed URL, with the port always spelled out. It is
// for comparing two URLs; it does not check that the host is sound.
func OfURL(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = strings.TrimPrefix(defaultPort(u.Scheme), ":")
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// Host returns the host of a canonical origin, without the port.
func Host(origin string) string {
	_, authority, _ := strings.Cut(origin, "://")
	return WithoutPort(authority)
}

// WithoutPort returns the host of a Host header or authority, without the port. An IPv6 address
// keeps its brackets.
func WithoutPort(hostport string) string {
	host, _ := splitPort(hostport)
	return host
}

// splitPort splits off the port, with its colon.
func splitPort(authority string) (host, port string) {
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || strings.HasSuffix(authority, "]") {
		return authority, ""
	}
	return authority[:colon], authority[colon:]
}

func checkPort(port string) error {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return errors.New("the port must be a number from 1 to 65535")
	}
	return nil
}

// defaultPort returns the port that a URL of the scheme has unless it names another, with a colon.
func defaultPort(scheme string) string {
	switch scheme {
	case "https":
		return ":443"
	case "http":
		return ":80"
	}
	return ""
}

// MaxHostBytes is the longest host name that the DNS can hold (RFC 1035, section 2.3.4).
const MaxHostBytes = 253

// ParseHostName returns a host name in lower case. It accepts letters and digits of ASCII, hyphens
// and underscores between single dots; it refuses ports and IPv6 addresses.
func ParseHostName(host string) (string, error) {
	host = strings.ToLower(host)
	if len(host) > MaxHostBytes {
		return "", errors.New("the host is too long")
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" {
			return "", errors.New("the host must have no empty part and no dot at its end")
		}
		if strings.ContainsFunc(label, notInHostName) {
			return "", errors.New("the host must have only letters and digits of ASCII, hyphens, underscores and dots")
		}
	}
	return host, nil
}

func notInHostName(c rune) bool {
	return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_')
}

func canonicalHost(host string) (string, error) {
	if strings.HasPrefix(host, "[") {
		return canonicalIPv6(host)
	}
	host, err := ParseHostName(host)
	if err != nil {
		return "", err
	}
	// Browsers read a name whose last label is a number as an IPv4 address, in any of a dozen
	// spellings. Only the usual spelling means the same address to everybody.
	if endsInNumber(host[strings.LastIndexByte(host, '.')+1:]) {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is4() {
			return "", errors.New("the host is not a plain IPv4 address, though it ends in a number")
		}
	}
	return host, nil
}

func canonicalIPv6(host string) (string, error) {
	addr, err := netip.ParseAddr(strings.TrimSuffix(host[1:], "]"))
	if err != nil || !addr.Is6() || addr.Zone() != "" || !strings.HasSuffix(host, "]") {
		return "", errors.New("the host is not an IPv6 address in brackets")
	}
	return "[" + addr.String() + "]", nil
}

// endsInNumber reports whether browsers take a host's last label for a number (WHATWG URL,
// section 3.5, "ends in a number").
func endsInNumber(label string) bool {
	if digits, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
