// Package cookie has the gateway's own cookies: the one that names a browser's jar, those beside it,
// and those of sign-ins in progress. It reads them from requests, and keeps them between the browser
// and the gateway: upstreams neither see them nor set or clear them.
//
// A name consists of a base, which is the name of the jar's cookie, and a mark that says what the
// cookie is for. The cookies of apps, which package isolation keeps in slots, have names of their own
// form (see SlotName), so that a reader can tell the two apart.
package cookie
