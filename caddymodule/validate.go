package caddymodule

import (
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal"
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

// validateActive refuses hosts with an active account each where they share no jar: whoever asks for it
// expects that they do.
func (a *App) validateActive() error {
	switch {
	case a.Active != ActivePerJar && a.Active != ActivePerHost:
		return fmt.Errorf("active %q: must be %s or %s", a.Active, ActivePerJar, ActivePerHost)
	case a.Active == ActivePerHost && a.CookieDomain == "":
		return fmt.Errorf("active %s: needs a cookie_domain; without one hosts share no accounts, and each has an active one of its own anyway", ActivePerHost)
	}
	return nil
}

// validateRedirectURI refuses an address at which the gateway would not take a provider's answer, or
// would not find the cookie that says whose it is.
func (a *App) validateRedirectURI(provider login.Provider) error {
	uri := provider.RedirectURI()
	if uri == "" {
		return nil
	}
	origin, ok := strings.CutSuffix(uri, a.Path+"/callback/"+provider.ID())
	if !ok {
		origin, ok = strings.CutSuffix(uri, a.Path+"/oauth2/callback/"+provider.ID())
	}
	if !ok {
		return fmt.Errorf("%q: must end with %s/callback/%s, behind a site's origin", uri, a.Path, provider.ID())
	}
	canonical, err := portal.ParseOrigin(origin)
	if err == nil && canonical != origin {
		err = fmt.Errorf("browsers write %s", canonical)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", uri, err)
	}
	scheme, host, _ := strings.Cut(origin, "://")
	host = hostname(host)
	switch {
	case scheme != "https" && !a.InsecureHTTP && !cookie.Loopback(host):
		return fmt.Errorf("%q: must be https", uri)
	case a.CookieDomain != "" && !cookie.Within(host, a.CookieDomain):
		return fmt.Errorf("%q: must be within the cookie_domain %s, or the browser's cookies are not there", uri, a.CookieDomain)
	}
	return nil
}

// hostname returns a host without its port.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}
