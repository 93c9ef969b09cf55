package origin

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Within reports whether a host is the domain or below it. Both are in lower case and without a
// port.
func Within(host, domain string) bool {
	rest, ok := strings.CutSuffix(host, domain)
	return ok && (rest == "" || strings.HasSuffix(rest, "."))
}

// CookieDomains returns the domains that a host can set cookies for: its own name and those above
// it, up to the registrable one. The host is in lower case and without a port. Addresses and names
// without a registrable domain have none.
func CookieDomains(host string) []string {
	if LoopbackForServer(host) || digits.MatchString(host[strings.LastIndexByte(host, '.')+1:]) {
		return nil
	}
	registrable, err := publicsuffix.EffectiveTLDPlusOne(host)
	if err != nil {
		return nil
	}
	var domains []string
	for {
		domains = append(domains, host)
		_, above, ok := strings.Cut(host, ".")
		if host == registrable || !ok {
			return domains
		}
		host = above
	}
}

var (
	domainLabel = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	digits      = regexp.MustCompile(`^[0-9]+$`)
)

// ValidateCookieDomain refuses every domain that a browser refuses as the Domain of a cookie
// (RFC 6265, section 5.3). With such a domain nobody could stay signed in.
func ValidateCookieDomain(domain string) error {
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if !domainLabel.MatchString(label) {
			return errors.New("must be a domain in lower case, as example.com, without a leading dot")
		}
	}
	if digits.MatchString(labels[len(labels)-1]) {
		return errors.New("must be a domain, not an address")
	}
	if len(labels) == 1 {
		return errors.New("must have a dot; browsers share no cookies across a whole top-level domain")
	}
	if _, err := publicsuffix.EffectiveTLDPlusOne(domain); err != nil {
		return errors.New("is a public suffix, under which sites of different owners lie; browsers refuse it")
	}
	return nil
}

// LoopbackForBrowser reports whether a browser reaches only its own machine under a host name:
// localhost and every name below it (RFC 6761, section 6.3), and the addresses of loopback. An
// address may be in brackets.
func LoopbackForBrowser(host string) bool {
	return LoopbackForServer(host) || strings.HasSuffix(host, ".localhost")
}

// LoopbackForServer reports whether this process reaches only its own machine under a host name. It
// is stricter than LoopbackForBrowser: resolvers may ask other servers about a name below
// localhost.
func LoopbackForServer(host string) bool {
	if host == "localhost" {
		return true
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
