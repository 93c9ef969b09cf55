// Package page renders the portal's pages as plain HTML that works without JavaScript, from
// embedded templates and one stylesheet. It knows what a page shows, and not why.
package page

import "time"

// Account is a signed-in account as the pages show it.
type Account struct {
	Handle    string // names the account in forms
	Name      string // display name
	Detail    string // e-mail address, or else the user name; empty where it would repeat Name
	Method    string // label of the login method; empty where there is only one
	Initial   string // one or two letters for the avatar
	Hue       int    // colour of the avatar, from 0 to Hues-1; always the same for an account
	Active    bool
	CanRemove bool // can be removed from this browser and stay signed in at its provider

	// With "active per_host": the other hosts where this account was chosen, and whether it is the
	// account of all hosts where none was.
	Places    []string
	Elsewhere bool
}

// Hues is the number of avatar colours in the stylesheet.
const Hues = 8

// Frame is what all pages have.
type Frame struct {
	Prefix     string // path of the portal, for links and forms, such as "/.auth"
	Site       string // host that the user sees
	FormTarget string // another origin that the page's forms may lead to, or empty
	State      string // names the active account and the list of accounts; empty for a page that does not follow changes
	Here       string // address of a page that answers a form; empty for the address that was requested
	Secure     bool   // browsers trust the page's origin: it is served over HTTPS, or on loopback
	TooLong    bool   // the address to lead back to was too long to be kept
	Framers    string // CSP sources of the pages that may show this one in a frame; empty for none, as for all pages with forms

	// What the Write functions know of their pages.
	Forms         bool // the page has forms
	KeepsFragment bool // the fragment of the page's address is one of the address that it leads back to
}

// SignIn is the sign-in page.
type SignIn struct {
	Frame
	ReturnTo     string     // carried through the forms; empty for the site's root
	Identifier   string     // fills in the e-mail address or user name
	LoginHint    string     // the account to ask providers for, or empty
	Password     bool       // there is a login method with passwords
	Providers    []Provider // in the order to show them
	Preferred    string     // ID of the provider that a link has asked for, or empty
	Lapsed       *Account   // the account whose session ended by itself, or nil
	LapsedMethod string     // ID of the provider where Lapsed signs in; empty for passwords
	SignUp       bool       // people can create accounts
	AccountCount int        // number of accounts that the browser holds
	Notice       string     // what happened, such as "You were signed out."
	Problem      string     // why the last try failed; screen readers read it out
}

// Provider is an identity provider, which signs people in at its own site.
type Provider struct {
	ID          string // names the provider in forms
	Label       string // name that people know it by
	Initial     string // one or two letters for its mark, or empty
	Unavailable bool   // could not be reached at the last try; people may try it all the same
}

// Redirect is a page that sends the browser to another site at once.
type Redirect struct {
	Frame
	Location   string // an absolute URL, http or https
	Label      string // name that people know the site by
	SigningOut bool   // the browser goes there to sign out
}

// SignedOut is the page after a sign-out here, if people have to sign out at several other sites
// themselves.
type SignedOut struct {
	Frame
	SignOuts []SignOut
	Next     string // address where people go on
}

// SignOut is a sign-out at another site.
type SignOut struct {
	Location string // an absolute URL, http or https
	Label    string // name that people know the site by
}

// SignUp is the page that creates an account. After a problem everything that was typed is filled
// in again, except the password.
type SignUp struct {
	Frame
	ReturnTo       string
	Name           string
	UserName       string
	Email          string
	Invitation     string // the code, as typed or as the link has it
	AskInvitation  bool   // an invitation may be given
	NeedInvitation bool   // an invitation must be given
	MinPassword    int    // the least number of characters, to show as a hint; zero shows none
	AccountCount   int    // number of accounts that the browser holds
	Problem        string
	Field          string // name of the input that the problem is about; empty for none
}

// Accounts is the chooser. With Domain it is the page that asks whether to continue at a host where the
// jar is not confirmed: the first of Accounts is the one that is active at the other hosts.
type Accounts struct {
	Frame
	ReturnTo string
	Place    string // host whose account is chosen; empty where all hosts have the same
	Load     *Load  // of the browser's cookies, if little room is left; else nil
	Domain   string // domain whose hosts share the jar, if the jar is not confirmed at this one; else empty
	Accounts []Account
	Notice   string
	Problem  string
}

// Load is how much room cookies take up in the browser, and how much there is.
type Load struct {
	Cookies, MaxCookies int
	Bytes, MaxBytes     int
}

// Profile is the account page: profile, password, and where the account is signed in.
type Profile struct {
	Frame
	ReturnTo      string
	Account       Account
	Editable      bool   // profile and password can be changed here
	Provider      string // label of the provider where they can be changed instead, or empty
	Name          string // fills in the form, like UserName and Picture
	UserName      string
	Email         string
	Picture       string // an address, or empty
	EmailVerified bool
	MinPassword   int       // as in SignUp
	KeepOthers    bool      // leave the box for signing out everywhere else unchecked
	Devices       []Device  // in the order to show them
	Now           time.Time // time that the ages of Devices are relative to
	Notice        string
	Problem       string
	Section       string // section of Notice and Problem: a Section* constant, or empty for the whole page
	Field         string // name of the input that Problem is about; empty for none
}

// Sections of the account page. Each is the id of its element, so that an address can lead there.
const (
	SectionProfile  = "profile"
	SectionPassword = "password"
	SectionSessions = "sessions"
)

// Device is a session of the account, in this browser or another.
type Device struct {
	ID       string // names the session in forms
	Browser  string // such as "Firefox 140"
	System   string // such as "Windows", or empty
	IP       string // address that it signed in from, or empty
	SignedIn time.Time
	LastUsed time.Time
	Current  bool // is this browser's own session
}

// Refusal is the page for an account that has no access.
type Refusal struct {
	Frame
	ReturnTo     string    // where switching leads
	Active       Account   // the account that was refused
	Requirement  string    // a sentence that says what is required
	Alternatives []Account // the browser's other accounts that have access
}

// Failure is the page for any other error.
type Failure struct {
	Frame
	Status    int
	Title     string
	Message   string
	Retry     *ProviderStart // the sign-in that can be tried again, or nil
	OtherWays bool           // there are other ways to sign in than that of Retry
	InTab     *Link          // where people go on in another tab, or nil
	Back      string         // path to go on from, or empty
}

// Link is a link of a page.
type Link struct{ Address, Text string }

// ProviderStart is a sign-in at a provider that a button starts.
type ProviderStart struct {
	Method    string // the provider's ID
	Ask       string // what the provider is to ask: an Ask* constant, or empty for what it likes
	LoginHint string // the account to ask the provider for, or empty
	ReturnTo  string
}

// What a provider can be asked to ask the user.
const (
	AskAccount = "account" // which account it is to be
	AskLogin   = "login"   // to sign in again
)

// SameAccount is the page for a provider that answered with an account that the browser has already,
// although another one was wanted.
type SameAccount struct {
	Frame
	ReturnTo string
	Account  Account
	Method   string // the provider's ID
	Label    string // name that people know the provider by
	Tried    bool   // the provider was asked to have people sign in again, in vain
	CanLeave bool   // people can be sent to the provider to sign out there
}
