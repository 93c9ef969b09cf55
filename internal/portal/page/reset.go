package page

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
)

// Reset is the reset page that waits for a click. It is shown where another site's link leads to
// the first page after a switch.
type Reset struct {
	Frame
	Name string // display name of the active account; empty where nobody is signed in
}

// WriteReset answers with the reset page that waits for a click. Its one link leads to the page's
// own address.
func WriteReset(w http.ResponseWriter, status int, v Reset) {
	write(w, status, resetPage, v.Frame, v)
}

// reload is the script of the automatic reset page. It calls location.reload because a refresh, by
// a header or a meta element, does not reload an address with a fragment: browsers take it for a
// jump within the page.
const reload = `location.reload()`

// automaticReset is the whole page. It is visible for a moment at most, so it loads nothing.
// Without scripts it refreshes, and where refreshes are off too it has a link.
const automaticReset = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>One moment…</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<script>` + reload + `</script>
<noscript><meta http-equiv="refresh" content="0"></noscript>
</head>
<body>
<p>The account was switched. <a href="">Continue</a></p>
</body>
</html>
`

// automaticResetPolicy allows that one script and nothing else.
var automaticResetPolicy = func() string {
	sum := sha256.Sum256([]byte(reload))
	return "default-src 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
}()

// WriteAutomaticReset answers with the reset page that requests its own address again at once.
func WriteAutomaticReset(w http.ResponseWriter, status int) {
	send(w, status, []byte(automaticReset), automaticResetPolicy, "DENY")
}
