// Package user keeps the gateway's own users: those whom no configuration names, because they
// signed themselves up or an administrator made them, and the invitations by which people may sign
// up.
//
// Users are records of the store, one each, and all of them are in memory while it is open: who
// somebody is now is asked on every request. Names and addresses are compared with everybody else's
// under one lock before they are written, so the package takes a store that no other process writes
// to.
//
// # Names are not given out twice
//
// Apps behind the gateway know people by their user name. Whoever took the name that somebody else
// had before would be that person to them, with all that is theirs. So a name stays with the user
// who once had it, through changes of name and after the user is deleted; only an administrator
// gives it to somebody else, who can know what that means.
//
// # Epochs
//
// A user's Epoch is in the identity that a session is made with. To raise it is to end all sessions
// that were made before, in the same write as what made that necessary, a new password or a
// deletion: nothing has to be found and ended for it to hold, and a sign-in that was under way with
// the old password makes a session that is dead when it is looked at.
package user
