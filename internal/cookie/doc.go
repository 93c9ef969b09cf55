// Package cookie has the gateway's own cookies: the one that names a browser's jar, those beside
// it, and those of sign-ins in progress. It reads them from requests, and keeps upstreams from
// seeing, setting or clearing them.
//
// Their names begin with a base, the name of the jar's cookie, followed by a mark that says what
// the cookie is for. The cookies of apps, which package isolation keeps in slots, have names of
// another form (see SlotName), so the two cannot be confused.
package cookie
