package portal

import (
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal/page"
)

// paramInvitation is the query parameter of the sign-up page for the code of an invitation.
const paramInvitation = "invitation"

func (p *Portal) signUpPage(w http.ResponseWriter, r *http.Request, v Visitor) error {
	_, rules, open := p.logins.Registrar()
	if !open {
		return errNotFound
	}
	query := r.URL.Query()
	to, err := p.returning(v, query)
	if err != nil {
		return err
	}
	view := p.signUpView(v.headedFor(to), to, rules)
	view.Invitation = fillIn(query.Get(paramInvitation))
	page.WriteSignUp(w, http.StatusOK, view)
	return nil
}

func (p *Portal) signUpView(v Visitor, to destination, rules login.Rules) page.SignUp {
	return page.SignUp{
		Frame:          p.frame(v, to),
		ReturnTo:       to.text,
		AskInvitation:  rules.Invitation,
		NeedInvitation: rules.OnlyInvited,
		MinPassword:    login.MinPassword,
		AccountCount:   len(v.Visit.Entries()),
	}
}

func (p *Portal) signUpForm(w http.ResponseWriter, r *http.Request, v Visitor) error {
	_, rules, open := p.logins.Registrar()
	if !open {
		return errNotFound
	}
	form, to, err := p.readForm(w, r, v)
	if err != nil {
		return err
	}
	v = v.headedFor(to)
	registration := login.Registration{
		Name:       strings.TrimSpace(form.Get("name")),
		UserName:   strings.TrimSpace(form.Get("username")),
		Email:      strings.TrimSpace(form.Get("email")),
		Password:   form.Get("password"),
		Invitation: strings.TrimSpace(form.Get("invitation")),
	}
	_, err = p.signUp(w, r, v, registration, true)
	if err == nil {
		redirect(w, to.location())
		return nil
	}
	view := p.signUpView(v, to, rules)
	view.Name, view.UserName, view.Email = registration.Name, registration.UserName, registration.Email
	view.Invitation = registration.Invitation
	status := p.explain(w, r, v, err, &view.Problem, &view.Field)
	page.WriteSignUp(w, status, view)
	return nil
}
