// Package isolation keeps the cookies that apps set for one account of a browser from all others.
//
// # The rule
//
// An app is sent, for an account, only cookies that apps set, through this gateway, in answers to
// that account's requests. The browser has each of them under a name that carries the slot of the
// account's session, with HttpOnly, and the app gets its value under the app's own name. Plain
// cookies are never taken for it, because scripts, other ports, proxies in front and parent domains
// can write them too. So no race, path, domain, script, prefetch or late answer can show an app
// another account's cookie: no code here could.
//
// For scripts that read a cookie, such as a CSRF token, a copy of the active account's value lies
// beside the slot's cookie under the app's own name. The gateway knows a copy by its value, which
// is that of a slot's cookie or the one before. It replaces copies with the first answer after a
// switch. A copy can be stale for a moment, and then scripts of one account read another's value.
// Apps are never sent copies of another account's cookies.
//
// The gateway writes, changes and clears only cookies that it set itself. It leaves a plain cookie
// alone whose value is no slot's.
//
// # One account alone
//
// Until a second account is used in a browser, apps work as they do without a gateway: they are
// sent plain cookies, and what scripts make of copies. The browser itself says whether one account
// is alone. Each answer to a request that was forwarded for an account sets a cookie, the mark of
// the account, in the same header as all that the app sets (see cookie.Used). Marks are only added.
// So a request that shows the mark of its own account and no other was sent before any answer to
// another account had arrived, and no page of another account has made the plain cookies that it
// shows. With the marks of two accounts the browser is shared, and stays so. In doubt it is shared.
// Nobody is an account here, except on paths that the gate leaves out.
//
// Plain cookies that a browser had before the first answer to an account are held back while they
// are unchanged. The mark has their fingerprints.
//
// Within a cookie domain the mark belongs to the domain, because scripts of one host can set
// cookies for all of them.
//
// # States and events
//
// For one slot and one place (name, domain and path), a cookie of an app is absent, stored in the
// slot without a copy, or stored with a copy.
//
//	event                            absent         stored            with a copy
//	the app sets it, HttpOnly        → stored       value replaced    → stored, copy cleared (1)
//	the app sets it, readable        → with a copy  → with a copy     value and copy replaced
//	the same, in a late answer (2)   → stored       value replaced    value replaced, copy stale
//	the app clears it                –              → absent          → absent, copy cleared (1)
//	a script writes the plain name   held back (3)  held back         slot's value sent (4)
//	a script deletes the plain name  –              –                 copied again (4)
//	request as its account           nothing sent   sent, copied (5)  sent, stale copy replaced
//	request as another or nobody     nothing sent   nothing sent      not sent, copy cleared (6)
//	its session ends                 –              → absent          → absent, copy cleared
//
// (1) If the request showed the copy, or this very answer set it. This holds for late answers too.
// Where another account has its copy in that place by then, it is copied again. An answer that
// clears the cookie, and is not late, clears what the browser has in that place in any case.
//
// (2) An answer is late if another account is active when it is given. It writes no copies, and
// nothing at all if its session has ended. Answers to requests whose account is not known are treated
// alike.
//
// (3) Alone, the app is sent it.
//
// (4) Alone, the app is sent what the script made, and the slot keeps it; what the script deleted
// is absent. The same happens once at the hand-over, the first request of another account. It holds
// only for cookies whose copy the same answer has set and that hosts with other jars cannot write.
//
// (5) If it is readable, and no other plain cookie has the name.
//
// (6) Or replaced, where the active slot has a cookie in the same place. The copy stays if it is
// nobody's and the account is alone, because a parallel request may be setting the account's own.
// It also stays while a mark says that its own account is alone and the answer brings no other
// mark: the gateway would take the absent copy for one that a script deleted.
//
// # Requests without the jar's cookie
//
// A request of another site shows neither the jar's cookie nor marks. On a path that the gate
// leaves out, the app is sent the cookies of a slot if the request shows those of exactly one live
// slot. Where it shows several, the app is sent none and can set none. The answer changes nothing
// but cookies of that slot and their copies.
//
// A client is no browser if it shows no cookie of the gateway, no Fetch Metadata and no Origin. On
// a path that the gate leaves out its cookies pass as they are.
//
// # Cookies of all accounts, and cookies that only scripts make
//
// Options.Except names cookies that all accounts share. They pass as they are.
//
// Options.Scripted names cookies that a script makes at the path / for this host, and of which each
// account has its own. A cookie of the host, the holder, says which slot the present ones belong
// to. The answer to the first page after a switch exchanges them. Nobody has none of his own once
// the browser is shared.
//
// # Limits
//
// Only scripted cookies, and the last of these, can show an app what another account's page wrote
// or app set.
//
// In a shared browser:
//
//   - A script that changes a copy makes a plain cookie of it. It stays, scripts of all accounts
//     read it, and no other copy is made in its place.
//   - A copy stays if its request did not show it and the answer makes the cookie HttpOnly, or
//     clears it late: the request was sent before the copy was made, or by a page of another site.
//     It is held back. One account alone is sent it once the slot's cookie is gone.
//   - A page of an account that is still open after a switch can write a scripted cookie, and it
//     counts as the active account's. The same is true of what a page writes between the request
//     that exchanges the cookies and its answer, unless Options.Scripted has the full name.
//   - An answer that was given before a switch and arrives after the next page says once more that
//     the scripted cookies are the old slot's. The next exchange then keeps the new account's
//     there.
//
// While one account is alone:
//
//   - Cookies from before the gateway on a deeper path than that of the first request cannot be
//     told from newer ones, and pass.
//   - Hosts with jars of their own know nothing of one another. What a page of one host writes for
//     a parent domain passes at another host where one account is alone.
//   - A request of another site that shows no cookie with SameSite=Lax is forwarded as nobody's
//     where the gate is optional, and brings no mark: else every such request would share the
//     browser. What scripts of its page write passes.
//   - Nobody's pages on paths that the gate leaves out get no copies while a mark says that an
//     account is alone whose session still lives.
//   - Browsers without Fetch Metadata do not say that a page is in a frame of another site. Such a
//     page shows no mark, so what a script made of a copy is overwritten.
//   - On plain HTTP a flood of cookies can evict the jar, the mark and the slots' cookies, but not
//     the copies. Then the browser looks new, and on a path that the gate leaves out nobody's app
//     is sent the copies. On HTTPS browsers evict cookies without Secure first.
package isolation
