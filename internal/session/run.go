package session

// A run is the time from the start of a browser to its end. Somebody who does not want to be
// remembered has a session for the run alone. A browser shows that a run goes on by a cookie with
// the run's name, which it forgets when it closes. The name is no secret: it opens nothing without
// the jar's token.

// NewRun returns the name of a new run.
func NewRun() string { return newName() }

// IsRun reports whether a text could be the name of a run.
func IsRun(text string) bool { return isName(text) }

// InRun returns the visit as a browser in a run sees it: the sessions of all other runs are dead. An
// empty name is a run in which nobody has asked not to be remembered. Without InRun all runs count,
// as for those who look from outside of the browser.
func (v Visit) InRun(run string) Visit {
	v.run = browserRun{known: true, name: run}
	return v
}

// Transient reports whether the browser was asked to forget the jar's token when it closes.
func (v Visit) Transient() bool { return v.jar != nil && v.jar.Transient }

// browserRun is the run that a browser is in, if that is known.
type browserRun struct {
	known bool
	name  string
}

// over reports whether the run that a session belongs to is over.
func (r browserRun) over(s *Session) bool { return s.Run != "" && r.known && s.Run != r.name }

// For returns the manager as it acts on the requests of a visit's browser, at the visit's site and in
// its run.
func (m *Manager) For(v Visit) *Manager {
	there := *m
	there.site, there.run = v.site, v.run
	return &there
}
