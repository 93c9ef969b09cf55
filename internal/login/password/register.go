package password

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// SignUp says who can sign up. The zero SignUp lets everybody in.
type SignUp struct {
	// Domains lets people in whose e-mail address is at one of these domains. Nobody verifies that
	// the address is theirs.
	Domains []string

	// Invitation lets people in who have the code of an invitation. With Domains, either will do.
	Invitation bool

	// Groups are what everybody is in who signs up.
	Groups []string
}

// validate returns what is wrong with the rules.
func (s *SignUp) validate() error {
	for _, domain := range s.Domains {
		if user.ValidateEmail("somebody@"+domain) != nil || domain != user.Fold(domain) {
			return fmt.Errorf("sign_up: domain %q: must be a domain in lower case, as example.com", domain)
		}
	}
	newcomer := session.Identity{Account: session.Account{Method: "local", Subject: "newcomer"}, UserName: "newcomer", Groups: s.Groups}
	if err := errors.Join(newcomer.Validate(), newcomer.Fits()); err != nil {
		return fmt.Errorf("sign_up: %w", err)
	}
	return nil
}

// SignUpGroups returns the groups of everybody who signs up.
func (m *Method) SignUpGroups() []string {
	if m.signUp == nil {
		return nil
	}
	return slices.Clone(m.signUp.Groups)
}

// Registration implements login.Registrar.
func (m *Method) Registration() (login.Rules, bool) {
	if m.signUp == nil || m.stored == nil {
		return login.Rules{}, false
	}
	return login.Rules{
		Invitation:  m.signUp.Invitation,
		OnlyInvited: m.signUp.Invitation && len(m.signUp.Domains) == 0,
	}, true
}

// Register implements login.Registrar. Every try counts against the client's address, so that nobody asks
// for one e-mail address after the other whether it is known here. One that succeeds counts too, a tenth
// as much: a class of people can sign up from one address, and nobody fills the store.
func (m *Method) Register(ctx context.Context, r login.Registration) (*session.Identity, error) {
	if _, open := m.Registration(); !open {
		return nil, login.ErrNotInvited
	}
	newcomer := user.User{
		Name:            r.UserName,
		DisplayUserName: r.DisplayUserName,
		Email:           user.Fold(r.Email),
		DisplayName:     r.Name,
		Picture:         r.Picture,
		Groups:          slices.Clone(m.signUp.Groups),
	}
	if err := validNewcomer(&newcomer); err != nil {
		return nil, err
	}
	if err := CheckNew(r.Password, newcomer.Name, newcomer.Email, newcomer.DisplayName); err != nil {
		return nil, err
	}
	waiting, cancel := login.WithPatience(ctx, m.maxWait)
	defer cancel()
	attempt, err := m.signUps.Admit(waiting, m.limits, m.id+":sign-up:"+newcomer.Email, r.ClientIP)
	if err != nil {
		return nil, err
	}
	defer attempt.Fail() // unless told otherwise below

	invited, err := m.admits(ctx, newcomer.Email, r.Invitation)
	if err != nil {
		return nil, told(err)
	}
	if err := m.unclaimed(&newcomer); err != nil {
		return nil, err
	}
	if newcomer.Hash, err = m.budget.make(waiting, r.ClientIP, prepare(r.Password)); err != nil {
		attempt.Withdraw()
		return nil, err
	}
	created, err := m.create(ctx, newcomer, invited, r.Invitation)
	if err != nil {
		return nil, told(err)
	}
	attempt.Count()
	return m.known(created).identity, nil
}

// IsFree implements login.Registrar. Questions count as tries to sign up, ten of them as one, so that
// people can look for a name and nobody can list the names that are taken.
func (m *Method) IsFree(ctx context.Context, name string, client netip.Addr) (bool, error) {
	if _, open := m.Registration(); !open {
		return false, login.ErrNotInvited
	}
	if err := validChosenName(name); err != nil {
		return false, err
	}
	attempt, err := m.signUps.Admit(ctx, m.limits.Times(questionsPerTry), m.id+":user-name:"+user.Fold(name), client)
	if err != nil {
		return false, err
	}
	defer attempt.Fail()
	if _, known := m.stored.users.ByName(name); known {
		return false, nil
	}
	err = m.mayChoose(name)
	if errors.Is(err, login.ErrNameTaken) {
		return false, nil
	}
	return err == nil, err
}

// questionsPerTry is how many questions for a user name weigh as much as one try to sign up.
const questionsPerTry = 10

// validNewcomer refuses what could never be a user. A name may be missing.
func validNewcomer(u *user.User) error {
	if u.Email == "" {
		return &login.InvalidError{Field: login.FieldEmail, Why: "missing"}
	}
	if err := user.ValidateEmail(u.Email); err != nil {
		return &login.InvalidError{Field: login.FieldEmail, Why: err.Error()}
	}
	if u.Name != "" {
		if err := validChosenName(u.Name); err != nil {
			return err
		}
	}
	if err := validDisplayed(login.FieldName, u.DisplayName); err != nil {
		return err
	}
	if err := validDisplayed(login.FieldDisplayUserName, u.DisplayUserName); err != nil {
		return err
	}
	if err := user.ValidatePicture(u.Picture); err != nil {
		return &login.InvalidError{Field: login.FieldPicture, Why: err.Error()}
	}
	return nil
}

// validChosenName holds names that people choose themselves to the lengths that a form expects.
func validChosenName(name string) error {
	if n := utf8.RuneCountInString(name); n < login.MinUserName || n > login.MaxUserName {
		return &login.InvalidError{Field: login.FieldUserName, Why: fmt.Sprintf("must have %d to %d characters", login.MinUserName, login.MaxUserName)}
	}
	if err := user.ValidateName(name); err != nil {
		return &login.InvalidError{Field: login.FieldUserName, Why: err.Error()}
	}
	return nil
}

// maxDisplayName is longer than any name that people have, in characters.
const maxDisplayName = 128

// validDisplayed refuses text that is not shown as it is: what turns the direction of text around
// or cannot be seen could make one person's name look like another's.
func validDisplayed(field, name string) error {
	invisible := func(c rune) bool {
		return unicode.IsControl(c) || unicode.Is(unicode.Cf, c) && c != '\u200d' && c != '\u200c'
	}
	switch {
	case utf8.RuneCountInString(name) > maxDisplayName:
		return &login.InvalidError{Field: field, Why: fmt.Sprintf("must not have more than %d characters", maxDisplayName)}
	case !utf8.ValidString(name) || strings.ContainsFunc(name, invisible):
		return &login.InvalidError{Field: field, Why: "must not have characters that cannot be seen"}
	case strings.TrimSpace(name) != name:
		return &login.InvalidError{Field: field, Why: "must not begin or end with white space"}
	}
	return nil
}

// admits decides whether somebody may sign up, and whether it is by an invitation.
func (m *Method) admits(ctx context.Context, email, code string) (invited bool, err error) {
	if len(m.signUp.Domains) == 0 && !m.signUp.Invitation {
		return false, nil
	}
	_, domain, _ := strings.Cut(email, "@")
	if slices.Contains(m.signUp.Domains, domain) {
		return false, nil
	}
	if !m.signUp.Invitation || code == "" {
		return false, login.ErrNotInvited
	}
	return true, m.stored.users.Admissible(ctx, code, email)
}

// unclaimed refuses a name or an address that is somebody's, before it costs a hash.
func (m *Method) unclaimed(u *user.User) error {
	if _, known := m.stored.users.ByEmail(u.Email); known || m.Reserves("", u.Email) {
		return login.ErrEmailTaken
	}
	if u.Name == "" {
		return nil
	}
	if _, known := m.stored.users.ByName(u.Name); known {
		return login.ErrNameTaken
	}
	return m.mayChoose(u.Name)
}

// create stores a newcomer. Where no name was chosen it makes one of the address, and another one
// while that is somebody's.
func (m *Method) create(ctx context.Context, u user.User, invited bool, code string) (*user.User, error) {
	store := func() (*user.User, error) {
		if invited {
			return m.stored.users.CreateInvited(ctx, u, code)
		}
		return m.stored.users.Create(ctx, u, false)
	}
	if u.Name != "" {
		return store()
	}
	base := nameOf(u.Email)
	for tries := 0; ; tries++ {
		u.Name = base
		if tries > 0 || len(base) < login.MinUserName {
			u.Name += randomSuffix()
		}
		if m.mayChoose(u.Name) != nil {
			continue
		}
		created, err := store()
		if !errors.Is(err, user.ErrNameTaken) || tries == maxNamesTried {
			return created, err
		}
	}
}

// maxNamesTried bounds the names that are made up for one newcomer; that even two are somebody's is
// less likely than a failing machine.
const maxNamesTried = 8

// nameOf makes the beginning of a user name of an e-mail address.
func nameOf(email string) string {
	local, _, _ := strings.Cut(email, "@")
	name := strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.ContainsRune("._-", c) {
			return c
		}
		return -1
	}, local)
	name = strings.TrimLeft(name, ".-")
	if name == "" {
		name = "user" // reserved, so that something is added to it
	}
	return name[:min(len(name), login.MaxUserName-suffixChars)]
}

const suffixChars = 6

// randomSuffix tells two people apart whose names would be the same.
func randomSuffix() string {
	var b [8]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return fmt.Sprintf("-%0*d", suffixChars-1, binary.BigEndian.Uint64(b[:])%100_000)
}

// reservedNames are those that apps know somebody with rights by, or that stand for nobody (RFC 2142
// lists those of mail).
var reservedNames = []string{
	"abuse", "admin", "administrator", "anonymous", "api", "auth", "billing", "caddy", "daemon", "everybody", "everyone",
	"ftp", "gitea_admin", "grafana", "guest", "help", "hostmaster", "info", "localhost", "login", "mail", "manager",
	"moderator", "news", "noc", "nobody", "none", "no-reply", "noreply", "null", "operator", "owner", "postmaster", "root",
	"sales", "security", "service", "staff", "superadmin", "superuser", "support", "sysadmin", "system", "test",
	"undefined", "user", "users", "usenet", "uucp", "webmaster", "www", "www-data",
}
