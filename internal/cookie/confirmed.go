package cookie

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Any host of the jar's domain can set the jar's cookie, and so can scripts there: after filling the
// browser with cookies until it drops the jar's, they can plant the jar of somebody else. So a host of
// the domain uses a jar only if it is confirmed there: a sign-in, a switch or a click in this browser,
// at this host, has led to it. A cookie that belongs to the host alone holds a digest of the jar's id.
// Over HTTPS its prefix keeps other hosts and all scripts from setting it.

const (
	// confirmedAge is the longest time that browsers keep a cookie. The cookie is worth nothing without
	// the jar's.
	confirmedAge = 400 * 24 * time.Hour

	// maxStarted bounds the listed sign-ins. The oldest ones are dropped.
	maxStarted = maxFlows
)

// Confirms reports whether a request's cookies confirm the jar with the id at this host. A jar that
// belongs to one host needs no confirmation.
func (j Spec) Confirms(c *Cookies, jarID string) bool {
	if j.Domain == "" {
		return true
	}
	value, ok := c.Confirmed.Only()
	return ok && value == confirmation(jarID)
}

// HasShown reports whether pages of this host were last shown under the view of a session of the jar,
// according to a request's cookies. So this browser has used the jar here before. That confirms the jars
// of browsers that used them before there was the cookie of SetConfirmed.
func (c *Cookies) HasShown(jar session.Visit) bool {
	shown, ok := c.Shown.Only()
	return ok && shown != Anonymous && slices.ContainsFunc(jar.Entries(), func(e session.Entry) bool {
		return e.View() == shown
	})
}

// SetConfirmed confirms the jar with the id at this host. It does nothing if the jar belongs to this
// host alone.
func (j Spec) SetConfirmed(h http.Header, jarID string) {
	if j.Domain == "" {
		return
	}
	c := j.ofHost(confirmedMark).cookie(confirmation(jarID))
	c.MaxAge = int(confirmedAge / time.Second)
	h.Add("Set-Cookie", c.String())
}

// confirmation returns the cookie's value for a jar.
func confirmation(jarID string) string {
	sum := sha256.Sum256([]byte("confirmed:" + jarID))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// StartedHere returns the tags of the sign-ins that this browser has begun at this host, newest first.
// Tags are those of Flow.
func (c *Cookies) StartedHere() []string {
	value, ok := c.Started.Only()
	if !ok || value == "" {
		return nil
	}
	tags := strings.Split(value, tagSeparator)
	if len(tags) > maxStarted || !allAlphabetic(tags) {
		return nil
	}
	return tags
}

// tagSeparator is no base64url character.
const tagSeparator = "."

func allAlphabetic(tags []string) bool {
	return !slices.ContainsFunc(tags, func(tag string) bool { return tag == "" || !Alphabetic(tag) })
}

// AddStarted notes in the browser that a sign-in begins at this host. It does nothing if the jar
// belongs to this host alone.
func (j Spec) AddStarted(w http.Header, c *Cookies, tag string, maxAge time.Duration) {
	if j.Domain == "" {
		return
	}
	tags := append([]string{tag}, c.StartedHere()...)
	started := j.ofHost(startedMark).cookie(strings.Join(tags[:min(len(tags), maxStarted)], tagSeparator))
	started.MaxAge = int(maxAge / time.Second)
	w.Add("Set-Cookie", started.String())
}

// ClearStarted deletes the list of sign-ins that began at this host.
func (j Spec) ClearStarted(h http.Header) { j.ofHost(startedMark).Clear(h) }
