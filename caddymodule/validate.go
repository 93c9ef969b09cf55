package caddymodule

import (
	"fmt"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

// validateCookieDomain refuses a domain that browsers take no cookies for.
func validateCookieDomain(domain string) error {
	if domain == "" {
		return nil
	}
	if err := origin.ValidateCookieDomain(domain); err != nil {
		return fmt.Errorf("cookie_domain %q: %w", domain, err)
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
	site, ok := strings.CutSuffix(uri, a.Path+"/callback/"+provider.ID())
	if !ok {
		site, ok = strings.CutSuffix(uri, a.Path+"/oauth2/callback/"+provider.ID())
	}
	if !ok {
		return fmt.Errorf("%q: must end with %s/callback/%s, behind a site's origin", uri, a.Path, provider.ID())
	}
	canonical, err := origin.Parse(site)
	if err == nil && canonical != site {
		err = fmt.Errorf("browsers write %s", canonical)
	}
	if err != nil {
		return fmt.Errorf("%q: %w", uri, err)
	}
	host := origin.Host(site)
	switch {
	case !strings.HasPrefix(site, "https:") && !a.InsecureHTTP && !origin.LoopbackForBrowser(host):
		return fmt.Errorf("%q: must be https", uri)
	case a.CookieDomain != "" && !origin.Within(host, a.CookieDomain):
		return fmt.Errorf("%q: must be within the cookie_domain %s, or the browser's cookies are not there", uri, a.CookieDomain)
	}
	return nil
}
