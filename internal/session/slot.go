package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
)

// bySlot returns the session whose slot has the tag, or nil. It is the jar's own.
func (j *Jar) bySlot(tag string) *Session {
	i := slices.IndexFunc(j.Sessions, func(s Session) bool { return s.Slot == tag })
	if i < 0 {
		return nil
	}
	return &j.Sessions[i]
}

// nameSlots gives the sessions of a jar that was just read slots where they have none, as those that a
// release without slots has stored. Until the jar is written again everybody who reads it comes to the
// same tags. They follow from what the jar is stored under, which nobody outside of the gateway has: it
// is the hash of the token, and scripts do not have the token.
func (j *Jar) nameSlots(key Key) {
	for i := range j.Sessions {
		if s := &j.Sessions[i]; s.Slot == "" {
			mac := hmac.New(sha256.New, key[:])
			mac.Write([]byte("slot:" + s.ID))
			s.Slot = base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
		}
	}
}

// Slot returns the tag of the active session's slot, empty where nobody is active.
func (v Visit) Slot() string {
	entry, ok := v.Active()
	if !ok {
		return ""
	}
	return entry.Slot
}

// HasSlot reports whether the tag is that of a live session of the jar.
func (v *Visit) HasSlot(tag string) bool {
	if v.jar == nil || tag == "" {
		return false
	}
	for i := range v.jar.Sessions {
		if v.jar.Sessions[i].Slot == tag {
			_, live := v.entry(&v.jar.Sessions[i], false)
			return live
		}
	}
	return false
}
