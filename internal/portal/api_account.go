package portal

import (
	"net/http"
	"slices"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// activeEntry returns the account that a call is made as.
func activeEntry(v Visitor) (session.Entry, error) {
	active, ok := v.Visit.Active()
	if !ok {
		return session.Entry{}, noActive(v)
	}
	v.Visit.Used(active)
	return active, nil
}

func (p *Portal) changePasswordAPI(w http.ResponseWriter, r *http.Request, v Visitor) error {
	body, err := readObject(w, r)
	if err != nil {
		return err
	}
	next := body.text("newPassword")
	current := body.text("currentPassword")
	endOthers := body.optionalBool("revokeOtherSessions", false)
	if err := body.err(); err != nil {
		return err
	}
	active, err := activeEntry(v)
	if err != nil {
		return err
	}
	entry, err := p.changePassword(w, r, v, active, current, next, endOthers)
	if err != nil {
		return err
	}
	answer := wireToken{User: toWire(entry).User}
	if endOthers {
		answer.Token = &entry.Handle
	}
	return writeJSON(w, http.StatusOK, answer)
}

func (p *Portal) updateUserAPI(w http.ResponseWriter, r *http.Request, v Visitor) error {
	body, err := readObject(w, r)
	if err != nil {
		return err
	}
	active, err := activeEntry(v)
	if err != nil {
		return err
	}
	email := body.maybeText("email")
	profile := login.Profile{
		Name:            body.maybeText("name"),
		UserName:        body.maybeText("username"),
		DisplayUserName: body.maybeText("displayUsername"),
		Picture:         body.nullableText("image"),
	}
	switch {
	case body.err() != nil:
		return body.err()
	case email != nil && *email != "":
		return errEmailFixed
	case profile == login.Profile{}:
		return errNoFields
	}
	if _, err := p.updateProfile(r, v, active, profile); err != nil {
		return problemWithChosenName(err)
	}
	return writeJSON(w, http.StatusOK, wireStatus{Status: true})
}

func (p *Portal) listSessions(w http.ResponseWriter, r *http.Request, v Visitor) error {
	active, err := activeEntry(v)
	if err != nil {
		return err
	}
	found, err := p.devices(r, v, active)
	if err != nil {
		return err
	}
	slices.Reverse(found) // the wire contract lists the oldest sign-in first
	list := make([]wireSession, len(found))
	for i, f := range found {
		list[i] = toWire(f.Entry).Session
	}
	return writeJSON(w, http.StatusOK, list)
}

// revokeSessionAPI takes the session's handle, as the wire contract has it, or its id.
func (p *Portal) revokeSessionAPI(w http.ResponseWriter, r *http.Request, v Visitor) error {
	body, err := readObject(w, r)
	if err != nil {
		return err
	}
	name := body.text("token")
	if err := body.err(); err != nil {
		return err
	}
	active, err := activeEntry(v)
	if err != nil {
		return err
	}
	if err := p.endSession(w, r, v, active, name); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wireStatus{Status: true})
}

func (p *Portal) revokeSessionsAPI(w http.ResponseWriter, r *http.Request, v Visitor) error {
	return p.revokeManyAPI(w, r, v, func(active session.Entry) error { return p.endAll(w, r, v, active) })
}

func (p *Portal) revokeOtherSessionsAPI(w http.ResponseWriter, r *http.Request, v Visitor) error {
	return p.revokeManyAPI(w, r, v, func(active session.Entry) error { return p.endOthers(r, v, active) })
}

func (p *Portal) revokeManyAPI(w http.ResponseWriter, r *http.Request, v Visitor, end func(active session.Entry) error) error {
	if _, err := readOptionalObject(w, r); err != nil {
		return err
	}
	active, err := activeEntry(v)
	if err != nil {
		return err
	}
	if err := end(active); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wireStatus{Status: true})
}
