// Package page draws the portal's pages: plain HTML that works without JavaScript, from embedded
// templates and one stylesheet. It knows what a page shows and nothing of why.
package page

// Account is a signed-in account as the pages show it.
type Account struct {
	Handle  string // what the forms name it by
	Name    string // display name
	Detail  string // e-mail, or where there is none the user name; empty where it would repeat Name
	Method  string // login method's title; empty where only one method is configured
	Initial string // one or two letters for the avatar
	Hue     int    // 0 to Hues-1, the avatar's colour, the same for the same account always
	Active  bool
}

// Hues is how many avatar colours the stylesheet has.
const Hues = 8

// Frame is what every page has.
type Frame struct {
	Prefix     string // the portal's path, for links and forms, such as "/.auth"
	Site       string // the host that the user sees
	FormTarget string // an origin besides this one that the page's forms may lead to, or empty
}

// SignIn is the page that asks who somebody is.
type SignIn struct {
	Frame
	ReturnTo   string // carried through the form; empty for the site's root
	Identifier string // what to fill in for e-mail or user name
	Password   bool   // a method takes passwords
	Signed     int    // how many accounts the browser holds already, for the way to the chooser
	Notice     string // what happened, such as "You were signed out."
	Problem    string // why the last try failed, read out by screen readers
}

// Accounts is the chooser.
type Accounts struct {
	Frame
	ReturnTo string
	Accounts []Account
	Notice   string
	Problem  string
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
	Status  int
	Title   string
	Message string
	Back    string // a path to go on from, or empty
}
