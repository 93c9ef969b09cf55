package page

import "slices"

// input is how a page has an input besides what it always is.
type input struct {
	DescribedBy string // ids of what screen readers say along with its label
	Invalid     bool
	Focus       bool
}

// problemInput is an input that has a hint, or none if empty. Where a problem is about it, the problem
// is told first.
func problemInput(hint string, concerned bool) input {
	i := input{DescribedBy: hint, Invalid: concerned, Focus: concerned}
	if concerned && hint != "" {
		i.DescribedBy = "problem " + hint
	} else if concerned {
		i.DescribedBy = "problem"
	}
	return i
}

// signInView is what the template asks of a SignIn.
type signInView struct {
	SignIn
	Invalid bool // what was typed is wrong
}

// providerButton is a provider as the sign-in page has it.
type providerButton struct {
	Provider
	Primary bool // it is the one to press
}

// LapsedAtProvider reports whether somebody is to sign in again at one of the providers. Passwords then
// are the other way.
func (v signInView) LapsedAtProvider() bool {
	return v.Lapsed != nil && slices.ContainsFunc(v.Providers, v.lapsedAt)
}

func (v signInView) lapsedAt(p Provider) bool { return p.ID == v.LapsedMethod }

// Buttons are those of the providers, the one to press first.
func (v signInView) Buttons() []providerButton {
	again, alone := v.LapsedAtProvider(), !v.Password && len(v.Providers) == 1
	var first, rest []providerButton
	for _, p := range v.Providers {
		if alone || again && v.lapsedAt(p) {
			first = append(first, providerButton{p, true})
		} else {
			rest = append(rest, providerButton{p, false})
		}
	}
	return append(first, rest...)
}

// signUpView is what the template asks of a SignUp.
type signUpView struct{ SignUp }

// Input is the input of that name. The focus is on the one that a problem is about, and else where
// typing begins: on the first that is empty.
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

// profileView is what the template asks of a Profile.
type profileView struct{ Profile }

// Input is the input of that name. Without a problem none has the focus: the page is read first.
func (v profileView) Input(name, hint string) input {
	return problemInput(hint, v.Problem != "" && v.Field == name)
}

// messages are what is said next to a part of a page.
type messages struct{ Problem, Notice string }

// Messages are those of a section, or with "" those of the whole page.
func (v profileView) Messages(section string) messages {
	if v.Section != section {
		return messages{}
	}
	return messages{v.Problem, v.Notice}
}

// Detail is the line below the name: the e-mail address, and where there is none what else the account
// is known by. It is empty where it would repeat the name.
func (v profileView) Detail() string {
	if v.Email == "" {
		return v.Account.Detail
	}
	if v.Email == v.Account.Name {
		return ""
	}
	return v.Email
}
