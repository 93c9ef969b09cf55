package portal

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// paramDone is a query parameter of the account page. It says what was just done, as a key of
// notices. The page never shows text from its address.
const paramDone = "done"

// notices are what the account page says after an action, and in which section.
var notices = map[string]struct{ section, says string }{
	doneProfile:  {page.SectionProfile, "Your profile is saved."},
	donePassword: {page.SectionPassword, "Your password is changed."},
	doneEnd:      {page.SectionSessions, "The session has ended."},
	doneOthers:   {page.SectionSessions, "You are signed out everywhere else."},
}

const (
	doneProfile  = "profile"
	donePassword = "password"
	doneEnd      = "end"
	doneOthers   = "end-others"
)

// accountPage shows the active account to its owner.
func (p *Portal) accountPage(w http.ResponseWriter, r *http.Request, v Visitor) error {
	query := r.URL.Query()
	to, err := p.returning(v, query)
	if err != nil {
		return err
	}
	v = v.headedFor(to)
	active, ok := v.Visit.Active()
	if !ok {
		p.Challenge(w, r, v)
		return nil
	}
	v.Visit.Used(active)
	view, err := p.accountView(r, v, active, to)
	if err != nil {
		return err
	}
	done := notices[query.Get(paramDone)]
	view.Section, view.Notice = done.section, done.says
	page.WriteProfile(w, http.StatusOK, view)
	return nil
}

func (p *Portal) accountView(r *http.Request, v Visitor, active session.Entry, to destination) (page.Profile, error) {
	found, err := p.devices(r, v, active)
	if err != nil {
		return page.Profile{}, err
	}
	_, kept := p.logins.AccountEditor(active.Identity.Account)
	view := page.Profile{
		Frame:         p.frame(v, to),
		ReturnTo:      to.text,
		Account:       p.account(active),
		Editable:      kept,
		Name:          active.Identity.Name,
		UserName:      active.Identity.UserName,
		Email:         active.Identity.Email,
		Picture:       active.Identity.Picture,
		EmailVerified: active.Identity.EmailVerified,
		MinPassword:   login.MinPassword,
		Now:           p.now(),
	}
	if provider, ok := p.logins.Provider(active.Identity.Account.Method); ok {
		view.Provider = provider.Label()
	}
	for _, f := range found {
		browser, system := device(f.UserAgent)
		shown := page.Device{
			ID: f.ID, Browser: browser, System: system, IP: f.IP,
			SignedIn: f.CreatedAt, LastUsed: f.LastUsedAt, Current: f.ID == active.ID,
		}
		if shown.Current {
			view.Devices = append([]page.Device{shown}, view.Devices...)
			continue
		}
		view.Devices = append(view.Devices, shown)
	}
	return view, nil
}

// accountForm performs the action of one of the account page's buttons. The form names the account
// that the page showed; if another account is active now, nothing changes.
func (p *Portal) accountForm(w http.ResponseWriter, r *http.Request, v Visitor) error {
	form, to, err := p.readForm(w, r, v)
	if err != nil {
		return err
	}
	v = v.headedFor(to)
	active, ok := v.Visit.Active()
	if !ok || active.Handle != form.Get("account") {
		return errOtherAccount
	}
	v.Visit.Used(active)
	switch form.Get("action") {
	case "profile":
		return p.profileForm(w, r, v, active, form, to)
	case "password":
		return p.passwordForm(w, r, v, active, form, to)
	case "end":
		return p.endForm(w, r, v, active, form.Get("session"), to)
	case "end-others":
		if err := p.endOthers(r, v, active); err != nil {
			return err
		}
		redirect(w, p.accountDone(doneOthers, to))
		return nil
	}
	return errBadForm
}

// accountDone returns the address of the account page after an action.
func (p *Portal) accountDone(done string, to destination) string {
	return p.address("/account", to, url.Values{paramDone: {done}}) + "#" + notices[done].section
}

func (p *Portal) profileForm(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry, form url.Values, to destination) error {
	given := func(field string) *string {
		text := strings.TrimSpace(form.Get(field))
		return &text
	}
	profile := login.Profile{Name: given("name"), UserName: given("username"), Picture: given("picture")}
	_, err := p.updateProfile(r, v, active, profile)
	if err == nil {
		redirect(w, p.accountDone(doneProfile, to))
		return nil
	}
	view, viewErr := p.accountView(r, v, active, to)
	if viewErr != nil {
		return viewErr
	}
	view.Section = page.SectionProfile
	view.Name, view.UserName, view.Picture = *profile.Name, *profile.UserName, *profile.Picture
	status := p.explain(w, r, v, err, &view.Problem, &view.Field)
	page.WriteProfile(w, status, view)
	return nil
}

func (p *Portal) passwordForm(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry, form url.Values, to destination) error {
	endOthers := form.Get("end_others") == "1"
	_, err := p.changePassword(w, r, v, active, form.Get("current_password"), form.Get("new_password"), endOthers)
	if err == nil {
		redirect(w, p.accountDone(donePassword, to))
		return nil
	}
	view, viewErr := p.accountView(r, v, active, to)
	if viewErr != nil {
		return viewErr
	}
	view.Section, view.KeepOthers = page.SectionPassword, !endOthers
	status := p.explain(w, r, v, err, &view.Problem, &view.Field)
	switch {
	case view.Field == "password":
		view.Field = "new_password"
	case view.Problem == errInvalidPassword.explain():
		view.Field = "current_password"
	}
	page.WriteProfile(w, status, view)
	return nil
}

// endForm ends a session of the account. This browser's own session is signed out as in the
// chooser.
func (p *Portal) endForm(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry, id string, to destination) error {
	if id == active.ID {
		next, err := p.accountsAction(w, r, v, "sign-out", active.Handle, to)
		if err == nil {
			p.followHop(w, v, next)
		}
		return err
	}
	if err := p.endSession(w, r, v, active, id); err != nil {
		return err
	}
	redirect(w, p.accountDone(doneEnd, to))
	return nil
}
