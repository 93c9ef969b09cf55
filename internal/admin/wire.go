package admin

import "time"

// Values of User.Source.
const (
	SourceStore         = "store"
	SourceConfiguration = "configuration" // cannot be changed here
)

// The JSON of requests and answers. Members that a request omits are nil or empty.
type (
	// User is somebody who can sign in by password.
	User struct {
		ID            string   `json:"id"`
		Username      string   `json:"username"`
		Email         string   `json:"email"`
		EmailVerified bool     `json:"email_verified"`
		Name          string   `json:"name"`
		Picture       string   `json:"picture"`
		Groups        []string `json:"groups"`
		Disabled      bool     `json:"disabled"`
		Password      bool     `json:"password"` // whether the user has one
		Source        string   `json:"source"`
		Shadowed      bool     `json:"shadowed"` // a user of the configuration has the name or the address
		CreatedAt     Time     `json:"created_at,omitzero"`
		UpdatedAt     Time     `json:"updated_at,omitzero"`

		// Warning says in the answer to a change that the name belongs to a provider's account.
		Warning string `json:"warning,omitempty"`
	}

	// UserList is one page. If there are more users, Next is the parameter after of the next page.
	UserList struct {
		Users []User `json:"users"`
		Next  string `json:"next,omitempty"`
	}

	// UserChange is a change of a user. Nil members stay as they are.
	UserChange struct {
		Username      *string   `json:"username,omitempty"`
		Email         *string   `json:"email,omitempty"`
		EmailVerified *bool     `json:"email_verified,omitempty"`
		Name          *string   `json:"name,omitempty"`
		Picture       *string   `json:"picture,omitempty"`
		Groups        *[]string `json:"groups,omitempty"`
		Disabled      *bool     `json:"disabled,omitempty"`
	}

	// NewUser is a user to create, with a password, a hash or neither.
	NewUser struct {
		UserChange
		Password     *string `json:"password,omitempty"`
		PasswordHash *string `json:"password_hash,omitempty"`
	}

	// PasswordChange is a new password, or the hash of one.
	PasswordChange struct {
		Password     *string `json:"password,omitempty"`
		PasswordHash *string `json:"password_hash,omitempty"`
		KeepSessions bool    `json:"keep_sessions,omitempty"`
	}

	// Session is a live session, without the secrets of its browser.
	Session struct {
		ID      string `json:"id"`
		Jar     string `json:"jar"`
		Account string `json:"account"` // method:subject
		User    string `json:"user"`    // user name
		Name    string `json:"name"`
		Method  string `json:"method"`
		Active  bool   `json:"active"`

		// ActiveHosts are the hosts where it is active, if each host has its own active session.
		// "*" stands for all hosts where none was chosen.
		ActiveHosts []string `json:"active_hosts,omitempty"`

		IP         string `json:"ip"`
		UserAgent  string `json:"user_agent"`
		CreatedAt  Time   `json:"created_at"`
		LastUsedAt Time   `json:"last_used_at"`
		ExpiresAt  Time   `json:"expires_at"`
	}

	// Activation names the session that is to be the active one of a browser, and with active per_host
	// the host where it is to be. Without a host it is that of all hosts.
	Activation struct {
		Session string `json:"session"`
		Host    string `json:"host,omitempty"`
	}

	// SessionList lists the latest sign-in first. More says that a limit omitted some sessions, and
	// Warning that some jars are unreadable.
	SessionList struct {
		Sessions []Session `json:"sessions"`
		More     bool      `json:"more,omitempty"`
		Warning  string    `json:"warning,omitempty"`
	}

	// SessionsEnded is the number of live sessions that were removed from their jars. Warning says
	// that some could not be removed. After a change of a user they are dead all the same.
	SessionsEnded struct {
		SessionsEnded int    `json:"sessions_ended"`
		Warning       string `json:"warning,omitempty"`
	}

	// Invitation lets people sign up.
	Invitation struct {
		ID        string   `json:"id"`
		Email     string   `json:"email"`
		Groups    []string `json:"groups"`
		Uses      int      `json:"uses"`
		CreatedAt Time     `json:"created_at"`
		ExpiresAt Time     `json:"expires_at"`
	}

	// InvitationList lists the newest first.
	InvitationList struct {
		Invitations []Invitation `json:"invitations"`
	}

	// NewInvitation is an invitation to create.
	NewInvitation struct {
		Email     string   `json:"email,omitempty"`
		Groups    []string `json:"groups,omitempty"`
		Uses      *int     `json:"uses,omitempty"`       // default: 1
		ExpiresIn *string  `json:"expires_in,omitempty"` // such as 12h or 7d, which is the default
	}

	// Invited is a new invitation. Its code is shown only here.
	Invited struct {
		Invitation
		Code string   `json:"code"`
		Path string   `json:"path"` // of the page to sign up at
		URLs []string `json:"urls"` // of that page at each site whose host is known
	}

	// HeldName is a user name that belongs to an account of a provider.
	HeldName struct {
		UserName string `json:"user_name"`
		Account  string `json:"account"` // its id, "login:subject"
	}

	// ReleasedName is a user name that has been released. Its previous owner's sessions under the name
	// have ended.
	ReleasedName struct {
		HeldName
		SessionsEnded
	}

	// Restored is the content of a restored backup.
	Restored struct {
		Users       int `json:"users"`
		Invitations int `json:"invitations"`
	}

	// Checked is the result of a check that found no problem.
	Checked struct {
		OK       bool `json:"ok"`
		Users    int  `json:"users"`
		Sessions int  `json:"sessions"` // includes dead ones that are still stored
		Jars     int  `json:"jars"`
	}

	// Error is every answer that is not a success. Problems are those that a check found.
	Error struct {
		Error    string   `json:"error"`
		Problems []string `json:"problems,omitempty"`
	}
)

// Time is a time as all answers have it: UTC, to the millisecond.
type Time struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}
