package portal

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// ParseOrigin returns an origin in the one form that browsers write it in (RFC 6454, section 6.2):
// lower case, without the scheme's own port. Paths, user names, wildcards and names of other than
// ASCII letters are refused, and so is every host that a browser would read as another one.
func ParseOrigin(text string) (string, error) {
	origin, rest, err := cutOrigin(text)
	switch {
	case err != nil:
		return "", err
	case rest != "":
		return "", errors.New("must end after the host and port, without a slash or path")
	}
	return origin, nil
}

// cutOrigin takes the origin off the front of an absolute URL. The origin is canonical and the rest
// is empty or begins with a slash, question mark or number sign.
//
// Nothing is repaired that a browser would repair (WHATWG URL, section 4.4): what it takes, every
// reader takes for the same.
func cutOrigin(url string) (origin, rest string, err error) {
	scheme, after, ok := strings.Cut(url, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "https" && scheme != "http" {
		return "", "", errors.New("must begin with https:// or http://")
	}
	authority := after
	if end := strings.IndexAny(after, "/?#"); end >= 0 {
		authority, rest = after[:end], after[end:]
	}
	host, port, err := cutPort(authority)
	if err != nil {
		return "", "", err
	}
	if host, err = canonicalHost(host); err != nil {
		return "", "", err
	}
	origin = scheme + "://" + host
	if port != "" && !(scheme == "https" && port == "443") && !(scheme == "http" && port == "80") {
		origin += ":" + port
	}
	return origin, rest, nil
}

// hostOf is the host of a canonical origin, without port.
func hostOf(origin string) string {
	_, authority, _ := strings.Cut(origin, "://")
	host, _, _ := cutPort(authority)
	return host
}

func cutPort(authority string) (host, port string, err error) {
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || strings.HasSuffix(authority, "]") {
		return authority, "", nil
	}
	host, port = authority[:colon], authority[colon+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "", "", errors.New("the port must be a number from 1 to 65535")
	}
	return host, port, nil
}

// maxHostBytes is what the DNS has room for (RFC 1035, section 2.3.4).
const maxHostBytes = 253

func canonicalHost(host string) (string, error) {
	if strings.HasPrefix(host, "[") {
		return canonicalIPv6(host)
	}
	host = strings.ToLower(host)
	if len(host) > maxHostBytes {
		return "", errors.New("the host is too long")
	}
	var last string
	for label := range strings.SplitSeq(host, ".") {
		if label == "" {
			return "", errors.New("the host must have no empty part and no dot at its end")
		}
		if strings.ContainsFunc(label, notInHost) {
			return "", errors.New("the host must have only letters and digits of ASCII, hyphens, underscores and dots")
		}
		last = label
	}
	// A browser reads a name whose last part is a number as an IPv4 address in any of a dozen
	// spellings; only the usual one is the same to everybody.
	if endsInNumber(last) {
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

func notInHost(c rune) bool {
	return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_')
}

// endsInNumber is the question of the WHATWG URL standard, section 3.5, about a host's last label.
func endsInNumber(label string) bool {
	if digits, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
