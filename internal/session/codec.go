package session

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Versions of jar records that this release reads. It refuses records of later releases. Records of
// earlier versions lack optional members: version 1 a jar's Transient and an identity's Epoch,
// versions 1 and 2 a session's Grant and Slot and an identity's Issuer, versions 1 to 3 a jar's
// Pins, versions 1 to 4 a jar's Move and a session's Run. A jar is written as the earliest version that has its members,
// from version 3 on, so that previous releases can read it.
const (
	recordVersion   = 5
	versionPinned   = 4
	versionUnpinned = 3
	oldestVersion   = 1
)

// ErrUnreadable reports a stored jar that this release cannot read, because it is damaged or was
// written by a later release. Its browser is signed out, and the record stays as it is.
var ErrUnreadable = errors.New("stored jar is not readable")

// The stored form of a jar. It is JSON, so that later releases can add members and operators can
// read a record. A jar is decoded once when it is loaded, not at every request.
type (
	jarRecord struct {
		Version   int             `json:"v"`
		ID        string          `json:"id"`
		CreatedAt time.Time       `json:"created_at"`
		Transient bool            `json:"transient,omitempty"`
		Active    string          `json:"active,omitempty"`
		Pins      []pinRecord     `json:"pins,omitempty"`
		Sessions  []sessionRecord `json:"sessions"`
		Move      *moveRecord     `json:"move,omitempty"`
	}
	moveRecord struct {
		From      []byte    `json:"from"`
		Salt      []byte    `json:"salt"`
		At        time.Time `json:"at"`
		Added     []string  `json:"added"`
		Presented bool      `json:"presented,omitempty"`
	}
	pinRecord struct {
		Site    Site    `json:"site,omitempty"`
		Account Account `json:"account,omitzero"`
	}
	sessionRecord struct {
		ID         string    `json:"id"`
		Handle     string    `json:"handle"`
		Identity   *Identity `json:"identity"`
		CreatedAt  time.Time `json:"created_at"`
		LastUsedAt time.Time `json:"last_used_at"`
		ExpiresAt  time.Time `json:"expires_at"`
		IP         string    `json:"ip,omitempty"`
		UserAgent  string    `json:"user_agent,omitempty"`
		Grant      *Grant    `json:"grant,omitempty"`
		Slot       string    `json:"slot,omitempty"`
		Run        string    `json:"run,omitempty"`
	}
)

func encodeJar(j *Jar) ([]byte, error) {
	rec := jarRecord{
		Version:   versionUnpinned,
		ID:        j.ID,
		CreatedAt: j.CreatedAt,
		Transient: j.Transient,
		Active:    j.Active,
		Sessions:  make([]sessionRecord, len(j.Sessions)),
	}
	if len(j.Pins) > 0 {
		rec.Version = versionPinned
	}
	if m := j.Move; m != nil {
		rec.Version = recordVersion
		rec.Move = &moveRecord{m.From[:], m.Salt[:], m.At, m.Added, m.presented.Load()}
	}
	for _, p := range j.Pins {
		rec.Pins = append(rec.Pins, pinRecord(p))
	}
	for i, s := range j.Sessions {
		rec.Sessions[i] = sessionRecord{s.ID, s.Handle, s.Recorded, s.CreatedAt, s.LastUsedAt, s.ExpiresAt, s.IP, s.UserAgent, s.Grant, s.Slot, s.Run}
		if s.Run != "" {
			rec.Version = recordVersion
		}
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode jar %s: %w", j.ID, err)
	}
	return data, nil
}

// signedInSince reports whether a record may have a session that began at a time or later. It costs a
// fraction of decodeJar.
func signedInSince(record []byte, t time.Time) bool {
	const member, toTheSecond = `"created_at":"`, len("2006-01-02T15:04:05")
	since := []byte(t.UTC().Format(time.RFC3339)[:toTheSecond])
	for rest := record; ; {
		_, after, found := bytes.Cut(rest, []byte(member))
		if !found {
			return false
		}
		if len(after) < toTheSecond || bytes.Compare(after[:toTheSecond], since) >= 0 {
			return true
		}
		rest = after
	}
}

// decodeJar reads a record. It returns ErrUnreadable if the record breaks an invariant of the
// package.
func decodeJar(data []byte) (*Jar, error) {
	var version struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if version.V < oldestVersion || version.V > recordVersion {
		return nil, fmt.Errorf("%w: version %d, want %d to %d", ErrUnreadable, version.V, oldestVersion, recordVersion)
	}
	var rec jarRecord
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	dec.UseNumber() // float64 would merge long numbers that differ, and rules compare claims
	if err := dec.Decode(&rec); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if rec.ID == "" {
		return nil, fmt.Errorf("%w: it has no id", ErrUnreadable)
	}
	jar := &Jar{ID: rec.ID, CreatedAt: rec.CreatedAt, Transient: rec.Transient, Active: rec.Active, Sessions: make([]Session, 0, len(rec.Sessions))}
	pins, err := decodePins(rec.Pins)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	jar.Pins = pins
	if len(jar.Pins) > 0 && jar.Active != "" {
		return nil, fmt.Errorf("%w: it has both an active session and pins", ErrUnreadable)
	}
	if jar.Move, err = decodeMove(rec.Move); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	accounts := make(map[Account]bool, len(rec.Sessions))
	ids := make(map[string]bool, len(rec.Sessions))
	for i, s := range rec.Sessions {
		switch {
		case s.ID == "" || s.Handle == "":
			return nil, fmt.Errorf("%w: session %d has no name", ErrUnreadable, i)
		case s.Identity == nil:
			return nil, fmt.Errorf("%w: session %d has no identity", ErrUnreadable, i)
		case accounts[s.Identity.Account]:
			return nil, fmt.Errorf("%w: session %d is of an account that has one already", ErrUnreadable, i)
		case jar.find(s.Handle) >= 0 || ids[s.ID]:
			return nil, fmt.Errorf("%w: session %d has a name that is taken", ErrUnreadable, i)
		case s.Slot != "" && !isName(s.Slot):
			return nil, fmt.Errorf("%w: session %d has a slot without a tag", ErrUnreadable, i)
		case s.Run != "" && !isName(s.Run):
			return nil, fmt.Errorf("%w: session %d belongs to a run without a name", ErrUnreadable, i)
		case s.Slot != "" && jar.bySlot(s.Slot) != nil:
			return nil, fmt.Errorf("%w: session %d has a slot that is another's", ErrUnreadable, i)
		}
		if err := s.Identity.Validate(); err != nil {
			return nil, fmt.Errorf("%w: session %d: %w", ErrUnreadable, i, err)
		}
		if s.Grant != nil {
			if err := s.Grant.Validate(); err != nil {
				return nil, fmt.Errorf("%w: grant of session %d: %w", ErrUnreadable, i, err)
			}
		}
		accounts[s.Identity.Account] = true
		ids[s.ID] = true
		jar.Sessions = append(jar.Sessions, Session{
			ID: s.ID, Handle: s.Handle, Recorded: s.Identity,
			CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt,
			IP: s.IP, UserAgent: s.UserAgent, Grant: s.Grant, Slot: s.Slot, Run: s.Run,
		})
	}
	return jar, nil
}

func decodeMove(rec *moveRecord) (*Move, error) {
	if rec == nil {
		return nil, nil
	}
	move := &Move{At: rec.At, Added: rec.Added, presented: new(atomic.Bool)}
	if len(rec.From) != len(move.From) || len(rec.Salt) != len(move.Salt) {
		return nil, errors.New("its move has no key or no salt")
	}
	copy(move.From[:], rec.From)
	copy(move.Salt[:], rec.Salt)
	move.presented.Store(rec.Presented)
	return move, nil
}

// decodePins reads pins and checks the invariants that choose relies on.
func decodePins(records []pinRecord) ([]Pin, error) {
	if len(records) == 0 {
		return nil, nil
	}
	if len(records) > 1+MaxPins {
		return nil, errors.New("it has too many pins")
	}
	pins := make([]Pin, 0, len(records))
	sites := make(map[Site]bool, len(records))
	for i, p := range records {
		if i == 0 && p.Site == "" {
			pins = append(pins, Pin(p))
			continue
		}
		site, err := ParseSite(string(p.Site))
		switch {
		case err != nil:
			return nil, fmt.Errorf("pin %d: %w", i, err)
		case site != p.Site || sites[site] || i == 0:
			return nil, fmt.Errorf("pin %d is of no site, or of one that has one already", i)
		case p.Account == Account{}:
			return nil, fmt.Errorf("pin %d is of no account", i)
		}
		sites[site] = true
		pins = append(pins, Pin(p))
	}
	return pins, nil
}

// indexTerms returns the terms by which a jar is found without its token. They stay within
// storage.MaxTerms: five for each of MaxSessionsLimit sessions, and two of the jar's. Sessions share the
// terms of their login method and of the provider's session, in which several accounts can have
// signed in.
func indexTerms(j *Jar) []string {
	terms := []string{jarTerm(j.ID)}
	if j.Move != nil && !j.Move.presented.Load() {
		terms = append(terms, movedTerm(j.Move.From))
	}
	shared := make(map[string]bool, 1)
	share := func(term string) {
		if !shared[term] {
			shared[term] = true
			terms = append(terms, term)
		}
	}
	for i := range j.Sessions {
		s := &j.Sessions[i]
		terms = append(terms, accountTerm(s.Recorded.Account), sessionTerm(s.ID))
		if s.Slot != "" {
			terms = append(terms, slotTerm(s.Slot))
		}
		share(methodTerm(s.Recorded.Account.Method))
		if s.Grant != nil && s.Grant.SID != "" {
			share(sidTerm(s.Recorded.Account.Method, s.Grant.SID))
		}
	}
	return terms
}

func jarTerm(id string) string           { return "jar:" + id }
func movedTerm(from Key) string          { return "moved:" + base64.RawURLEncoding.EncodeToString(from[:]) }
func sessionTerm(id string) string       { return "session:" + id }
func slotTerm(tag string) string         { return "slot:" + digest(tag) }
func methodTerm(method string) string    { return "method:" + digest(method) }
func accountTerm(account Account) string { return "account:" + digest(account.ID()) }
func sidTerm(method, sid string) string  { return "sid:" + digest(method+":"+sid) }

// digest maps a text of any length to one of fixed length, within the store's limit for terms.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
