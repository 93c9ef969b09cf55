package cookie

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// ReadRun returns the name of the browser's run. It is empty if the browser has none, and if there
// are two, of which one may have been planted.
func (c *Cookies) ReadRun() string {
	run, ok := c.Run.Only()
	if !ok || !session.IsRun(run) {
		return ""
	}
	return run
}

// SetRun gives the browser the name of its run, which it forgets when it closes.
func (j Spec) SetRun(h http.Header, run string) {
	j.Name += runMark
	c := j.cookie(run)
	h.Add("Set-Cookie", c.String())
}
