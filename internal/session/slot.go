package session

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
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

// nameSlots completes the sessions of a jar that was just read. Those that a release without slots has
// stored get slots: until the jar is written again, everybody who reads it comes to the same tags. The tags
// follow from the key that the jar is stored under, which nobody outside of the gateway has: it is the
// hash of the token, and scripts do not have the token.
func (j *Jar) nameSlots(key Key) {
	for i := range j.Sessions {
		s := &j.Sessions[i]
		if s.Slot == "" {
			mac := hmac.New(sha256.New, key[:])
			mac.Write([]byte("slot:" + s.ID))
			s.Slot = base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
		}
		s.nameViews()
	}
}

// nameViews computes the names that follow from a session, which requests need each time.
func (s *Session) nameViews() {
	s.view = opaque("view:" + s.Slot)
	s.accountTag = opaque("account:" + s.Recorded.Account.ID())
}

// opaque returns a name of 96 bits that does not tell what it was made from.
func opaque(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// Anonymous is the view of nobody.
const Anonymous = "0"

// View returns the name of what the active session is shown, as caches are told it: Anonymous for nobody. It
// changes whenever the active session does, and does not tell the session's slot.
func (v Visit) View() string {
	entry, ok := v.Active()
	if !ok {
		return Anonymous
	}
	return entry.View()
}

// View returns the name of what the session is shown.
func (s *Session) View() string { return s.view }

// AccountTag returns a name of the session's account that does not tell the account.
func (s *Session) AccountTag() string { return s.accountTag }

// SeveralAccounts reports whether the jar has sessions of more than one account, dead or alive.
func (v *Visit) SeveralAccounts() bool { return v.jar != nil && len(v.jar.Sessions) > 1 }

// SlotOf returns the tag of the slot of the jar's live session of an account, empty where there is none. The
// account is named by its tag.
func (v *Visit) SlotOf(accountTag string) string {
	if v.jar == nil {
		return ""
	}
	for i := range v.jar.Sessions {
		if s := &v.jar.Sessions[i]; s.accountTag == accountTag {
			if _, live := v.entry(s, false); live {
				return s.Slot
			}
		}
	}
	return ""
}

// SlotIsLive reports whether a tag is that of the slot of a live session of any jar. An error is the store's.
func (m *Manager) SlotIsLive(ctx context.Context, tag string) (bool, error) {
	live := false
	err := m.jars.find(ctx, slotTerm(tag), func(key Key) error {
		jar, err := m.jars.load(ctx, key, m.now())
		switch {
		case errors.Is(err, errNoJar) || errors.Is(err, ErrUnreadable):
			return nil
		case err != nil:
			return err
		}
		v := Visit{manager: m, key: key, jar: jar.Jar, at: m.now()}
		live = live || v.HasSlot(tag)
		return nil
	})
	return live, err
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
