package integration

import (
	"net/http"
	"testing"
)

// makeAccount fills in the page that makes an account, and sends it.
func (b *tab) makeAccount(status int, name, userName, email, password string) {
	b.t.Helper()
	b.fill("Name", name)
	b.fill("User name", userName)
	b.fill("E-mail", email)
	b.fill("Password", password)
	b.followAs(status, "button", "Create account")
}

// TestChromiumAccount goes the way of somebody who makes an account, uses it in two browsers and looks
// after it, with and without scripts, by the Caddyfile that people try the gateway with; and holds each
// page on the way to axe-core's rules.
func TestChromiumAccount(t *testing.T) {
	checker := axe(t)
	startChromium(t)
	config, origin, _ := example(t, "http")
	startGateway(t, config)
	portal := origin + "/.auth"
	const back = "?return_to=%2Fdocuments"

	b := newTab(t)
	inspect := func(name string) { t.Helper(); b.inspect(name, checker) }
	b.open(origin + "/documents")
	inspect("sign-in with a way to sign up")
	b.follow("link", "Create an account")
	b.at(portal + "/sign-up" + back)
	inspect("sign-up")
	b.makeAccount(http.StatusBadRequest, "Dora", "root", "dora@example.com", "password of dora")
	b.says("That user name is taken.")
	inspect("sign-up with an error")
	b.makeAccount(http.StatusBadRequest, "Dora", "dora", "dora@example.com", "password1")
	b.says("first that attackers guess")
	b.makeAccount(http.StatusUnprocessableEntity, "Dora", "dora", "alice@example.com", "password of dora")
	b.says("There is an account with this e-mail address already.")
	b.makeAccount(http.StatusOK, "Dora", "dora", "dora@example.com", "password of dora")
	b.at(origin + "/documents")
	b.says("Hello, Dora")

	b.open(portal + "/accounts" + back)
	inspect("chooser with a way to the account")
	b.follow("link", "Manage account")
	b.at(portal + "/account" + back)
	b.says("This e-mail address is unverified.")
	inspect("account")

	other := newTab(t) // another browser, as far as the gateway can know
	other.disableScripts()
	other.open(portal + "/sign-in?return_to=%2F.auth%2Faccount")
	other.signIn(http.StatusOK, "dora@example.com", "password of dora")
	other.at(portal + "/account")
	other.fill("Name", longName)
	other.fill("User name", "dora.d")
	other.follow("button", "Save profile")
	other.says("Your profile is saved.")

	b.open(origin + "/documents")
	b.says("Hello, " + longName)
	b.open(portal + "/account" + back)
	inspect("account on two devices")
	b.fill("Current password", "wrong")
	b.fill("New password", "another of dora")
	b.followAs(http.StatusBadRequest, "button", "Change password")
	b.says("That is not your current password.")
	inspect("account with an error")
	b.fill("Current password", "password of dora")
	b.fill("New password", "another of dora")
	b.follow("button", "Change password")
	b.says("Your password is changed.")
	inspect("account with a notice")

	other.open(origin + "/documents")
	other.at(portal + "/sign-in" + back)
	other.signIn(http.StatusUnauthorized, "dora.d", "password of dora")
	other.signIn(http.StatusOK, "dora.d", "another of dora")
	other.says("Hello, " + longName)

	// The first browser ends the session of the second, and then its own.
	b.open(portal + "/account" + back)
	button := evaluate[string](b, `[...document.querySelectorAll(".device button")].at(-1).textContent.replaceAll(/\s+/g, " ").trim()`)
	b.follow("button", button)
	b.says("The session has ended.")
	other.open(origin + "/documents")
	other.at(portal + "/sign-in" + back)
	b.follow("button", "Sign out of this browser")
	b.at(portal + "/sign-in?return_to=%2Fdocuments&signed_out=1")

	// Users of the Caddyfile are looked after there.
	b.signIn(http.StatusOK, "alice", "alice-example")
	b.open(portal + "/account" + back)
	b.says("This account is managed by whoever runs this site.")
	b.lacks("button", "Save profile")
	inspect("account of the configuration")
}

// A form that was filled in for one account must not change another, which became active in another tab.
func TestChromiumAccountOfAnotherTab(t *testing.T) {
	startChromium(t)
	config, origin, _ := example(t, "http")
	startGateway(t, config)
	portal := origin + "/.auth"
	b := newTab(t)
	for _, name := range []string{"dora", "emil"} {
		b.open(portal + "/sign-up?return_to=%2F")
		b.makeAccount(http.StatusOK, name, name, name+"@example.com", "password of "+name)
	}
	b.open(portal + "/account")
	b.fill("Name", "Emil the Great")

	// Another tab of the browser, as far as the gateway can know.
	tab := newBrowser(t, origin)
	tab.client.Jar.SetCookies(tab.request(http.MethodGet, "/", nil).URL, []*http.Cookie{{Name: "multi_session", Value: b.jar().Value}})
	var entries []entry
	tab.get("/.auth/multi-session/list-device-sessions").json(t, &entries)
	if answer := tab.post("/.auth/multi-session/set-active", map[string]string{"sessionToken": entries[0].Session.Token}); answer.StatusCode != http.StatusOK {
		t.Fatalf("switch: %s", answer.Status)
	}
	b.followAs(http.StatusConflict, "button", "Save profile")
	b.says("Another account has become active")
	tab.get("/.auth/multi-session/list-device-sessions").json(t, &entries)
	if len(entries) != 2 || entries[0].User.Name != "dora" || entries[1].User.Name != "emil" {
		t.Errorf("the accounts became %+v", entries)
	}
}
