package session

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
)

// bySlot returns the session whose slot has the tag, or nil. The session is part of the jar.
func (j *Jar) bySlot(tag string) *Session {
	i := slices.IndexFunc(j.Sessions, func(s Session) bool { return s.Slot == tag })
	if i < 0 {
		return nil
	}
	return &j.Sessions[i]
}

// nameSlots gives slots to sessions of a loaded jar that have none, which a release without slots
// stored. The tags are derived from the jar's key, so that every reader gets the same ones until
// the jar is written again. The key is the hash of the token. Only the gateway knows it, because
// scripts do not have the token.
func (j *Jar) nameSlots(key Key) {
	for i := range j.Sessions {
		if s := &j.Sessions[i]; s.Slot == "" {
			mac := hmac.New(sha256.New, key[:])
			mac.Write([]byte("slot:" + s.ID))
			s.Slot = base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
		}
	}
}

// Slot returns the tag of the active session's slot, empty if none is active.
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
