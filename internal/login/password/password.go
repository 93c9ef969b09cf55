// Package password signs in the users that the configuration names and those that the gateway keeps
// itself, by the hashes of their passwords.
//
// Users of the configuration win over stored ones: who has a name or an address of one of them cannot
// sign in. Their subject is the user name, that of stored users an id that is no name, so the one
// never becomes the other's account.
//
// # What a guesser can find out
//
// Whether a user exists is told neither by answers, which are the same, nor by the time they take:
// for an unknown user a decoy hash is checked, with the parameters of some configured user, under
// the same limits. What remains is in the limits of accounts.
//
// A user's name and e-mail address share one, as they are one account, while an unknown name and an
// unknown address have one each. So whoever uses up an account's under the name, and finds the
// address throttled as well from a network that has not failed yet, knows that both are one user's.
// With 10 failures an address this takes 100 guesses from ten networks within the window, for a
// single pair of name and address. A limit for each would hide it, and would double what everybody
// can guess at every user. And a guesser behind an address that the user signs in from can see,
// once the account's limit is used up, that it does not apply there.
//
// # Passwords
//
// Those of the configuration's users are compared byte by byte, as typed. NIST SP 800-63B proposes to
// normalise Unicode first, but caddy hash-password does not, and only the program that makes a hash can
// decide that. If a password does not match as typed, and there is another way to encode its letters,
// its normal form (NFC) is tried too: keyboards of some systems send letters with accents decomposed.
// That is one attempt, whoever the user is, so it tells a guesser nothing. Hashes of stored users are
// made here, of the normalised password.
package password

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// maxPasswordBytes is longer than any password, and short enough to be hashed for strangers.
const maxPasswordBytes = 1024

// Config is what an administrator says about the method.
type Config struct {
	ID     string // of the login method; has no colon
	Users  []User
	Limits login.Limits
	SignUp *SignUp // nil: nobody can sign up

	// MaxWait is how long somebody waits until there is room to hash their password, and for the
	// outcome of other attempts that they may be throttled by. Zero means DefaultMaxWait.
	MaxWait time.Duration

	// SignUps counts who signs up, by the same Limits. It is apart from the throttle of sign-in, so
	// that a class of people who make accounts from one address do not keep each other from signing
	// in, and like that throttle it is the process's. Nil means that one.
	SignUps *login.Throttle
}

// DefaultMaxWait carries a class of 48 people who sign up at once, on a machine that takes half a second
// for a hash. Browsers wait longer than that.
const DefaultMaxWait = 30 * time.Second

// Bounds of Config.MaxWait.
const (
	minMaxWait = time.Second
	maxMaxWait = 10 * time.Minute
)

// Method is a login.PasswordMethod, login.EpochLister, login.Registrar and login.AccountEditor. It is not changed
// once made.
type Method struct {
	id         string
	limits     login.Limits
	throttle   *login.Throttle
	budget     *Budget
	maxWait    time.Duration
	signUp     *SignUp
	signUps    *login.Throttle
	byName     map[string]*candidate // folded
	byEmail    map[string]*candidate // folded
	identities map[string]*session.Identity
	subjects   []string
	decoys     decoys
	nobody     bool // no user is configured, and the decoys are none's

	leastName, mostName int

	stored *stored // nil until With
}

// stored is the users that the gateway keeps itself, and what was made of them for this method.
type stored struct {
	users    *user.Users
	reserved map[string]bool // names that nobody can choose, lower case
	known    sync.Map        // user id to *known
	decoys   sync.Map        // scheme to hash
}

var (
	_ login.PasswordMethod = (*Method)(nil)
	_ login.EpochLister    = (*Method)(nil)
	_ login.Registrar      = (*Method)(nil)
	_ login.AccountEditor  = (*Method)(nil)
)

// candidate is a user in the form that sign-in needs.
type candidate struct {
	identity *session.Identity
	hash     hash
	stored   *user.User // nil where the configuration names the user
	barred   bool       // cannot sign in, whatever the password
}

// New returns the method for a configuration, or an error that names the user and what is wrong
// with the user, but never a hash. Throttle and budget are those of the process, whatever the
// configuration; they must not be nil.
func New(c Config, throttle *login.Throttle, budget *Budget) (*Method, error) {
	m := &Method{
		id:         c.ID,
		limits:     c.Limits,
		throttle:   throttle,
		budget:     budget,
		maxWait:    cmp.Or(c.MaxWait, DefaultMaxWait),
		signUp:     c.SignUp,
		signUps:    cmp.Or(c.SignUps, throttle),
		byName:     make(map[string]*candidate, len(c.Users)),
		byEmail:    make(map[string]*candidate, len(c.Users)),
		identities: make(map[string]*session.Identity, len(c.Users)),
		leastName:  login.MinUserName,
		mostName:   login.MaxUserName,
	}
	if c.ID == "" || strings.Contains(c.ID, ":") {
		return nil, fmt.Errorf("login %q: the id must not be empty or have a colon", c.ID)
	}
	if err := c.Limits.Validate(); err != nil {
		return nil, fmt.Errorf("login %s: %w", c.ID, err)
	}
	if m.maxWait < minMaxWait || m.maxWait > maxMaxWait {
		return nil, fmt.Errorf("login %s: max_wait of %s: must be %s to %s", c.ID, m.maxWait, minMaxWait, maxMaxWait)
	}
	if c.SignUp != nil {
		if err := c.SignUp.validate(); err != nil {
			return nil, fmt.Errorf("login %s: %w", c.ID, err)
		}
	}
	for i := range c.Users {
		if err := m.add(&c.Users[i]); err != nil {
			return nil, fmt.Errorf("login %s: user %q: %w", c.ID, c.Users[i].Name, err)
		}
	}
	if err := budget.fits(defaultHash); err != nil {
		return nil, fmt.Errorf("login %s: a hash as caddy hash-password makes it %w", c.ID, err)
	}
	if len(m.decoys) == 0 {
		m.nobody = true
		m.decoys = decoys{newDecoy("", defaultHash)}
	}
	return m, nil
}

func (m *Method) add(u *User) error {
	identity, err := u.identity(m.id)
	if err != nil {
		return err
	}
	h, err := parseHash(u.Hash)
	if err != nil {
		return fmt.Errorf("hash: %w; %s", err, howToHash)
	}
	if err := m.budget.fits(h); err != nil {
		return fmt.Errorf("hash: %w; %s", err, howToHash)
	}

	known := &candidate{identity: identity, hash: h}
	name := user.Fold(identity.UserName)
	if m.byName[name] != nil {
		return errors.New("name: another user has it")
	}
	m.byName[name] = known
	if identity.Email != "" {
		if other := m.byEmail[identity.Email]; other != nil {
			return fmt.Errorf("e-mail %q: user %q has it", u.Email, other.identity.UserName)
		}
		m.byEmail[identity.Email] = known
	}
	m.identities[identity.Account.Subject] = identity
	m.subjects = append(m.subjects, identity.Account.Subject)
	m.decoys = append(m.decoys, newDecoy(u.Hash, h))
	m.leastName = min(m.leastName, len(name))
	m.mostName = max(m.mostName, len(name))
	return nil
}

// ID implements login.Method.
func (m *Method) ID() string { return m.id }

// Subjects implements login.Lister. The subjects are those that the configuration decides about: the
// user names of its users, in its order, and the ids of the stored users whom these shadow, whose
// sessions so end when that begins.
func (m *Method) Subjects() []string {
	subjects := slices.Clone(m.subjects)
	for _, u := range m.Shadowed() {
		subjects = append(subjects, u.ID)
	}
	return subjects
}

// Epochs implements login.EpochLister: whoever has another hash in the configuration has another epoch.
func (m *Method) Epochs() map[string]uint64 {
	epochs := make(map[string]uint64, len(m.identities))
	for subject, identity := range m.identities {
		epochs[subject] = identity.Epoch
	}
	return epochs
}

// UserNameLength implements login.PasswordMethod: 3 to 30 characters, or more where a user's name
// needs it.
func (m *Method) UserNameLength() (least, most int) {
	least, most = m.leastName, m.mostName
	if m.stored != nil {
		shortest, longest := m.stored.users.NameLengths()
		least, most = min(least, shortest), max(most, longest)
	}
	return least, most
}

// Current implements login.Method. An identity of the configuration has no times: it does not know
// since when a user is in it. Sessions that an earlier release has made have no epoch, and go on; the
// roster ends them when the hash changes.
func (m *Method) Current(recorded *session.Identity) (*session.Identity, bool) {
	if identity, ok := m.identities[recorded.Account.Subject]; ok {
		return identity, recorded.Epoch == identity.Epoch || recorded.Epoch == 0
	}
	return m.currentStored(recorded)
}

// Authenticate implements login.PasswordMethod. An error that is not one of login's says that ctx
// ended before the password was looked at, and wraps its cause.
//
// An empty password is nobody's, and ErrBadCredentials before anything is looked up, counted or
// hashed.
func (m *Method) Authenticate(ctx context.Context, c login.Credentials) (*session.Identity, error) {
	switch {
	case len(c.Password) > maxPasswordBytes:
		return nil, login.ErrPasswordTooLong
	case c.Password == "":
		return nil, login.ErrBadCredentials
	}

	known, name := m.resolve(c.Identifier)
	waiting, cancel := login.WithPatience(ctx, m.maxWait)
	defer cancel()
	attempt, err := m.throttle.Admit(waiting, m.limits, name, c.ClientIP)
	if err != nil {
		return nil, err
	}
	defer attempt.Fail() // unless told otherwise below

	// From here on known and unknown users differ in nothing but what is compared at the end.
	h, typed, normalized := m.decoysNow().pick(name), []byte(c.Password), prepare(c.Password)
	if known != nil {
		h = known.hash
	}
	if known == nil || known.stored != nil {
		typed = normalized
	}
	matched, err := m.budget.matches(waiting, c.ClientIP, h, typed)
	if err == nil && !matched && string(normalized) != c.Password {
		matched, err = m.budget.matches(waiting, c.ClientIP, h, normalized)
	}
	if err != nil {
		attempt.Withdraw()
		return nil, err
	}
	switch {
	case !matched || known == nil:
		return nil, login.ErrBadCredentials
	case known.barred:
		return nil, login.ErrDisabled
	}
	attempt.Succeed()
	if known.stored != nil && outdated(known.hash) {
		m.renewHash(waiting, known.stored, normalized)
	}
	return known.identity, nil
}

// resolve returns the user that is meant, nil for an unknown one, and the one name that stands for
// whoever it is. A known user's is what it would be if the user were unknown, so that nothing that
// is counted by it depends on who there is.
func (m *Method) resolve(id login.Identifier) (known *candidate, name string) {
	switch {
	case id.Email != "" && id.UserName != "": // both is nobody: they are never mixed
		return nil, m.throttleName(id.UserName)
	case id.Email != "":
		email := user.Fold(id.Email)
		if known = m.byEmail[email]; known == nil {
			known = m.resolveStored("", email)
		}
		if known == nil {
			return nil, m.id + ":e-mail:" + email
		}
		return known, m.throttleName(known.identity.UserName)
	}
	if known = m.byName[user.Fold(id.UserName)]; known == nil {
		known = m.resolveStored(id.UserName, "")
	}
	return known, m.throttleName(id.UserName)
}

func (m *Method) throttleName(userName string) string {
	return m.id + ":name:" + user.Fold(userName)
}
