package portal

import (
	"cmp"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// The shapes of the JSON API, as the stock Better Auth client reads them.
type (
	wireUser struct {
		ID              string   `json:"id"`
		Name            string   `json:"name"`
		Email           string   `json:"email"`
		EmailVerified   bool     `json:"emailVerified"`
		Image           *string  `json:"image"`
		CreatedAt       wireTime `json:"createdAt"`
		UpdatedAt       wireTime `json:"updatedAt"`
		Username        string   `json:"username,omitempty"`
		DisplayUsername string   `json:"displayUsername,omitempty"`
	}
	wireSession struct {
		ID        string   `json:"id"`
		Token     string   `json:"token"`
		UserID    string   `json:"userId"`
		ExpiresAt wireTime `json:"expiresAt"`
		CreatedAt wireTime `json:"createdAt"`
		UpdatedAt wireTime `json:"updatedAt"`
		IPAddress *string  `json:"ipAddress"`
		UserAgent *string  `json:"userAgent"`
	}
	wireEntry struct {
		Session wireSession `json:"session"`
		User    wireUser    `json:"user"`
	}
	wireSignedIn struct {
		Redirect bool     `json:"redirect"`
		URL      string   `json:"url,omitempty"`
		Token    string   `json:"token"`
		User     wireUser `json:"user"`
	}
	wireToken struct {
		Token *string  `json:"token"`
		User  wireUser `json:"user"`
	}
	// wireSignedOut has the address where the browser signs out at the accounts' providers too. The
	// stock client goes there by itself if redirect is true.
	wireSignedOut struct {
		Success  bool   `json:"success"`
		URL      string `json:"url,omitempty"`
		Redirect *bool  `json:"redirect,omitempty"`
	}
	wireDeparture struct {
		URL      string `json:"url"`
		Redirect bool   `json:"redirect"`
	}
	// wireOAuthError is an error of OAuth 2.0 (RFC 6749, section 5.2).
	wireOAuthError struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	wireHealth struct {
		OK bool `json:"ok"`
	}
	wireAvailable struct {
		Available bool `json:"available"`
	}
	wireStatus struct {
		Status bool `json:"status"`
	}
)

// wireTime has exactly three digits after the second, because the client reads all digits as
// milliseconds.
type wireTime time.Time

func (t wireTime) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000Z"), nil
}

func toWire(e session.Entry) wireEntry {
	return wireEntry{
		Session: wireSession{
			ID:        e.ID,
			Token:     e.Handle,
			UserID:    e.Identity.Account.ID(),
			ExpiresAt: wireTime(e.Ends),
			CreatedAt: wireTime(e.CreatedAt),
			UpdatedAt: wireTime(e.LastUsedAt),
			IPAddress: orNull(e.IP),
			UserAgent: orNull(e.UserAgent),
		},
		User: wireUser{
			ID:              e.Identity.Account.ID(),
			Name:            e.Identity.DisplayName(),
			Email:           e.Identity.Email,
			EmailVerified:   e.Identity.EmailVerified,
			Image:           orNull(e.Identity.Picture),
			CreatedAt:       firstKnown(e.Identity.CreatedAt, e.Recorded.CreatedAt),
			UpdatedAt:       firstKnown(e.Identity.UpdatedAt, e.Recorded.UpdatedAt),
			Username:        strings.ToLower(e.Identity.UserName),
			DisplayUsername: cmp.Or(e.Identity.DisplayUserName, e.Identity.UserName),
		},
	}
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// firstKnown returns the time that the login method knows, or else the one recorded at sign-in.
func firstKnown(now, recorded time.Time) wireTime {
	if now.IsZero() {
		return wireTime(recorded)
	}
	return wireTime(now)
}
