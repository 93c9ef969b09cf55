package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

// ownsJarCookies reports whether all jar's cookies of a request are of this gateway. The cookie of a
// gateway on a domain above has the same name, and must stay.
func (p *Portal) ownsJarCookies(r *http.Request, v Visitor) bool {
	known, err := p.knownJars(r, v)
	return err == nil && known > 0 && known == v.Cookies.Jar.Count
}

// knownJars counts the request's tokens that named jars here when the request arrived, or just
// before.
func (p *Portal) knownJars(r *http.Request, v Visitor) (known int, err error) {
	for _, token := range v.Cookie.Tokens(r.Header) {
		if token == v.Token && v.Visit.JarID() != "" {
			known++ // the jar may be gone by now
			continue
		}
		id, err := p.manager.JarOf(r.Context(), token)
		if err != nil {
			return 0, err
		}
		if id != "" {
			known++
		}
	}
	return known, nil
}

// clearDoubles deletes the jar's cookies of the request from wherever the browser holds them, except
// from the place where this site sets its own.
func (v Visitor) clearDoubles(w http.ResponseWriter) {
	v.Cookie.ClearDoubles(w.Header(), origin.WithoutPort(v.Host))
}

// clearJar deletes the jar's cookie from the browser.
func (p *Portal) clearJar(w http.ResponseWriter, r *http.Request, v Visitor) {
	if p.ownsJarCookies(r, v) {
		v.clearDoubles(w)
	}
	v.Cookie.Clear(w.Header())
}

// doubtful says what to do about a browser that sends several jar's cookies of which none counts. It
// is empty for all other browsers.
func (p *Portal) doubtful(r *http.Request, v Visitor) string {
	if v.Cookies.Jar.Count < 2 || !v.Token.IsZero() {
		return ""
	}
	known, err := p.knownJars(r, v)
	if err != nil || known < 2 && v.Cookies.Jar.Count <= cookie.MaxTokens {
		return ""
	}
	return "Your browser sends several cookies for the accounts of this site, and it is not certain which one is right. " +
		"Sign in again. If this page comes back, delete the cookies of " + origin.WithoutPort(v.Host) + " in the settings of your browser."
}
