package portal

import (
	"net/http"
)

// noteStarted is the kind of notes that say which jar a sign-in at a provider has led to. Their names
// are tags of flows.
const noteStarted = "started"

// confirm confirms a jar at the visitor's host, after the browser has signed in, switched or continued
// there.
func (v Visitor) confirm(w http.ResponseWriter, r *http.Request, jarID string) {
	if !v.Cookie.Confirms(&v.Cookies, jarID) {
		v.Cookie.SetConfirmed(w.Header(), jarID)
	}
}

// noteSignIn notes which jar a sign-in has led to, if the browser goes on to another host than the one
// that the provider has sent it to. ResumeSignIn looks for the note there.
func (p *Portal) noteSignIn(r *http.Request, v Visitor, result providerResult) {
	to, ok := p.destination(v, result.ReturnTo)
	if !ok || to.origin == "" || !sharesCookie(v, to.origin) {
		return
	}
	err := p.notes.Put(r.Context(), noteStarted, result.tag(r.URL.Query().Get("state")), []byte(result.JarID), p.now().Add(flowLifetime))
	if err != nil {
		p.logFailure(r, v, err) // the other host asks the user
	}
}

// ResumeSignIn reports whether a sign-in at a provider that this browser began at this host has led to
// the visitor's jar, which is not confirmed here. It then confirms the jar and sends the browser to the
// same address again. Anything but a navigation is left alone.
//
// The provider may send browsers back to another host of the cookie's domain. The only proof that it
// was this browser which began the sign-in is the list of sign-ins in a cookie of this host alone.
// Addresses and cookies of the domain prove nothing: whoever plants a jar can make them too.
func (p *Portal) ResumeSignIn(w http.ResponseWriter, r *http.Request, v Visitor) bool {
	if p.notes == nil || !navigation(r) {
		return false
	}
	for _, tag := range v.Cookies.StartedHere() {
		jarID, ok, err := p.notes.Take(r.Context(), noteStarted, tag)
		if err != nil {
			p.logFailure(r, v, err)
			return false
		}
		if ok && string(jarID) == v.Visit.JarID() {
			setCommonHeaders(w.Header())
			v.Cookie.SetConfirmed(w.Header(), v.Visit.JarID())
			v.Cookie.ClearStarted(w.Header())
			redirect(w, p.requestedAddress(r, v).location())
			return true
		}
	}
	return false
}
