package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Kinds of notes.
const (
	noteLogoutToken = "logout-token" // a logout token that was used
	noteEnded       = "ended"        // sessions that a provider has ended
	noteSignOuts    = "sign-outs"    // sign-outs at providers that are still to come
)

// endByProvider ends the sessions that a logout token names, in all jars.
func (p *Portal) endByProvider(r *http.Request, v Visitor, receiver login.LogoutReceiver, token string) error {
	ended, err := p.applyLogout(r.Context(), receiver, token)
	if err != nil {
		p.audit.logProviderLogoutFailure(r, v, eventLogout, receiver.ID(), err)
		return err
	}
	p.audit.logProviderLogout(r, v, eventLogout, receiver.ID(), ended)
	return nil
}

// maxUnsolicited is how many front-channel logouts a minute are noted for sign-ins that are under way.
// Anybody can send such requests, and each note takes room in the store until it expires. Beyond the
// limit they still end the sessions that there are.
const maxUnsolicited = 60

// endByFrontChannel ends the sessions that a provider's page names, in all jars.
func (p *Portal) endByFrontChannel(r *http.Request, v Visitor, receiver login.FrontChannelReceiver) error {
	logout, err := receiver.FrontChannelLogout(r.URL.Query())
	if err != nil {
		p.audit.logProviderLogoutFailure(r, v, eventFrontChannel, receiver.ID(), err)
		return err
	}
	var ended []session.Ended
	if p.unsolicited.AllowN(p.now(), 1) {
		ended, err = p.endLoggedOut(r.Context(), receiver.ID(), logout)
	} else {
		ended, err = p.endNamed(r.Context(), receiver.ID(), logout)
	}
	if err != nil {
		p.audit.logProviderLogoutFailure(r, v, eventFrontChannel, receiver.ID(), err)
		return err
	}
	p.audit.logProviderLogout(r, v, eventFrontChannel, receiver.ID(), ended)
	return nil
}

// applyLogout verifies a logout token and ends the sessions that it names. It marks the token as
// used only afterwards, so that a provider whose first try failed can send the same token again.
func (p *Portal) applyLogout(ctx context.Context, receiver login.LogoutReceiver, token string) ([]session.Ended, error) {
	if token == "" {
		return nil, &login.RejectedError{Reason: "no_logout_token"}
	}
	logout, err := receiver.VerifyLogout(ctx, token)
	if err != nil {
		return nil, err
	}
	name := receiver.ID() + "\x00" + logout.JTI
	_, used, err := p.notes.Get(ctx, noteLogoutToken, name)
	if err != nil {
		return nil, err
	}
	if used {
		return nil, &login.RejectedError{Reason: "replay"}
	}
	ended, err := p.endLoggedOut(ctx, receiver.ID(), logout)
	if err != nil {
		return nil, err
	}
	err = p.notes.Put(ctx, noteLogoutToken, name, nil, logout.Expiry)
	if err != nil && !errors.Is(err, session.ErrNoted) && !errors.Is(err, session.ErrNote) {
		return nil, err // a parallel request noted it first, or the token has just expired
	}
	return ended, nil
}

// endLoggedOut ends the sessions that a logout names. It writes a note first, which sign-ins look
// for after they have stored their session. So a session that is being made ends too, whichever
// comes first.
func (p *Portal) endLoggedOut(ctx context.Context, method string, logout *login.Logout) ([]session.Ended, error) {
	name := endedSubject(method, logout.Subject)
	if logout.SID != "" {
		name = endedSID(method, logout.SID)
	}
	note, err := json.Marshal(endedNote{Subject: logout.Subject, At: p.now()})
	if err != nil {
		return nil, fmt.Errorf("note a logout: %w", err)
	}
	if err := p.notes.Replace(ctx, noteEnded, name, note, p.now().Add(flowLifetime)); err != nil {
		return nil, err
	}
	return p.endNamed(ctx, method, logout)
}

// endNamed ends the sessions that a logout names and that are there already.
func (p *Portal) endNamed(ctx context.Context, method string, logout *login.Logout) ([]session.Ended, error) {
	sel := session.Selection{Method: method, SID: logout.SID}
	if logout.Subject != "" {
		sel.Account = session.Account{Method: method, Subject: logout.Subject}
	}
	ended, err := p.manager.End(ctx, sel, nil)
	if errors.Is(err, session.ErrUnreadable) {
		// The jars that cannot be read count as signed out already.
		p.log.Error("ending sessions that a provider has ended", zap.String("method", method), zap.Error(err))
		err = nil
	}
	return ended, err
}

// endedNote says which sessions a provider has ended. By subject it covers the sessions made before
// At. By sid it covers that session, if the subject is the same or the note names none.
type endedNote struct {
	Subject string    `json:"subject,omitempty"`
	At      time.Time `json:"at"`
}

func endedSID(method, sid string) string         { return method + "\x00sid\x00" + sid }
func endedSubject(method, subject string) string { return method + "\x00sub\x00" + subject }

// endedSince reports whether the provider has ended a sign-in that began at since.
func (p *Portal) endedSince(ctx context.Context, granted *login.Granted, since time.Time) (bool, error) {
	account := granted.Identity.Account
	if granted.SID != "" {
		note, ok, err := p.endedNote(ctx, endedSID(account.Method, granted.SID))
		if err != nil || ok && (note.Subject == "" || note.Subject == account.Subject) {
			return ok, err
		}
	}
	note, ok, err := p.endedNote(ctx, endedSubject(account.Method, account.Subject))
	return ok && !note.At.Before(since), err
}

func (p *Portal) endedNote(ctx context.Context, name string) (note endedNote, ok bool, err error) {
	value, ok, err := p.notes.Get(ctx, noteEnded, name)
	if err != nil || !ok {
		return endedNote{}, false, err
	}
	if err := json.Unmarshal(value, &note); err != nil {
		return endedNote{}, false, fmt.Errorf("note of a logout: %w", err)
	}
	return note, true, nil
}

// signOuts are the sign-outs at providers that follow a sign-out here. A browser goes to one
// provider at a time, and each provider sends it back.
type signOuts struct {
	Rest []signOutAt `json:"rest,omitempty"`
	To   string      `json:"to"` // where to go on in the end
}

type signOutAt struct {
	Method string       `json:"method"`
	Tokens login.Tokens `json:"tokens"`
}

func (s signOuts) withoutHints() signOuts {
	bare := signOuts{To: s.To}
	for _, at := range s.Rest {
		bare.Rest = append(bare.Rest, signOutAt{Method: at.Method})
	}
	return bare
}

// nextHop is where a browser goes next: to the provider named label, or without a label to another
// page of ours.
type nextHop struct{ location, label string }

// signOutElsewhere returns where the browser goes to sign out at the providers of ended sessions,
// and in the end to an address of ours. It cannot fail: the sessions here have ended already.
//
// The newest session comes first, because it is the one that its provider has with the browser.
// Providers that do not send browsers back come last, once each: see finalSignOuts.
func (p *Portal) signOutElsewhere(r *http.Request, v Visitor, ended []session.Session, to string) nextHop {
	left := signOuts{To: to}
	var final []signOutAt
	newestFirst := slices.SortedStableFunc(slices.Values(ended), func(a, b session.Session) int { return b.CreatedAt.Compare(a.CreatedAt) })
	for i := range newestFirst {
		method := newestFirst[i].Recorded.Account.Method
		provider, ok := p.initiator(method)
		if !ok {
			continue
		}
		tokens, _ := p.grants.Open(&newestFirst[i])
		at := signOutAt{method, login.Tokens{ID: tokens.ID}}
		switch {
		case provider.SendsBack():
			left.Rest = append(left.Rest, at)
		case !slices.ContainsFunc(final, func(other signOutAt) bool { return other.Method == method }):
			final = append(final, at)
		}
	}
	left.Rest = append(left.Rest, final...)
	return p.nextSignOut(r, v, left)
}

// leaveProvider returns where the browser goes to sign out at a provider and then, back here, to sign
// in there as somebody else. Nobody is signed out here, unless the provider asks for it.
func (p *Portal) leaveProvider(r *http.Request, v Visitor, provider login.Provider, to destination) nextHop {
	left := signOuts{To: p.address("/sign-in", to, url.Values{paramProvider: {provider.ID()}})}
	if active, ok := v.Visit.Active(); ok && active.Identity.Account.Method == provider.ID() {
		tokens, _ := p.grants.Open(active.Session)
		left.Rest = append(left.Rest, signOutAt{provider.ID(), login.Tokens{ID: tokens.ID}})
	} else {
		left.Rest = append(left.Rest, signOutAt{Method: provider.ID()})
	}
	return p.nextSignOut(r, v, left)
}

func (p *Portal) initiator(method string) (login.LogoutInitiator, bool) {
	provider, _ := p.logins.Provider(method)
	initiator, ok := provider.(login.LogoutInitiator)
	return initiator, ok
}

// nextSignOut returns the first provider that the browser can sign out at, and notes the rest under
// its state.
func (p *Portal) nextSignOut(r *http.Request, v Visitor, left signOuts) nextHop {
	for len(left.Rest) > 0 {
		next := left.Rest[0]
		left.Rest = left.Rest[1:]
		provider, ok := p.initiator(next.Method)
		if !ok {
			continue
		}
		if !provider.SendsBack() {
			left.Rest = append([]signOutAt{next}, left.Rest...)
			return p.lastSignOut(r, v, left)
		}
		there := p.callbackOrigin(v, provider)
		state := newState()
		location, ok := provider.EndSession(next.Tokens, there+p.prefix+"/signed-out", state)
		if !ok {
			continue
		}
		after := left
		if there != v.Origin() && after.To[0] == '/' {
			after.To = v.Origin() + after.To
		}
		if err := p.noteSignOuts(r.Context(), state, after); err != nil {
			p.logFailure(r, v, err)
		}
		return nextHop{location, provider.Label()}
	}
	return nextHop{location: left.To}
}

// lastSignOut returns where the browser goes if only providers are left that do not send it back. With
// one of them it goes there. With more, a page of ours has a link to each.
func (p *Portal) lastSignOut(r *http.Request, v Visitor, left signOuts) nextHop {
	final := p.finalSignOuts(left)
	if len(final) == 0 {
		return nextHop{location: left.To}
	}
	if len(final) > 1 {
		state := newState()
		err := p.noteSignOuts(r.Context(), state, left)
		if err == nil {
			return nextHop{location: p.prefix + "/signed-out?" + url.Values{"state": {state}}.Encode()}
		}
		p.logFailure(r, v, err)
	}
	return nextHop{final[0].Location, final[0].Label}
}

// finalSignOuts returns the sign-outs from which the browser does not come back. It returns none
// while there are others to do first.
func (p *Portal) finalSignOuts(left signOuts) []page.SignOut {
	var final []page.SignOut
	for _, at := range left.Rest {
		provider, ok := p.initiator(at.Method)
		if !ok {
			continue
		}
		if provider.SendsBack() {
			return nil
		}
		if location, ok := provider.EndSession(at.Tokens, "", ""); ok {
			final = append(final, page.SignOut{Location: location, Label: provider.Label()})
		}
	}
	return final
}

// callbackOrigin returns the origin of the addresses that a provider sends browsers back to.
func (p *Portal) callbackOrigin(v Visitor, provider login.Provider) string {
	if there, _, err := origin.Cut(provider.RedirectURI()); err == nil {
		return there
	}
	return v.Origin()
}

// noteSignOuts notes what is left to do under a state.
func (p *Portal) noteSignOuts(ctx context.Context, state string, left signOuts) error {
	err := p.putSignOuts(ctx, state, left)
	if errors.Is(err, session.ErrNote) {
		// Too large. Without the hint a provider asks people to confirm.
		err = p.putSignOuts(ctx, state, left.withoutHints())
	}
	return err
}

func (p *Portal) putSignOuts(ctx context.Context, state string, left signOuts) error {
	plain, err := json.Marshal(left)
	if err != nil {
		return fmt.Errorf("note sign-outs: %w", err)
	}
	sealed := p.signOutSealer.Seal(plain, []byte(state))
	return p.notes.Put(ctx, noteSignOuts, state, sealed, p.now().Add(flowLifetime))
}

// signOutsLeft returns what is left to do after the sign-out of a state. An unknown or used state leads
// to the sign-in page, since nothing is left to do.
func (p *Portal) signOutsLeft(r *http.Request, state string) (signOuts, error) {
	nowhere := signOuts{To: p.address("/sign-in", destination{}, url.Values{paramSignedOut: {"1"}})}
	if state == "" {
		return nowhere, nil
	}
	sealed, ok, err := p.notes.Take(r.Context(), noteSignOuts, state)
	if err != nil || !ok {
		return nowhere, err
	}
	plain, err := p.signOutSealer.Open(sealed, []byte(state))
	if err != nil {
		return nowhere, nil // sealed with a key that is no longer configured
	}
	var left signOuts
	if err := json.Unmarshal(plain, &left); err != nil {
		return nowhere, fmt.Errorf("note of sign-outs: %w", err)
	}
	return left, nil
}
