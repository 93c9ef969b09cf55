package password

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
)

// decoys stand in for the hashes of users that do not exist, so that an unknown user costs as much
// as a known one: as much as some known one, where hashes differ in algorithm and parameters.
//
// A known user always costs the same, and so must an unknown one: which decoy stands in for a name
// has to be unpredictable but constant, also over restarts and on every node of a cluster. So it is
// chosen with keys that are made of the configured hashes, each of which has at least 128 bits that
// nobody outside knows, or of the secret of the stored users. And it is chosen by the highest of one
// draw for each user rather than one draw over all, so that a user who is added, removed or has a new
// password changes the choice for as few other names as possible.
type decoys []decoy

type decoy struct {
	secret [sha256.Size]byte
	hash   hash
	weight float64 // how many users it stands for
}

// newDecoy returns a decoy of a user's hash, whose text is given too.
func newDecoy(text string, h hash) decoy {
	return decoy{secret: sha256.Sum256([]byte(text)), hash: h.decoy(), weight: 1}
}

// newGroupDecoy returns a decoy that stands for n users whose hashes cost the same. It is chosen as
// often as n decoys would be together.
func newGroupDecoy(secret []byte, scheme string, h hash, n int) decoy {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(scheme))
	return decoy{secret: [sha256.Size]byte(mac.Sum(nil)), hash: h, weight: float64(n)}
}

// pick returns the hash that stands in for name. There is at least one decoy.
func (d decoys) pick(name string) hash {
	digest := sha256.Sum256([]byte(name)) // however long the name is, once
	var chosen hash
	highest := math.Inf(-1)
	for i := range d {
		if draw := d[i].draw(digest[:]); draw > highest {
			chosen, highest = d[i].hash, draw
		}
	}
	return chosen
}

// draw is the logarithm of the highest of as many draws, even from 0 to 1, as the decoy has weight.
// The highest of n is distributed as the nth root of one.
func (d *decoy) draw(digest []byte) float64 {
	mac := hmac.New(sha256.New, d.secret[:])
	mac.Write(digest)
	const bits = 53 // of a float64; half a step keeps 0 out
	even := (float64(binary.BigEndian.Uint64(mac.Sum(nil))>>(64-bits)) + .5) / (1 << bits)
	return math.Log(even) / d.weight
}
