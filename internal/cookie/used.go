package cookie

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Used is which accounts requests of a browser were forwarded as, as far as their answers have reached
// it: one cookie for each account, or a single one once there were two. The cookies are only ever added,
// by the very answers that they are about, so answers may arrive in any order: a request that shows
// the cookie of one account alone was sent before any answer to another account had arrived.
//
// An account is named by a tag. Nobody is an account of its own here, with the tag Anonymous.
type Used struct {
	Tag    string // of the first account
	Held   string // what the cookie of that account says; see Mark
	Others bool   // there are further accounts, or one that is named twice
	Shared bool   // there is the cookie that stands for several accounts
	day    string // of the cookie that is shown
}

// Several reports whether requests were forwarded as more than one account.
func (u *Used) Several() bool { return u.Shared || u.Others }

// None reports whether no request was forwarded, or no answer has arrived.
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

// usedEnd separates the day from what is held in the value of a mark.
const usedEnd = "~"

// markAge is how long a mark lasts: as long as browsers keep any cookie. It is renewed long before, so that no
// cookie of an account outlives the account's mark.
const (
	markAge   = 400 * 24 * time.Hour
	markFresh = 7 // days
)

// Fresh reports whether the cookie was set recently enough to leave it as it is.
func (u *Used) Fresh(now time.Time) bool {
	day, err := strconv.ParseInt(u.day, 36, 32)
	return err == nil && daysOf(now)-day < markFresh && day <= daysOf(now)
}

func daysOf(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }

// Mark is the field that says that a request of the browser was forwarded as an account. Held is of the
// base64url alphabet.
func (j Spec) Mark(tag, held string, now time.Time) string {
	return j.lasting(usedMark+tag, strconv.FormatInt(daysOf(now), 36)+usedEnd+held)
}

// MarkShared returns the field that says that requests of the browser were forwarded as several accounts.
func (j Spec) MarkShared(now time.Time) string {
	return j.lasting(sharedMark, strconv.FormatInt(daysOf(now), 36)+usedEnd)
}

// Unmark returns the field that takes the mark of an account back, once MarkShared has taken its place.
func (j Spec) Unmark(tag string) string { return j.clearing(j.Name + usedMark + tag) }

// lasting returns the field of a cookie beside the jar's that stays as long as browsers keep any.
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

// ClearScripted returns the field that says that the scripted cookies of the host belong to no slot.
func (j Spec) ClearScripted() string {
	j.Domain = ""
	return j.clearing(j.hostName() + scriptedMark)
}

// ClearOwner returns the field that takes a cookie from the browser which only releases before Used read.
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
