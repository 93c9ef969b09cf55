package portal

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal/page"
)

// handler answers a request. If it returns an error, the caller answers with that; the handler must
// not have written anything then.
type handler func(w http.ResponseWriter, r *http.Request, v Visitor) error

// route is what a path serves. GET includes HEAD.
type route struct {
	get, post handler
	page      bool // for people: errors are pages too
	asset     bool // a part of pages, such as their style
	static    bool // the same for everybody, so it is served even if nothing is known of the browser
	signsIn   bool // POST signs in, which is worth forging even without cookies
	once      bool // GET has an effect: it must not be repeated, and HEAD, which programs use to look ahead, is refused
	provider  bool // POST comes from a provider: from its server, or from a form on its page
}

// table returns all paths of the portal, without the prefix.
func (p *Portal) table() map[string]route {
	table := map[string]route{
		"":           {get: p.home, page: true},
		"/":          {get: p.home, page: true},
		"/sign-in":   {get: p.signInPage, post: p.signInForm, page: true, signsIn: true},
		"/accounts":  {get: p.accountsPage, post: p.accountsForm, page: true},
		"/sign-up":   {get: p.signUpPage, post: p.signUpForm, page: true, signsIn: true},
		"/account":   {get: p.accountPage, post: p.accountForm, page: true},
		"/style.css": {get: asset(page.Style()), asset: true, static: true},
		"/icon.svg":  {get: asset(page.Icon()), asset: true, static: true},
		"/follow.js": {get: asset(page.FollowScript()), asset: true, static: true},
		"/forms.js":  {get: asset(page.FormsScript()), asset: true, static: true},

		"/openapi.json":                       p.description(),
		"/ok":                                 {get: p.health, static: true},
		"/get-session":                        {get: p.getSession},
		"/events":                             {get: p.events},
		"/sign-in/email":                      {post: p.signInEmail, signsIn: true},
		"/sign-in/username":                   {post: p.signInUsername, signsIn: true},
		"/sign-in/social":                     {post: p.signInSocial, signsIn: true},
		"/sign-in/oauth2":                     {post: p.signInOAuth2, signsIn: true},
		"/sign-up/email":                      {post: p.signUpAPI, signsIn: true},
		"/is-username-available":              {post: p.isUsernameAvailable},
		"/sign-out":                           {get: p.signOutPage, post: p.signOutAPI},
		"/change-password":                    {post: p.changePasswordAPI},
		"/update-user":                        {post: p.updateUserAPI},
		"/list-sessions":                      {get: p.listSessions},
		"/revoke-session":                     {post: p.revokeSessionAPI},
		"/revoke-sessions":                    {post: p.revokeSessionsAPI},
		"/revoke-other-sessions":              {post: p.revokeOtherSessionsAPI},
		"/multi-session/list-device-sessions": {get: p.listDeviceSessions},
		"/multi-session/set-active":           {post: p.setActiveAPI},
		"/multi-session/revoke":               {post: p.revokeAPI},
	}
	for _, provider := range p.logins.Providers() {
		table["/same-account"] = route{get: p.sameAccountPage, page: true}
		table["/signed-out"] = route{get: p.signedOutPage, page: true, once: true}
		back := route{get: p.callbackPage(provider), post: p.callbackForm, page: true, once: true, provider: true}
		table["/callback/"+provider.ID()] = back
		table["/oauth2/callback/"+provider.ID()] = back
		if receiver, ok := provider.(login.FrontChannelReceiver); ok {
			table["/oidc/"+provider.ID()+"/frontchannel-logout"] = route{get: p.frontChannelLogout(receiver), once: true, provider: true}
		}
		if receiver, ok := provider.(login.LogoutReceiver); ok {
			table["/oidc/"+provider.ID()+"/backchannel-logout"] = route{post: p.backChannelLogout(receiver), provider: true}
		}
	}
	return table
}

// Owns reports whether a path belongs to the portal, so that no upstream may answer it.
func (p *Portal) Owns(path string) bool {
	rest, ok := strings.CutPrefix(path, p.prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// Static reports whether a path of the portal serves the same bytes to everybody. Such a path may
// be served although the session cannot be looked up, so that error pages have their style.
func (p *Portal) Static(path string) bool {
	return p.routes[strings.TrimPrefix(path, p.prefix)].static
}

// ServeHTTP answers a request for a path that the portal owns. It answers 404 where there is
// nothing.
//
// A route does not have the method OPTIONS: the answer is 405, and Allow lists the methods (RFC
// 9110, section 9.3.7). A CORS preflight fails by that, as it should. Only preflights of trusted
// origins for the API succeed.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request, v Visitor) {
	setCommonHeaders(w.Header())
	defer boundBody(w, r)()
	shared := p.share(w.Header(), r, v)
	route, ok := p.routes[strings.TrimPrefix(r.URL.Path, p.prefix)]
	if !ok {
		p.fail(w, r, v, shown(r), errNotFound)
		return
	}
	if shared && preflight(r) {
		permit(w, r, route)
		return
	}
	handle, ok := route.methods()[r.Method]
	if !ok {
		w.Header().Set("Allow", route.allow())
		p.fail(w, r, v, shown(r), errMethodNotAllowed)
		return
	}
	if r.Method == http.MethodPost && !route.provider {
		if err := p.checkOrigin(r, v, route.signsIn); err != nil {
			p.audit.logForgery(r, v, err)
			p.fail(w, r, v, route.page, err)
			return
		}
	}
	if err := handle(w, r, v); err != nil {
		p.fail(w, r, v, route.page, err)
	}
}

func (t route) methods() map[string]handler {
	methods := make(map[string]handler, 3)
	if t.get != nil {
		methods[http.MethodGet] = t.get
		if !t.once {
			methods[http.MethodHead] = t.get
		}
	}
	if t.post != nil {
		methods[http.MethodPost] = t.post
	}
	return methods
}

func (t route) allow() string {
	return strings.Join(slices.Sorted(maps.Keys(t.methods())), ", ")
}

func asset(body []byte, contentType string) handler {
	return func(w http.ResponseWriter, _ *http.Request, _ Visitor) error {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body) // fails only when the browser has gone
		return nil
	}
}
