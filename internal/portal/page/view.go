package page

import (
	"fmt"
	"slices"
)

// input is what varies of a page's input.
type input struct {
	DescribedBy string // ids of the texts that screen readers add to its label
	Invalid     bool
	Focus       bool
}

// problemInput returns an input with a hint, which may be empty. If a problem concerns the input,
// its text comes before the hint.
func problemInput(hint string, concerned bool) input {
	i := input{DescribedBy: hint, Invalid: concerned, Focus: concerned}
	if concerned && hint != "" {
		i.DescribedBy = "problem " + hint
	} else if concerned {
		i.DescribedBy = "problem"
	}
	return i
}

// signInView is what the template needs besides a SignIn.
type signInView struct {
	SignIn
	Invalid bool // what was typed is wrong
}

// providerButton is a provider's button on the sign-in page.
type providerButton struct {
	Provider
	Primary bool // the button to press
}

// ProviderFirst reports whether one of the providers is the way to sign in: a link has asked for it,
// or the lapsed account signs in there. Passwords are then the alternative.
func (v signInView) ProviderFirst() bool { return slices.ContainsFunc(v.Providers, v.isFirst) }

func (v signInView) isFirst(p Provider) bool {
	if v.Preferred != "" {
		return p.ID == v.Preferred
	}
	return v.Lapsed != nil && p.ID == v.LapsedMethod
}

// Buttons returns the providers' buttons, primary ones first.
func (v signInView) Buttons() []providerButton {
	alone := !v.Password && len(v.Providers) == 1
	var first, rest []providerButton
	for _, p := range v.Providers {
		if alone || v.isFirst(p) {
			first = append(first, providerButton{p, true})
		} else {
			rest = append(rest, providerButton{p, false})
		}
	}
	return append(first, rest...)
}

// signUpView is what the template needs besides a SignUp.
type signUpView struct{ SignUp }

// Input returns the input of a name. The input that a problem is about has the focus, or else the
// first empty one.
func (v signUpView) Input(name, hint string) input {
	i := problemInput(hint, v.Problem != "" && v.Field == name)
	if v.Problem == "" || v.Field == "" {
		i.Focus = name == v.firstEmpty()
	}
	return i
}

func (v signUpView) firstEmpty() string {
	switch "" {
	case v.Name:
		return "name"
	case v.UserName:
		return "username"
	case v.Email:
		return "email"
	}
	return "password" // is always empty
}

// Again returns the sign-in as somebody else.
func (v SameAccount) Again() ProviderStart {
	return ProviderStart{Method: v.Method, Ask: AskLogin, ReturnTo: v.ReturnTo}
}

// profileView is what the template needs besides a Profile.
type profileView struct{ Profile }

// Input returns the input of a name. Without a problem no input has the focus, so that people read
// the page first.
func (v profileView) Input(name, hint string) input {
	return problemInput(hint, v.Problem != "" && v.Field == name)
}

// messages are the messages of a section.
type messages struct{ Problem, Notice string }

// Messages returns the messages of a section; "" is the whole page.
func (v profileView) Messages(section string) messages {
	if v.Section != section {
		return messages{}
	}
	return messages{v.Problem, v.Notice}
}

// Detail returns the line below the name: the e-mail address, or else the account's detail. It is
// empty where it would repeat the name.
func (v profileView) Detail() string {
	if v.Email == "" {
		return v.Account.Detail
	}
	if v.Email == v.Account.Name {
		return ""
	}
	return v.Email
}

// Text says how much room cookies take up, in bytes or in their number, whichever is closer to its
// limit, and how to make some.
func (l *Load) Text() string {
	used := fmt.Sprintf("%d of %d KiB", kibibytes(l.Bytes), kibibytes(l.MaxBytes))
	if l.Cookies*l.MaxBytes > l.Bytes*l.MaxCookies {
		used = fmt.Sprintf("%d of %d places", l.Cookies, l.MaxCookies)
	}
	return "The cookies of apps in this browser take up " + used + ". When there is no room left, apps can no longer sign you in. To make room, sign out an account that you do not need."
}

// kibibytes rounds up.
func kibibytes(bytes int) int { return (bytes + 1023) >> 10 }
