package password

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
)

// decoys stand in for the hashes of users that do not exist, so that an unknown user costs as much
// as a known one: as much as some known one, where hashes differ in algorithm and parameters.
//
// A known user always costs the same, and so must an unknown one: which decoy stands in for a name
// has to be unpredictable but constant, also over restarts and on every node of a cluster. So it is
// chosen with keys that are made of the configured hashes, each of which has at least 128 bits that
// nobody outside knows. And it is chosen by the highest of one draw for each user rather than one
// draw over all, so that a user who is added, removed or has a new password changes the choice for
// as few other names as possible.
type decoys []decoy

type decoy struct {
	secret [sha256.Size]byte
	hash   hash
}

// newDecoy returns a decoy of a user's hash, whose text is given too.
func newDecoy(text string, h hash) decoy {
	return decoy{secret: sha256.Sum256([]byte(text)), hash: h.decoy()}
}

// pick returns the hash that stands in for name. There is at least one decoy.
func (d decoys) pick(name string) hash {
	digest := sha256.Sum256([]byte(name)) // however long the name is, once
	var chosen hash
	var highest []byte
	for i := range d {
		mac := hmac.New(sha256.New, d[i].secret[:])
		mac.Write(digest[:])
		if draw := mac.Sum(nil); chosen == nil || bytes.Compare(draw, highest) > 0 {
			chosen, highest = d[i].hash, draw
		}
	}
	return chosen
}
