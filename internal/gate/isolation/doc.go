// Package isolation keeps the cookies that apps set for one account of a browser from all others.
//
// # The rule
//
// An app is sent, in the name of an account, only cookies that apps set, through this gateway, in
// answers to that account's requests. Each is in the browser under a name that carries the slot of
// the account's session, with HttpOnly, and the app gets the value of that cookie under its own
// name. Plain cookies, which scripts, other ports, proxies in front and parent domains can write
// too, are never taken for it. So no race, path, domain, script, prefetch or late answer can show
// an app another account's cookie: no code here could.
//
// For scripts that read a cookie, such as a CSRF token, a copy of the active account's value lies
// beside the slot's cookie under the app's own name. The gateway knows a copy by its value, which
// is that of a slot's cookie, or the one before. It replaces copies at the first answer after a
// switch. A copy can be stale for a moment, and then scripts of one account read another's value;
// apps never see copies.
//
// The gateway writes, changes and clears only cookies that it set itself. A plain cookie whose
// value is no slot's stays as it is.
//
// # One account alone
//
// Until a second account is used in a browser, apps work as without a gateway: plain cookies count,
// and what scripts make of a copy counts. Whether that is so the browser itself says. Each answer
// to a request that was forwarded as an account brings a cookie, the mark, that says so, in the
// same header as all that the app has to say (see cookie.Used). Marks are only ever added. A
// request that shows the mark of its own account and no other was therefore sent before any answer
// to another account had arrived, so what plain cookies there are no other account's page has made.
// With the marks of two accounts the browser is shared, and stays so. On doubt it is shared.
//
// The plain cookies that a browser had before the first answer to an account are held back while
// they are unchanged; the mark has their fingerprints. Cookies from before the gateway on a deeper
// path than that of the first request cannot be told from newer ones. They pass until a second
// account is used.
//
// Within a cookie domain the mark belongs to the domain, because scripts of one host can set
// cookies for all of them.
//
// # States and events
//
// A cookie of an app, for one slot and place (name, domain and path), is absent, stored (in the
// slot) or stored and copied.
//
//	event                              absent                 stored                   stored and copied
//	the app sets it, HttpOnly          → stored               value replaced           → stored, copy cleared
//	the app sets it, readable          → stored and copied    → stored and copied      value and copy replaced
//	the same, in a late answer (1)     → stored               value replaced           value replaced; the copy is stale
//	the app clears it                  –                      → absent                 → absent, copy cleared
//	a script writes the plain name     held back (2)          held back (2)            the app is sent the slot's value (3)
//	a script deletes the plain name    –                      –                        copied again (3)
//	request as its account             nothing is sent        sent; copied if readable sent
//	request as another, or as nobody   nothing is sent        nothing is sent          nothing is sent, copy cleared or replaced
//	its session ends                   –                      → absent                 → absent, copy cleared
//
// (1) An answer is late if another account is active when it is given. It makes no copies.
//
// (2) Alone, it is sent, unless an HttpOnly cookie of the app has the name.
//
// (3) Alone, what the script made of it is sent and stored, and what it deleted is absent, unless
// the cookie is for a wider domain than the jar's, where hosts with other jars write too.
//
// While a mark says that a live account is alone, copies only change with an answer to that account
// or with one that marks the browser as shared: an absent copy counts as deleted by a script.
//
// # Requests without the jar's cookie
//
// A request of another site shows neither the jar's cookie nor marks. On a path that the gate
// leaves out it gets the cookies of a slot, if it shows those of exactly one live slot. It changes
// nothing but cookies of that slot.
//
// A client that shows neither a cookie of the gateway nor Fetch Metadata is no browser. On a path
// that the gate leaves out its cookies pass as they are.
//
// # Cookies of all accounts, and cookies that only scripts make
//
// Options.Except names cookies that all accounts share; they pass as they are. Options.Scripted
// names cookies that a script makes at the path / for this host, and of which each account has its
// own. A cookie of the host says which slot the present ones belong to. They are exchanged before
// the first page after a switch. What a page of one account that is still open writes later is
// taken for the active account's, so they are safe only as far as such pages are.
//
// Nobody has none of his own once the browser is shared, because an answer to a request without a
// jar may come after a sign-in.
//
// # Limits
//
// Alone is known of the hosts of one jar. A script of a host with another jar that writes for the
// whole domain counts as another service, as do pages of requests that bring no mark: nobody's on
// left-out paths, and those of other sites.
//
// Answers that cross can leave a copy that no slot's cookie stands for: one request's answer
// deletes a cookie, or sets it with HttpOnly, that another has set for scripts meanwhile. Scripts
// can read it, and while alone the app is sent it again.
//
// An answer that was given before a switch and arrives after the next page can claim scripted
// cookies for its slot. What a script has just written is then taken for that slot's.
//
// A browser that has been made to drop the marks, by more cookies than it keeps, is taken for one
// without accounts. HTTPS protects them: browsers drop cookies without Secure first.
package isolation
