package page

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
)

// Afresh is the page that stands between another site's link and the first page after a switch.
type Afresh struct {
	Frame
	Name string // of whoever is active; empty for nobody
}

// WriteAfresh answers with a page whose one link leads to its own address.
func WriteAfresh(w http.ResponseWriter, status int, v Afresh) {
	write(w, status, afreshPage, v.Frame, v)
}

// reload is all that the page of WriteReload does. A refresh, by whichever field, would not: with a fragment in
// the address browsers take it for a way within the page.
const reload = `location.reload()`

// The page is seen for a moment at most, so nothing is loaded for it. Without scripts there is the refresh, and
// where that is none the link.
const reloading = `<!doctype html>
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

// reloadingPolicy lets the page do nothing but that.
var reloadingPolicy = func() string {
	sum := sha256.Sum256([]byte(reload))
	return "default-src 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
}()

// WriteReload answers with a page that has the browser come to its address once more, at once.
func WriteReload(w http.ResponseWriter, status int) {
	send(w, status, []byte(reloading), reloadingPolicy)
}
