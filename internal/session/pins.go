package session

import (
	"slices"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// Site is a host that has an active session of its own: its name, in lower case and without a port. The
// zero Site stands for all hosts of a jar together, which have one active session.
type Site string

// ParseSite returns the site of a host, which is given without a port. It refuses names that no
// browser could reach, because they would only take up room in the jar.
func ParseSite(host string) (Site, error) {
	name, err := origin.ParseHostName(host)
	return Site(name), err
}

// MaxPins bounds the sites of a jar that have a pin of their own, so that the largest jar, pins and all, is
// within storage.MaxValueBytes.
const MaxPins = 50

// Pin says which account the requests to a site are made as. It outlives the account's session, so that
// the site is then nobody's and never somebody else's, and is the account's again with its next sign-in.
type Pin struct {
	Site    Site    // zero: every site without a pin of its own
	Account Account // zero: nobody
}

// activeAt returns the session that requests to the site are made as, dead or alive, or nil. It is the
// jar's own.
func (j *Jar) activeAt(site Site) *Session {
	if len(j.Pins) == 0 {
		if j.Active == "" {
			return nil
		}
		return j.at(j.find(j.Active))
	}
	if site == "" && j.pinnedApart() {
		return nil
	}
	account := j.pinned(site)
	return j.at(slices.IndexFunc(j.Sessions, func(s Session) bool { return s.Recorded.Account == account }))
}

// at returns the session of an index, or nil where that is -1.
func (j *Jar) at(i int) *Session {
	if i < 0 {
		return nil
	}
	return &j.Sessions[i]
}

// pinned returns the account that a site has, in a jar with pins.
func (j *Jar) pinned(site Site) Account {
	for i := range j.Pins {
		if j.Pins[i].Site == site {
			return j.Pins[i].Account
		}
	}
	return j.Pins[0].Account
}

// pinnedApart reports whether not all sites have the same account. Where they are to have one active
// session from now on, somebody has to choose it.
func (j *Jar) pinnedApart() bool {
	return slices.ContainsFunc(j.Pins, func(p Pin) bool { return p.Account != j.Pins[0].Account })
}

// pinAll gives a jar whose sites had one active session so far a pin for all of them, so that a choice
// at one site is none at the others.
func (j *Jar) pinAll() {
	if len(j.Pins) > 0 {
		return
	}
	var all Pin
	if active := j.activeAt(""); active != nil {
		all.Account = active.Recorded.Account
	}
	j.Active, j.Pins = "", []Pin{all}
}

// choose makes the session, which is one of the jar's, the active one of a site, and of no other unless
// this is the jar's first. It reports whether anything changed.
func (j *Jar) choose(site Site, s *Session) (changed bool) {
	account := s.Recorded.Account
	switch {
	case site == "":
		if j.activeAt("") == s {
			return false
		}
		j.Active, j.Pins = s.Handle, nil
		return true
	case len(j.Pins) == 0:
		j.Active, j.Pins = "", []Pin{{Account: account}}
		return true
	case j.pinned(site) == account:
		return false
	}
	j.Pins = slices.DeleteFunc(j.Pins, func(p Pin) bool { return p.Site == site })
	if j.Pins[0].Account == account {
		return true
	}
	j.Pins = append(j.Pins, Pin{site, account})
	if len(j.Pins) > 1+MaxPins {
		// Which site the one chosen first was at is forgotten. It must not go on as the account that all
		// others have, and nobody knows any more which it is: so all others are asked.
		j.Pins = slices.Delete(j.Pins, 1, 2)
		j.Pins[0].Account = Account{}
	}
	return true
}

// At returns the manager as it acts on requests to a site: they are made as the site's active session, and
// what they choose holds there. With the zero Site all hosts that share a jar have one active session.
//
// The first account of a jar is that of every site, until another one is chosen there. What is chosen at
// one site changes nothing at another.
func (m *Manager) At(site Site) *Manager {
	there := *m
	there.site = site
	return &there
}

// At returns the visit as a request to the site sees it. It is as if Manager.At had made it.
func (v Visit) At(site Site) Visit {
	v.site = site
	return v
}

// Site is the site whose active session the visit is about. It is zero where all hosts have one.
func (v Visit) Site() Site { return v.site }

// Places returns the other sites at which an entry's account was chosen, in alphabetical order, and
// whether it is that of every site where none was. Where all hosts have one active session there are none.
func (v Visit) Places(e Entry) (sites []Site, elsewhere bool) {
	if v.jar == nil {
		return nil, false
	}
	for _, p := range v.jar.Pins {
		switch {
		case p.Account != e.Recorded.Account:
		case p.Site == "":
			elsewhere = true
		case p.Site != v.site:
			sites = append(sites, p.Site)
		}
	}
	slices.Sort(sites)
	return sites, elsewhere
}
