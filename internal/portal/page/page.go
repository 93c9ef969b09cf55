// Package page draws the portal's pages: plain HTML that works without JavaScript, from embedded
// templates and one stylesheet. It knows what a page shows and nothing of why.
package page

import "time"

// Account is a signed-in account as the pages show it.
type Account struct {
	Handle    string // what the forms name it by
	Name      string // display name
	Detail    string // e-mail, or where there is none the user name; empty where it would repeat Name
	Method    string // what people know the login method by; empty where only one method is configured
	Initial   string // one or two letters for the avatar
	Hue       int    // 0 to Hues-1, the avatar's colour, the same for the same account always
	Active    bool
	CanRemove bool // it can be taken off this browser and stay signed in at its provider

	// Where each host has an active account of its own, the other hosts that have this one, and whether
	// all have it on which none was chosen.
	Places    []string
	Elsewhere bool
}

// Hues is how many avatar colours the stylesheet has.
const Hues = 8

// Frame is what every page has.
type Frame struct {
	Prefix     string // the portal's path, for links and forms, such as "/.auth"
	Site       string // the host that the user sees
	FormTarget string // an origin besides this one that the page's forms may lead to, or empty
	State      string // names who is active and which accounts there are, to follow changes by; empty for none
	Here       string // where the page is when it is no answer to a form; empty for where it has been asked for
}

// SignIn is the page that asks who somebody is.
type SignIn struct {
	Frame
	ReturnTo     string     // carried through the forms; empty for the site's root
	Identifier   string     // what to fill in for e-mail or user name
	LoginHint    string     // carried to the providers: whom to sign in there, or empty
	Password     bool       // a method takes passwords
	Providers    []Provider // in the order to show them
	Lapsed       *Account   // whose session ended by itself, or nil
	LapsedMethod string     // the ID of the provider at which Again signs in; empty for passwords
	SignUp       bool       // people can make an account for themselves
	AccountCount int        // how many accounts the browser holds already, for the way to the chooser
	Notice       string     // what happened, such as "You were signed out."
	Problem      string     // why the last try failed, read out by screen readers
}

// Provider is a site at which people sign in, and come back from.
type Provider struct {
	ID          string // what the form names it by
	Label       string // what people know it by
	Initial     string // one or two letters for its mark, or empty
	Unavailable bool   // it could not be reached when it was last tried; it may be tried again all the same
}

// Redirect is the page that sends the browser to another site at once.
type Redirect struct {
	Frame
	Location   string // an absolute URL, http or https
	Label      string // what people know the site by
	SigningOut bool   // it is sent there to sign out
}

// SignUp is the page that makes an account. What was typed is filled in again after a problem,
// except for the password.
type SignUp struct {
	Frame
	ReturnTo       string
	Name           string
	UserName       string
	Email          string
	Invitation     string // the code, as typed or as the link that was followed has it
	AskInvitation  bool   // an invitation can be given
	NeedInvitation bool   // an invitation must be given
	MinPassword    int    // characters, told before somebody tries fewer; zero tells nothing
	AccountCount   int    // how many accounts the browser holds already
	Problem        string
	Field          string // the input that the problem is about, by its name in the form; empty for none
}

// Accounts is the chooser.
type Accounts struct {
	Frame
	ReturnTo string
	Place    string // the host whose account is chosen; empty where all hosts have the same
	Accounts []Account
	Notice   string
	Problem  string
}

// Profile is the page of one account: who it is, its password, and where it is signed in.
type Profile struct {
	Frame
	ReturnTo      string
	Account       Account
	Editable      bool   // profile and password can be changed here
	Provider      string // where they can be changed instead, by what people know it by, or empty
	Name          string // what the form is filled with, as are UserName and Picture
	UserName      string
	Email         string
	Picture       string // an address, or empty
	EmailVerified bool
	MinPassword   int       // as in SignUp
	KeepOthers    bool      // the user wants to stay signed in elsewhere when the password changes
	Devices       []Device  // in the order to show them
	Now           time.Time // what the times of Devices are told from
	Notice        string
	Problem       string
	Section       string // where Notice and Problem belong: a Section* constant, or empty for the whole page
	Field         string // the input that Problem is about, by its name in the form; empty for none
}

// Sections of the account page. Each is the id of its element too, so that an address can lead there.
const (
	SectionProfile  = "profile"
	SectionPassword = "password"
	SectionSessions = "sessions"
)

// Device is a session of the account, on this browser or another.
type Device struct {
	ID       string // what the forms name it by
	Browser  string // such as "Firefox 140"
	System   string // such as "Windows", or empty
	IP       string // where it signed in from, or empty
	SignedIn time.Time
	LastUsed time.Time
	Current  bool // it is this browser's
}

// Refusal is what somebody sees who is signed in as somebody who may not.
type Refusal struct {
	Frame
	ReturnTo     string    // where switching leads back to
	Active       Account   // who was refused
	Requirement  string    // a sentence that says what is missing
	Alternatives []Account // the browser's other accounts that may
}

// Failure is any other end of the way.
type Failure struct {
	Frame
	Status     int
	Title      string
	Message    string
	Retry      string // an address to try again at, or empty
	RetryLabel string // what the link to it says; empty for "Try again"
	Back       string // a path to go on from, or empty
}
