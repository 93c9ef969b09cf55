package page

import (
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

var (
	frame     = Frame{Prefix: "/.auth", Site: "app.example.com"}
	following = Frame{Prefix: "/.auth", Site: "app.example.com", State: "state-of-now"}
)

func account(handle, name, detail string) Account {
	return Account{Handle: handle, Name: name, Detail: detail, Initial: Initials(name), Hue: Hue(detail)}
}

func active(a Account) Account {
	a.Active = true
	return a
}

var (
	alice = account("handle-alice", "Alice Example", "alice@example.com")
	admin = account("handle-admin", "Site Admin", "admin@example.com")
)

// hostile are texts that have broken other people's pages.
var hostile = []string{
	`<script>alert(1)</script>`,
	`</title></main><h1>Another page</h1>`,
	`" autofocus onfocus="alert(1)`,
	`' onmouseover='alert(1)`,
	`"javascript:alert(1)`,
	`javascript:alert(1)`,
	`{{.Handle}} ${handle}`,
	"\u202egnp.exe\u2066\u2069\u202c",
	"a\x00b\xff\xfe\r\nSet-Cookie: x=y",
	`-->]]><!--`,
	strings.Repeat("long", 2000),
	strings.Repeat("e\u0301\u0302\u0303", 500),
}

// views returns every page with the same text in every place.
func views(text string) map[string]func(http.ResponseWriter) {
	who := Account{Handle: text, Name: text, Detail: text, Method: text, Initial: Initials(text), CanRemove: true, Places: []string{text, text}, Elsewhere: true}
	provider := Provider{ID: text, Label: text, Initial: text, Unavailable: true}
	return map[string]func(http.ResponseWriter){
		"sign-in": func(w http.ResponseWriter) {
			WriteSignIn(w, http.StatusUnauthorized, SignIn{
				Frame: following, ReturnTo: text, Identifier: text, LoginHint: text, Password: true, Providers: []Provider{provider, provider},
				Lapsed: &who, LapsedMethod: text, AccountCount: 2, Notice: text, Problem: text,
			})
		},
		"redirect": func(w http.ResponseWriter) {
			WriteRedirect(w, http.StatusOK, Redirect{Frame: following, Location: "https://id.example.com/?" + url.Values{"q": {text}}.Encode(), Label: text})
		},
		"sign-up": func(w http.ResponseWriter) {
			WriteSignUp(w, http.StatusUnprocessableEntity, SignUp{
				Frame: following, ReturnTo: text, Name: text, UserName: text, Email: text, Invitation: text,
				AskInvitation: true, MinPassword: 8, AccountCount: 2, Problem: text, Field: text,
			})
		},
		"profile": func(w http.ResponseWriter) {
			device := Device{ID: text, Browser: text, System: text, IP: text}
			WriteProfile(w, http.StatusOK, Profile{
				Frame: following, ReturnTo: text, Account: active(who), Editable: true, Name: text, UserName: text, Email: text, Picture: text,
				MinPassword: 8, Devices: []Device{device, device}, Notice: text, Problem: text, Section: SectionPassword, Field: text,
			})
		},
		"profile of a provider": func(w http.ResponseWriter) {
			WriteProfile(w, http.StatusOK, Profile{Frame: following, ReturnTo: text, Account: who, Provider: text, Email: text, Devices: []Device{{ID: text, Browser: text}}})
		},
		"accounts": func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: following, ReturnTo: text, Place: text, Accounts: []Account{active(who), who}, Notice: text, Problem: text})
		},
		"continue": func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: following, ReturnTo: text, Place: text, Domain: text, Accounts: []Account{who, who}, Problem: text})
		},
		"refusal": func(w http.ResponseWriter) {
			WriteRefusal(w, http.StatusForbidden, Refusal{Frame: following, ReturnTo: text, Active: active(who), Requirement: text, Alternatives: []Account{who, who}})
		},
		"reset": func(w http.ResponseWriter) {
			WriteReset(w, http.StatusOK, Reset{Frame: frame, Name: text})
		},
		"failure": func(w http.ResponseWriter) {
			WriteFailure(w, Failure{Frame: following, Status: http.StatusNotFound, Title: text, Message: text, InTab: &Link{Address: text, Text: text}, Retry: &ProviderStart{text, text, text, text}, OtherWays: true, Back: text})
		},
		"signed out": func(w http.ResponseWriter) {
			at := SignOut{Location: "https://id.example.com/?" + url.Values{"q": {text}}.Encode(), Label: text}
			WriteSignedOut(w, http.StatusOK, SignedOut{Frame: following, SignOuts: []SignOut{at, at}, Next: text})
		},
		"same account": func(w http.ResponseWriter) {
			WriteSameAccount(w, http.StatusOK, SameAccount{Frame: following, ReturnTo: text, Account: who, Method: text, Label: text, CanLeave: true})
		},
	}
}

func TestViewsAreWellFormed(t *testing.T) {
	many := []Account{active(alice)}
	for i := range 50 {
		many = append(many, account(strconv.Itoa(i), fmt.Sprint("Customer ", i), fmt.Sprintf("customer-%d@example.com", i)))
	}
	for name, view := range map[string]func(http.ResponseWriter){
		"sign-in": func(w http.ResponseWriter) {
			WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Password: true})
		},
		"sign-in without a method": func(w http.ResponseWriter) {
			WriteSignIn(w, http.StatusOK, SignIn{Frame: frame})
		},
		"sign-in with sign-up": func(w http.ResponseWriter) {
			WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Password: true, SignUp: true, AccountCount: 2})
		},
		"sign-in with providers": func(w http.ResponseWriter) {
			WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Providers: providers})
		},
		"sign-in with providers and passwords": func(w http.ResponseWriter) {
			WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Providers: providers, Password: true})
		},
		"sign-in again": func(w http.ResponseWriter) {
			WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Providers: providers, Password: true, Lapsed: &alice, LapsedMethod: "github"})
		},
		"accounts whose cookies take up room": func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Accounts: many, Load: &Load{Bytes: 1, MaxBytes: 1, MaxCookies: 1}})
		},
		"continue": func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Domain: "example.com", Accounts: many[1:]})
		},
		"redirect": func(w http.ResponseWriter) {
			WriteRedirect(w, http.StatusOK, Redirect{Frame: frame, Location: "https://id.example.com/", Label: "Google"})
		},
		"sign-up": func(w http.ResponseWriter) {
			WriteSignUp(w, http.StatusOK, SignUp{Frame: frame})
		},
		"sign-up with an invitation": func(w http.ResponseWriter) {
			WriteSignUp(w, http.StatusOK, SignUp{Frame: frame, NeedInvitation: true, MinPassword: 8, AccountCount: 1})
		},
		"profile": func(w http.ResponseWriter) {
			WriteProfile(w, http.StatusOK, Profile{Frame: frame, Account: alice, Editable: true, MinPassword: 8, Devices: devices, Now: now})
		},
		"profile that is looked after elsewhere": func(w http.ResponseWriter) {
			WriteProfile(w, http.StatusOK, Profile{Frame: frame, Account: alice})
		},
		"chooser": func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Accounts: []Account{active(alice), admin}})
		},
		"chooser of fifty": func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Accounts: many})
		},
		"chooser without an active account": func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Accounts: []Account{alice}})
		},
		"empty chooser": func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame})
		},
		"refusal": func(w http.ResponseWriter) {
			WriteRefusal(w, http.StatusForbidden, Refusal{Frame: frame, Active: active(alice), Requirement: "It needs more.", Alternatives: []Account{admin}})
		},
		"refusal without alternatives": func(w http.ResponseWriter) {
			WriteRefusal(w, http.StatusForbidden, Refusal{Frame: frame, Active: active(alice), Requirement: "It needs more."})
		},
		"failure": func(w http.ResponseWriter) {
			WriteFailure(w, Failure{Frame: frame, Status: http.StatusNotFound})
		},
	} {
		t.Run(name, func(t *testing.T) { checkStructure(t, draw(t, view)) })
	}
}

func TestHostileTextStaysText(t *testing.T) {
	for i, text := range hostile {
		for name, view := range views(text) {
			t.Run(fmt.Sprint(name, " ", i), func(t *testing.T) {
				document := draw(t, view)
				checkStructure(t, document)
				for n := range document.Descendants() {
					if n.DataAtom == atom.A && strings.HasPrefix(strings.TrimSpace(strings.ToLower(attr(n, "href"))), "javascript:") {
						t.Errorf("link to %q", attr(n, "href"))
					}
				}
			})
		}
	}
	t.Run("it is shown", func(t *testing.T) {
		text := content(draw(t, views("<b>&amp;</b>")["accounts"]))
		if !strings.Contains(text, "<b>&amp;</b>") {
			t.Errorf("text is changed: %q", text)
		}
	})
}

// checkStructure checks that a page works under its policy, and has what people need who do not see
// it.
func checkStructure(t *testing.T, document *html.Node) {
	t.Helper()
	count := map[atom.Atom]int{}
	ids := map[string]bool{}
	labelled := map[string]bool{}
	scripts := map[string]bool{}
	for n := range document.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.DataAtom]++
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("id %q twice", id)
			}
			ids[id] = true
		}
		if n.DataAtom == atom.Label {
			labelled[attr(n, "for")] = true
		}
		for _, a := range n.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
				t.Errorf("<%s> has %s=%q", n.Data, a.Key, a.Val)
			}
		}
		switch n.DataAtom {
		case atom.Script:
			src := attr(n, "src")
			if src != frame.Prefix+"/follow.js" && src != frame.Prefix+"/forms.js" || scripts[src] || !has(n, "defer") || n.FirstChild != nil {
				t.Errorf("<script> of %q is none of the page's, or twice", src)
			}
			scripts[src] = true
		case atom.Style, atom.Base, atom.Iframe, atom.Object:
			t.Errorf("<%s> is none of the page's", n.Data)
		case atom.Form:
			if attr(n, "method") != "post" {
				t.Errorf("form with method %q", attr(n, "method"))
			}
			if !strings.HasPrefix(attr(n, "action"), frame.Prefix+"/") {
				t.Errorf("form posts to %q", attr(n, "action"))
			}
		case atom.A, atom.Button:
			if strings.TrimSpace(content(n)) == "" {
				t.Errorf("<%s> without a name", n.Data)
			}
		case atom.Html:
			if attr(n, "lang") == "" {
				t.Error("no language")
			}
		}
	}
	for n := range document.Descendants() {
		if n.DataAtom == atom.Input && attr(n, "type") != "hidden" && !has(n, "hidden") && !labelled[attr(n, "id")] {
			t.Errorf("input %q has no label", attr(n, "name"))
		}
		for _, key := range []string{"aria-describedby", "aria-labelledby", "for"} {
			for _, id := range strings.Fields(attr(n, key)) {
				if !ids[id] {
					t.Errorf("%s=%q names nothing", key, id)
				}
			}
		}
	}
	for _, once := range []atom.Atom{atom.H1, atom.Main, atom.Title} {
		if count[once] != 1 {
			t.Errorf("%d <%s>", count[once], once)
		}
	}
}

func TestSignIn(t *testing.T) {
	t.Run("asks for both", func(t *testing.T) {
		document := draw(t, func(w http.ResponseWriter) {
			WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Password: true, ReturnTo: "/a?b=c&d"})
		})
		identifier, password := field(document, "identifier"), field(document, "password")
		if attr(identifier, "autocomplete") != "username" || attr(password, "autocomplete") != "current-password" {
			t.Error("password managers cannot fill the fields in")
		}
		if !has(identifier, "autofocus") || has(password, "autofocus") {
			t.Error("an empty identifier has not the focus")
		}
		if has(identifier, "aria-invalid") || has(identifier, "aria-describedby") {
			t.Error("fields are marked without a problem")
		}
		if got := attr(field(document, "return_to"), "value"); got != "/a?b=c&d" {
			t.Errorf("return_to %q", got)
		}
		if strings.Contains(content(document), "signed-in") {
			t.Error("offers accounts that there are not")
		}
	})
	t.Run("title", func(t *testing.T) {
		document := draw(t, func(w http.ResponseWriter) { WriteSignIn(w, http.StatusOK, SignIn{Frame: frame}) })
		for n := range document.Descendants() {
			if n.DataAtom == atom.Title && content(n) != "Sign in · app.example.com" {
				t.Errorf("title %q", content(n))
			}
		}
	})
	t.Run("prefilled", func(t *testing.T) {
		document := draw(t, func(w http.ResponseWriter) {
			WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Password: true, Identifier: "alice@example.com"})
		})
		if has(field(document, "identifier"), "autofocus") || !has(field(document, "password"), "autofocus") {
			t.Error("the password has not the focus")
		}
		if field(document, "return_to") != nil {
			t.Error("empty return_to is sent")
		}
	})
	for signUp, want := range map[bool]string{true: "/.auth/sign-up?return_to=%2Fx", false: ""} {
		t.Run(fmt.Sprint("sign-up ", signUp), func(t *testing.T) {
			document := draw(t, func(w http.ResponseWriter) {
				WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Password: true, SignUp: signUp, ReturnTo: "/x"})
			})
			if href := attr(named(document, "Create an account"), "href"); href != want {
				t.Errorf("link %q", href)
			}
		})
	}
	t.Run("never without its method", func(t *testing.T) {
		document := draw(t, func(w http.ResponseWriter) { WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Problem: "No."}) })
		if field(document, "password") != nil {
			t.Error("asks for a password that nothing takes")
		}
	})
	for status, invalid := range map[int]bool{
		http.StatusBadRequest:          true,
		http.StatusUnauthorized:        true,
		http.StatusUnprocessableEntity: true,
		http.StatusTooManyRequests:     false,
		http.StatusServiceUnavailable:  false,
	} {
		t.Run(fmt.Sprint("problem ", status), func(t *testing.T) {
			document := draw(t, func(w http.ResponseWriter) {
				WriteSignIn(w, status, SignIn{Frame: frame, Password: true, Problem: "That did not work."})
			})
			for _, name := range []string{"identifier", "password"} {
				if input := field(document, name); attr(input, "aria-describedby") != "problem" || has(input, "aria-invalid") != invalid {
					t.Errorf("%s: described by %q, invalid %v", name, attr(input, "aria-describedby"), has(input, "aria-invalid"))
				}
			}
			if n := find(document, func(n *html.Node) bool { return attr(n, "role") == "alert" }); n == nil || content(n) != "That did not work." {
				t.Error("no alert")
			}
		})
	}
	for signed, want := range map[int]string{1: "Use the account that is signed in", 3: "Choose one of 3 signed-in accounts"} {
		t.Run(fmt.Sprint("beside ", signed), func(t *testing.T) {
			document := draw(t, func(w http.ResponseWriter) {
				WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Password: true, AccountCount: signed, ReturnTo: "/a?b=c&d"})
			})
			if href := attr(named(document, want), "href"); href != "/.auth/accounts?return_to=%2Fa%3Fb%3Dc%26d" {
				t.Errorf("link %q", href)
			}
		})
	}
}

func TestAccounts(t *testing.T) {
	document := draw(t, func(w http.ResponseWriter) {
		WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, ReturnTo: "/a b", Accounts: []Account{active(alice), admin}})
	})
	t.Run("active one leads on", func(t *testing.T) {
		link := named(document, "Continue as Alice Example Active alice@example.com")
		if attr(link, "href") != "/a%20b" || attr(link, "aria-current") != "true" {
			t.Errorf("link %q, current %q", attr(link, "href"), attr(link, "aria-current"))
		}
	})
	for name, want := range map[string]url.Values{
		"Switch to Site Admin admin@example.com": {"action": {"switch"}, "session": {"handle-admin"}, "return_to": {"/a b"}},
		"Sign out Site Admin":                    {"action": {"sign-out"}, "session": {"handle-admin"}, "return_to": {"/a b"}},
		"Sign out Alice Example":                 {"action": {"sign-out"}, "session": {"handle-alice"}, "return_to": {"/a b"}},
		"Sign out of all accounts":               {"action": {"sign-out-all"}, "return_to": {"/a b"}},
	} {
		t.Run(name, func(t *testing.T) {
			if action, got := press(t, named(document, name)); action != "/.auth/accounts" || got.Encode() != want.Encode() {
				t.Errorf("posts %v to %q", got, action)
			}
		})
	}
	t.Run("cannot be removed", func(t *testing.T) {
		if strings.Contains(content(document), "Remove") {
			t.Error("offers to keep up sessions that nothing else holds")
		}
	})
	for method, want := range map[string]string{
		"Google": "Take it off this browser; you stay signed in at Google",
		"":       "Take it off this browser; you stay signed in at its provider",
	} {
		t.Run("remove "+method, func(t *testing.T) {
			bob := Account{Handle: "handle-bob", Name: "Bob", Method: method, CanRemove: true}
			document := draw(t, func(w http.ResponseWriter) {
				WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, ReturnTo: "/a b", Accounts: []Account{alice, bob}})
			})
			at := "Bob"
			if method != "" {
				at += ", " + method // tells accounts of one name apart
			}
			if named(document, "Remove Alice Example") != nil || named(document, "Sign out "+at) == nil {
				t.Error("not as each account has it")
			}
			remove := named(document, "Remove "+at)
			values := url.Values{"action": {"remove"}, "session": {"handle-bob"}, "return_to": {"/a b"}}
			if action, got := press(t, remove); action != "/.auth/accounts" || got.Encode() != values.Encode() {
				t.Errorf("posts %v to %q", got, action)
			}
			if got := attr(remove, "title"); got != want {
				t.Errorf("described as %q", got)
			}
		})
	}
	t.Run("manage", func(t *testing.T) {
		links := 0
		for n := range document.Descendants() {
			if n.DataAtom == atom.A && content(n) == "Manage account" {
				links++
			}
		}
		if href := attr(named(document, "Manage account"), "href"); links != 1 || href != "/.auth/account?return_to=%2Fa+b" {
			t.Errorf("%d links, the first to %q", links, href)
		}
	})
	t.Run("add", func(t *testing.T) {
		if href := attr(named(document, "Add another account"), "href"); href != "/.auth/sign-in?return_to=%2Fa+b" {
			t.Errorf("link %q", href)
		}
	})
	t.Run("without return_to", func(t *testing.T) {
		document := draw(t, func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Accounts: []Account{active(alice)}})
		})
		if href := attr(named(document, "Continue as Alice Example Active alice@example.com"), "href"); href != "/" {
			t.Errorf("leads on to %q", href)
		}
		if href := attr(named(document, "Add another account"), "href"); href != "/.auth/sign-in" {
			t.Errorf("add %q", href)
		}
	})
	t.Run("of one host", func(t *testing.T) {
		ops, other := admin, account("handle-bob", "Bob", "")
		ops.Places = []string{"a.example.com", "b.example.com", "c.example.com", "xn--bcher-kva.example.com", "e.example.com"}
		other.Places, other.Elsewhere = []string{"a.example.com"}, true
		document := draw(t, func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Place: "wiki.example.com", Accounts: []Account{active(alice), ops, other}})
		})
		if heading := find(document, func(n *html.Node) bool { return n.DataAtom == atom.H1 }); content(heading) != "Choose an account on wiki.example.com" {
			t.Errorf("the heading is %q", content(heading))
		}
		for _, name := range []string{
			"Continue as Alice Example Active alice@example.com",
			"Switch to Site Admin admin@example.com Active on a.example.com, b.example.com, c.example.com and 2 more",
			"Switch to Bob Active on a.example.com Active wherever no other was chosen",
		} {
			if named(document, name) == nil {
				t.Errorf("there is no %q:\n%s", name, content(document))
			}
		}
		document = draw(t, func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Place: "wiki.example.com", Accounts: []Account{alice, ops}})
		})
		if text := content(document); !strings.Contains(text, "No account is active on wiki.example.com. Choose") {
			t.Errorf("page says %q", text)
		}
	})
	t.Run("none active", func(t *testing.T) {
		document := draw(t, func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Accounts: []Account{alice, admin}})
		})
		if text := content(document); !strings.Contains(text, "No account is active") || strings.Contains(text, "stay signed in") {
			t.Errorf("page says %q", text)
		}
		if named(document, "Manage account") != nil {
			t.Error("offers to manage an account that is not active")
		}
	})
	t.Run("empty", func(t *testing.T) {
		document := draw(t, func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, ReturnTo: "/x", Notice: "You were signed out."})
		})
		text := content(document)
		if !strings.Contains(text, "Nobody is signed in") || !strings.Contains(text, "You were signed out.") {
			t.Errorf("page says %q", text)
		}
		if href := attr(named(document, "Sign in"), "href"); href != "/.auth/sign-in?return_to=%2Fx" {
			t.Errorf("link %q", href)
		}
	})
}

// TestContinue: the page says where the accounts come from, names each of them on its button, and has
// another way in.
func TestContinue(t *testing.T) {
	bob := account("handle-bob", "Bob", "bob@example.com")
	document := draw(t, func(w http.ResponseWriter) {
		WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, ReturnTo: "/x", Domain: "example.com", Accounts: []Account{bob, alice}})
	})
	text := content(document)
	for _, want := range []string{"Continue on this site?", "another site of example.com"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q: %s", want, text)
		}
	}
	if strings.Contains(text, "Switch to") || strings.Contains(text, "Choose an account") {
		t.Errorf("the page is the chooser: %s", text)
	}
	if strings.Index(text, bob.Name) > strings.Index(text, alice.Name) {
		t.Error("the accounts are in another order")
	}
	button := named(document, "Continue as "+alice.Name+" "+alice.Detail)
	action, values := press(t, button)
	if action != "/.auth/accounts" || values.Get("action") != "switch" || values.Get("session") != alice.Handle || values.Get("return_to") != "/x" {
		t.Errorf("the button posts %v to %s", values, action)
	}
	if link := named(document, "Sign in as somebody else"); link == nil || attr(link, "href") != "/.auth/sign-in?return_to=%2Fx" {
		t.Errorf("the way to another account is %v", link)
	}
	_, values = press(t, named(document, "Sign out of all accounts"))
	if values.Get("action") != "sign-out-all" {
		t.Errorf("signing out posts %v", values)
	}
}

func TestLoadText(t *testing.T) {
	for name, test := range map[string]struct {
		load Load
		want string
	}{
		"bytes":            {Load{Cookies: 12, MaxCookies: 150, Bytes: 9000, MaxBytes: 12 << 10}, "take up 9 of 12 KiB."},
		"rounded up":       {Load{Cookies: 12, MaxCookies: 150, Bytes: 10<<10 + 1, MaxBytes: 12 << 10}, "take up 11 of 12 KiB."},
		"number":           {Load{Cookies: 140, MaxCookies: 150, Bytes: 4000, MaxBytes: 12 << 10}, "take up 140 of 150 places."},
		"more than can be": {Load{Cookies: 12, MaxCookies: 150, Bytes: 14 << 10, MaxBytes: 12 << 10}, "take up 14 of 12 KiB."},
	} {
		text := content(draw(t, func(w http.ResponseWriter) {
			WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Accounts: []Account{alice}, Load: &test.load})
		}))
		if !strings.Contains(text, test.want) || !strings.Contains(text, "sign out an account") {
			t.Errorf("%s: the page says %q, want %q", name, text, test.want)
		}
	}
	without := content(draw(t, func(w http.ResponseWriter) {
		WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Accounts: []Account{alice}})
	}))
	if strings.Contains(without, "cookies") {
		t.Errorf("without a load the page says %q", without)
	}
}

func TestRefusal(t *testing.T) {
	document := draw(t, func(w http.ResponseWriter) {
		WriteRefusal(w, http.StatusForbidden, Refusal{
			Frame: frame, ReturnTo: "/admin", Active: active(alice), Requirement: "This page needs the group “admin”.", Alternatives: []Account{admin},
		})
	})
	for _, want := range []string{"Alice Example", "alice@example.com", "This page needs the group “admin”."} {
		if !strings.Contains(content(document), want) {
			t.Errorf("%q is missing", want)
		}
	}
	want := url.Values{"action": {"switch"}, "session": {"handle-admin"}, "return_to": {"/admin"}}
	if action, got := press(t, named(document, "Switch to Site Admin admin@example.com")); action != "/.auth/accounts" || got.Encode() != want.Encode() {
		t.Errorf("posts %v to %q", got, action)
	}
	for name, want := range map[string]string{
		"All accounts":        "/.auth/accounts?return_to=%2Fadmin",
		"Add another account": "/.auth/sign-in?return_to=%2Fadmin",
	} {
		if href := attr(named(document, name), "href"); href != want {
			t.Errorf("%s: %q", name, href)
		}
	}
}

func TestFailure(t *testing.T) {
	document := draw(t, func(w http.ResponseWriter) {
		WriteFailure(w, Failure{Frame: frame, Status: http.StatusNotFound, Message: "There is nothing here.", Back: "/x"})
	})
	for _, want := range []string{"Error 404", "Not Found", "There is nothing here."} {
		if !strings.Contains(content(document), want) {
			t.Errorf("%q is missing", want)
		}
	}
	if back := named(document, "Back to app.example.com"); attr(back, "href") != "/x" || attr(back, "class") != "primary" {
		t.Errorf("link %q, %s", attr(back, "href"), attr(back, "class"))
	}
	for ask, want := range map[string]string{"": "Try again", AskAccount: "Use another account"} {
		t.Run(want, func(t *testing.T) {
			document := draw(t, func(w http.ResponseWriter) {
				WriteFailure(w, Failure{Frame: frame, Status: http.StatusBadRequest, Retry: &ProviderStart{"corp", ask, "", "/x"}, OtherWays: true, Back: "/x"})
			})
			values := url.Values{"": {""}, "method": {"corp"}, "return_to": {"/x"}}
			if ask != "" {
				values.Set("ask", ask)
			}
			retry := named(document, want)
			if action, got := press(t, retry); action != "/.auth/sign-in" || got.Encode() != values.Encode() || attr(retry, "class") != "primary" {
				t.Errorf("posts %v to %q, %s", got, action, attr(retry, "class"))
			}
			if other := named(document, "Sign in another way"); attr(other, "href") != "/.auth/sign-in?return_to=%2Fx" {
				t.Errorf("other ways at %q", attr(other, "href"))
			}
			if back := named(document, "Back to app.example.com"); attr(back, "href") != "/x" || attr(back, "class") != "secondary" {
				t.Errorf("back %q, %s", attr(back, "href"), attr(back, "class"))
			}
		})
	}
}

func TestSameAccount(t *testing.T) {
	for name, c := range map[string]struct {
		tried, canLeave bool
		buttons         []string // in order, the primary one in capitals
		advice          bool
	}{
		"first":                        {false, true, []string{"SIGN IN AS SOMEONE ELSE", "Sign out at Corp first"}, false},
		"again":                        {true, true, []string{"SIGN OUT AT CORP FIRST", "Sign in as someone else"}, false},
		"first, without a way out":     {false, false, []string{"SIGN IN AS SOMEONE ELSE"}, false},
		"again, and nothing else left": {true, false, []string{"SIGN IN AS SOMEONE ELSE"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			document := draw(t, func(w http.ResponseWriter) {
				WriteSameAccount(w, http.StatusOK, SameAccount{Frame: frame, ReturnTo: "/x", Account: alice, Method: "corp", Label: "Corp", Tried: c.tried, CanLeave: c.canLeave})
			})
			var buttons []string
			for n := range document.Descendants() {
				if n.DataAtom != atom.Button {
					continue
				}
				label := content(n)
				want := url.Values{"": {""}, "method": {"corp"}, "ask": {"login"}, "return_to": {"/x"}}
				if strings.HasPrefix(label, "Sign out") {
					want.Set("sign_out", "1")
				}
				if action, got := press(t, n); action != "/.auth/sign-in" || got.Encode() != want.Encode() {
					t.Errorf("%s posts %v to %q", label, got, action)
				}
				if attr(n, "class") == "primary" {
					label = strings.ToUpper(label)
				}
				buttons = append(buttons, label)
			}
			if !slices.Equal(buttons, c.buttons) {
				t.Errorf("buttons %q", buttons)
			}
			if got := strings.Contains(content(document), "Sign out at Corp itself"); got != c.advice {
				t.Errorf("advice: %t", got)
			}
			if next := named(document, "Continue as Alice Example"); attr(next, "href") != "/x" {
				t.Errorf("continues at %q", attr(next, "href"))
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	for name, c := range map[string]struct{ target, formAction string }{
		"own origin":           {"", "'self'"},
		"another origin":       {"https://spa.example.com", "'self' https://spa.example.com"},
		"another port":         {"http://localhost:8080", "'self' http://localhost:8080"},
		"directive smuggled":   {"https://a.example;script-src *", "'self'"},
		"source smuggled":      {"https://a.example *", "'self'"},
		"policy smuggled":      {"https://a.example,default-src *", "'self'"},
		"line smuggled":        {"https://a.example\nSet-Cookie: a=b", "'self'"},
		"any host":             {"https://*", "'self'"},
		"script":               {"javascript:alert(1)", "'self'"},
		"more than the origin": {"https://a.example/path", "'self'"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			WriteSignIn(w, http.StatusUnauthorized, SignIn{Frame: Frame{Prefix: "/.auth", FormTarget: c.target, Secure: true}})
			want := "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; form-action " + c.formAction + "; base-uri 'none'; frame-ancestors 'none'"
			if got := w.Header().Get("Content-Security-Policy"); got != want {
				t.Errorf("policy %q", got)
			}
			if got := w.Header().Get("Cross-Origin-Opener-Policy"); got != "same-origin" {
				t.Errorf("opener policy %q", got)
			}
			if got := w.Header().Get("Content-Type"); w.Code != http.StatusUnauthorized || got != "text/html; charset=utf-8" {
				t.Errorf("%d %q", w.Code, got)
			}
		})
	}
}

// TestFraming: only pages without forms may be framed, and by the given pages alone.
func TestFraming(t *testing.T) {
	for name, test := range map[string]struct {
		framers   string
		retry     *ProviderStart
		ancestors string
	}{
		"nobody":           {"", nil, "'none'"},
		"this site":        {"'self'", nil, "'self'"},
		"a domain":         {"'self' https://example.com:* https://*.example.com:*", nil, "'self' https://example.com:* https://*.example.com:*"},
		"a page of forms":  {"'self'", &ProviderStart{Method: "corp"}, "'none'"},
		"everybody":        {"*", nil, "'none'"},
		"a policy of more": {"'self' https://example.com:*; script-src *", nil, "'none'"},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			WriteFailure(w, Failure{Frame: Frame{Prefix: "/.auth", Framers: test.framers}, Status: http.StatusUnauthorized, Retry: test.retry})
			if got := w.Header().Get("Content-Security-Policy"); !strings.HasSuffix(got, "; frame-ancestors "+test.ancestors) {
				t.Errorf("policy %q", got)
			}
			want := "DENY"
			if test.ancestors != "'none'" {
				want = "SAMEORIGIN"
			}
			if got := w.Header().Get("X-Frame-Options"); got != want {
				t.Errorf("X-Frame-Options %q, want %q", got, want)
			}
		})
	}
}

func TestHeadIsAsLongAsGet(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		WriteAccounts(w, http.StatusOK, Accounts{Frame: frame, Accounts: []Account{active(alice), admin}})
	}))
	defer server.Close()
	lengths := map[string]int64{}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		request, err := http.NewRequest(method, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		lengths[method] = response.ContentLength
	}
	if lengths[http.MethodHead] <= 0 || lengths[http.MethodHead] != lengths[http.MethodGet] {
		t.Errorf("lengths %v", lengths)
	}
}

func TestNoHalfPage(t *testing.T) {
	broken := template.Must(template.New("").Parse("the first half {{.Missing}} the second half"))
	w := httptest.NewRecorder()
	write(w, http.StatusOK, broken, frame, frame)
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "half") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// draw renders a view and parses it as a browser would.
func draw(t *testing.T, view func(http.ResponseWriter)) *html.Node {
	t.Helper()
	w := httptest.NewRecorder()
	view(w)
	if w.Code == http.StatusInternalServerError {
		t.Fatal("the page was not drawn")
	}
	document, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func find(document *html.Node, is func(*html.Node) bool) *html.Node {
	for n := range document.Descendants() {
		if n.Type == html.ElementNode && is(n) {
			return n
		}
	}
	return nil
}

func field(document *html.Node, name string) *html.Node {
	return find(document, func(n *html.Node) bool { return n.DataAtom == atom.Input && attr(n, "name") == name })
}

// named returns the link or button with an accessible name.
func named(document *html.Node, name string) *html.Node {
	return find(document, func(n *html.Node) bool {
		return (n.DataAtom == atom.A || n.DataAtom == atom.Button) && strings.Join(strings.Fields(content(n)), " ") == name
	})
}

// press returns what a browser posts, and where, when somebody presses a button.
func press(t *testing.T, button *html.Node) (action string, values url.Values) {
	t.Helper()
	if button == nil {
		t.Fatal("no such button")
	}
	form := button
	for form.DataAtom != atom.Form {
		form = form.Parent
	}
	values = url.Values{attr(button, "name"): {attr(button, "value")}}
	for n := range form.Descendants() {
		off := attr(n, "type") == "checkbox" && !has(n, "checked")
		if n.DataAtom == atom.Input && has(n, "name") && !off {
			values.Add(attr(n, "name"), attr(n, "value"))
		}
	}
	return attr(form, "action"), values
}

func has(n *html.Node, key string) bool {
	return n != nil && slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == key })
}

func attr(n *html.Node, key string) string {
	if n != nil {
		for _, a := range n.Attr {
			if a.Key == key {
				return a.Val
			}
		}
	}
	return ""
}

// content returns the text that screen readers get of a node.
func content(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	if attr(n, "aria-hidden") == "true" {
		return ""
	}
	var text strings.Builder
	for child := range n.ChildNodes() {
		text.WriteString(content(child))
	}
	return text.String()
}
