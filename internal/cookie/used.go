package cookie

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Used says which accounts have used a browser, by the marks that a request shows. A mark is a
// cookie that an answer sets if its request was forwarded for the account. There is one for each
// account, until a single one stands for several. Marks are only added, each by the answer that it
// is about, so answers may arrive in any order: a request that shows the mark of one account alone
// was sent before any answer to another account had arrived.
//
// A tag names the account. Nobody is an account here, with the tag Anonymous.
type Used struct {
	Tag    string // of the first account
	Held   string // what the mark of that account holds; see Mark
	Others bool   // there are marks of other accounts, or an account has two, or a mark is malformed
	Shared bool   // there is the mark that stands for several accounts
	day    string // of the mark
}

// Several reports whether requests were forwarded as more than one account.
func (u *Used) Several() bool { return u.Shared || u.Others }

// None reports whether there is no mark: no answer to a forwarded request has arrived yet.
func (u *Used) None() bool { return u.Tag == "" && !u.Shared }

func (u *Used) add(tag, value string) {
	day, held, _ := strings.Cut(value, usedEnd)
	if u.Tag != "" || tag == "" || !Alphabetic(tag) || !Alphabetic(held) {
		u.Others = true
		return
	}
	u.Tag, u.Held, u.day = tag, held, day
}

func (u *Used) share(value string) {
	u.Shared = true
	u.day, _, _ = strings.Cut(value, usedEnd)
}

// usedEnd separates the day from what a mark holds.
const usedEnd = "~"

// markAge is how long a mark lasts: as long as browsers keep any cookie. A visit renews a mark that
// is markFresh days old, so no cookie of an account outlives the account's mark.
const (
	markAge   = 400 * 24 * time.Hour
	markFresh = 7 // days
)

// Fresh reports whether the mark need not be renewed yet.
func (u *Used) Fresh(now time.Time) bool {
	day, err := strconv.ParseInt(u.day, 36, 32)
	return err == nil && daysOf(now)-day < markFresh && day <= daysOf(now)
}

func daysOf(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }

// Mark returns the field of an account's mark. What it holds comes back as Used.Held, and has
// base64url characters only.
func (j Spec) Mark(tag, held string, now time.Time) string {
	return j.lasting(usedMark+tag, strconv.FormatInt(daysOf(now), 36)+usedEnd+held)
}

// MarkShared returns the field of the mark that stands for several accounts.
func (j Spec) MarkShared(now time.Time) string {
	return j.lasting(sharedMark, strconv.FormatInt(daysOf(now), 36)+usedEnd)
}

// Unmark returns the field that clears the mark of an account, because that of MarkShared replaces
// it.
func (j Spec) Unmark(tag string) string { return j.clearing(j.Name + usedMark + tag) }

// lasting returns the field of a cookie that browsers keep for as long as any.
func (j Spec) lasting(mark, value string) string {
	j.Name += mark
	c := j.cookie(value)
	c.MaxAge = int(markAge / time.Second)
	return c.String()
}

// SetScripted returns the field that says which slot the scripted cookies of the host belong to.
func (j Spec) SetScripted(tag string) string {
	j.Name, j.Domain = j.hostName(), ""
	return j.lasting(scriptedMark, tag)
}

// ClearScripted returns the field that says that the scripted cookies of the host belong to no
// slot.
func (j Spec) ClearScripted() string {
	j.Domain = ""
	return j.clearing(j.hostName() + scriptedMark)
}

// ClearOwner returns the field that clears a cookie of earlier releases, which had no marks.
func (j Spec) ClearOwner() string {
	j.Domain = ""
	return j.clearing(j.hostName() + ownerMark)
}

func (j Spec) clearing(name string) string {
	j.Name = name
	h := make(http.Header, 1)
	j.Clear(h)
	return h.Get("Set-Cookie")
}
