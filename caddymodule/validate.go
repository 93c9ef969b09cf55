package caddymodule

import (
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"
)

var (
	label  = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	digits = regexp.MustCompile(`^[0-9]+$`)
)

// validateCookieDomain refuses what a browser would not take as the Domain of a cookie
// (RFC 6265, section 5.3), because there everybody would be signed out for ever.
func validateCookieDomain(domain string) error {
	if domain == "" {
		return nil
	}
	labels := strings.Split(domain, ".")
	for _, l := range labels {
		if !label.MatchString(l) {
			return fmt.Errorf("cookie_domain %q: must be a domain in lower case, as example.com, without a leading dot", domain)
		}
	}
	if digits.MatchString(labels[len(labels)-1]) {
		return fmt.Errorf("cookie_domain %q: must be a domain, not an address", domain)
	}
	if len(labels) == 1 {
		return fmt.Errorf("cookie_domain %q: must have a dot; browsers share no cookies across a whole top-level domain", domain)
	}
	if _, err := publicsuffix.EffectiveTLDPlusOne(domain); err != nil {
		return fmt.Errorf("cookie_domain %q: is a public suffix, under which sites of different owners lie; browsers refuse it", domain)
	}
	return nil
}
