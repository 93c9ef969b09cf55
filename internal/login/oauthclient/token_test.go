package oauthclient

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
)

const (
	secret   = "s3cret-of-client"
	code     = "c0de-of-answer"
	verifier = "verifier-of-request"
	refresh  = "refresh-of-session"
	leaked   = "t0ken-in-the-body"
)

func config(address string) oauth2.Config {
	return oauth2.Config{
		ClientID:     "gateway",
		ClientSecret: secret,
		Endpoint:     oauth2.Endpoint{TokenURL: address + "/token?key=" + secret},
		RedirectURL:  "https://app.example/.auth/callback/corp",
	}
}

// answer is a token endpoint that always answers the same.
func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// outcome is how an error is classified.
func outcome(err error) string {
	var rejected *login.RejectedError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &rejected):
		return "rejected: " + rejected.Reason
	case errors.Is(err, login.ErrMisconfigured) && errors.Is(err, login.ErrProviderUnavailable):
		return "configuration"
	case errors.Is(err, login.ErrRefused):
		return "refused"
	case errors.Is(err, login.ErrProviderUnavailable):
		return "unavailable"
	}
	return "unclassified"
}

func TestClassifiedAnswers(t *testing.T) {
	const json, form = "application/json", "application/x-www-form-urlencoded"
	for name, tc := range map[string]struct {
		handler  http.HandlerFunc
		exchange string
		refresh  string
	}{
		"tokens":                       {answer(200, json, `{"access_token": "a", "token_type": "bearer", "expires_in": 60}`), "ok", "ok"},
		"tokens as a form":             {answer(200, form, `access_token=a&token_type=bearer`), "ok", "ok"},
		"no type of token":             {answer(200, json, `{"access_token": "a"}`), "ok", "ok"},
		"invalid_grant":                {answer(400, json, `{"error": "invalid_grant"}`), "rejected: code", "refused"},
		"invalid_grant, 200":           {answer(200, json, `{"error": "invalid_grant"}`), "rejected: code", "refused"},
		"invalid_grant, 403":           {answer(403, json, `{"error": "invalid_grant"}`), "rejected: code", "refused"},
		"GitHub's bad code":            {answer(200, json, `{"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."}`), "rejected: code", "unavailable"},
		"GitHub's bad code as a form":  {answer(200, form, `error=bad_verification_code`), "rejected: code", "unavailable"},
		"GitHub's bad refresh token":   {answer(200, json, `{"error": "bad_refresh_token"}`), "unavailable", "refused"},
		"GitHub's bad secret":          {answer(200, json, `{"error": "incorrect_client_credentials"}`), "configuration", "configuration"},
		"invalid_client":               {answer(401, json, `{"error": "invalid_client"}`), "configuration", "configuration"},
		"unauthorized_client":          {answer(400, json, `{"error": "unauthorized_client"}`), "configuration", "configuration"},
		"interaction_required":         {answer(400, json, `{"error": "interaction_required"}`), "unavailable", "refused"},
		"invalid_request, 401":         {answer(401, json, `{"error": "invalid_request"}`), "unavailable", "refused"},
		"temporarily_unavailable":      {answer(400, json, `{"error": "temporarily_unavailable"}`), "unavailable", "unavailable"},
		"some error, 200":              {answer(200, json, `{"error": "oops"}`), "unavailable", "unavailable"},
		"some error, 403":              {answer(403, json, `{"error": "access_denied"}`), "unavailable", "unavailable"},
		"400 and no error":             {answer(400, "text/html", `<p>`+leaked), "unavailable", "unavailable"},
		"401 of a proxy":               {answer(401, "text/html", leaked), "unavailable", "unavailable"},
		"400, error that is an object": {answer(400, json, `{"error": {"message": "`+leaked+`"}}`), "unavailable", "unavailable"},
		"400, error that is no code":   {answer(400, json, `{"error": "`+leaked+`\n x"}`), "unavailable", "unavailable"},
		"429":                          {answer(429, json, `{"error": "invalid_request"}`), "unavailable", "unavailable"},
		"500":                          {answer(500, json, `{"error": "invalid_request"}`), "unavailable", "unavailable"},
		"503 of a proxy":               {answer(503, "text/html", leaked), "unavailable", "unavailable"},
		"404":                          {answer(404, "text/html", leaked), "unavailable", "unavailable"},
		"empty":                        {answer(200, json, ``), "unavailable", "unavailable"},
		"no JSON":                      {answer(200, json, `<html>`+leaked), "unavailable", "unavailable"},
		"no object":                    {answer(200, json, `["`+leaked+`"]`), "unavailable", "unavailable"},
		"no token":                     {answer(200, json, `{"id_token": "`+leaked+`"}`), "unavailable", "unavailable"},
		"a number for a token":         {answer(200, json, `{"access_token": 1, "refresh_token": "`+leaked+`"}`), "unavailable", "unavailable"},
		"an expiry that is no number":  {answer(200, json, `{"access_token": "`+leaked+`", "expires_in": "`+leaked+`"}`), "unavailable", "unavailable"},
		"a form that is broken":        {answer(200, form, `access_token=`+leaked+`%zz`), "unavailable", "unavailable"},
		"another type of token":        {answer(200, json, `{"access_token": "`+leaked+`", "token_type": "DPoP"}`), "unavailable", "unavailable"},
		"a MAC token":                  {answer(200, json, `{"access_token": "`+leaked+`", "token_type": "mac"}`), "unavailable", "unavailable"},
		"a token with a newline":       {answer(200, json, `{"access_token": "`+leaked+`\r\nRemote-User: admin", "token_type": "bearer"}`), "unavailable", "unavailable"},
		"a refresh token with a space": {answer(200, json, `{"access_token": "a", "refresh_token": "`+leaked+` x", "token_type": "bearer"}`), "unavailable", "unavailable"},
		"endless":                      {hostile["endless body"], "unavailable", "unavailable"},
		"slow body":                    {hostile["slow body"], "unavailable", "unavailable"},
		"slow headers":                 {hostile["slow headers"], "unavailable", "unavailable"},
		"gzip bomb":                    {hostile["gzip bomb"], "unavailable", "unavailable"},
		"gone":                         {hostile["no answer"], "unavailable", "unavailable"},
		"redirected":                   {hostile["redirect loop"], "unavailable", "unavailable"},
		"echo of what was sent": {func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			w.Header().Set("Content-Type", json)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"error": "invalid_client", "error_description": "bad: `+r.Form.Encode()+`", "error_uri": "https://x.example/?`+r.Form.Encode()+`"}`)
		}, "configuration", "configuration"},
		"echo in the code": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", json)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error": "bad_`+r.PostFormValue("code")+r.PostFormValue("refresh_token")+`"}`)
		}, "unavailable", "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			address := serve(t, tc.handler)
			_, exchangeErr := Exchange(t.Context(), client(t), config(address), code, verifier)
			_, refreshErr := Refresh(t.Context(), client(t), config(address), refresh)
			if got := outcome(exchangeErr); got != tc.exchange {
				t.Errorf("Exchange: %s (%v), want %s", got, exchangeErr, tc.exchange)
			}
			if got := outcome(refreshErr); got != tc.refresh {
				t.Errorf("Refresh: %s (%v), want %s", got, refreshErr, tc.refresh)
			}
			for _, err := range []error{exchangeErr, refreshErr} {
				for _, hidden := range []string{secret, code, verifier, refresh, leaked} {
					if err != nil && strings.Contains(err.Error(), hidden) {
						t.Errorf("%q is told: %v", hidden, err)
					}
				}
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		if _, err := Refresh(t.Context(), client(t), config("http://127.0.0.1:1"), refresh); outcome(err) != "unavailable" || strings.Contains(err.Error(), secret) {
			t.Errorf("Refresh: %v", err)
		}
	})
}

// TestAttackDescriptions: what a provider says about an error is told unless it repeats a secret.
func TestAttackDescriptions(t *testing.T) {
	for name, tc := range map[string]struct{ description, want string }{
		"a text":                   {"Invalid client secret provided.", "Invalid client secret provided."},
		"a secret":                 {"bad: " + secret, ""},
		"a secret, escaped":        {"bad: a%2Fb%2Bc", ""},
		"a client assertion":       {"bad: eyJhbGciOiJFUzI1NiJ9.e30.c2ln", ""},
		"a secret that is cut off": {strings.Repeat("x", 300-len(secret)/2) + secret, ""},
		"a long one":               {strings.Repeat("x", 1000), strings.Repeat("x", 300)},
		"lines of a log":           {"no\n{\"level\":\"info\"}\x1b[2J", "no {\"level\":\"info\"} [2J"},
		"another language":         {"Ungültiges Geheimnis\u202e", "Ungültiges Geheimnis "},
		"a character that is cut":  {strings.Repeat("x", 299) + "ü", strings.Repeat("x", 299)},
	} {
		if got := redact(tc.description, []string{secret, "a/b+c", ""}); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestMisconfigurationSaysWhatToDo(t *testing.T) {
	address := serve(t, answer(401, "application/json", `{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}`))
	_, err := Exchange(t.Context(), client(t), config(address), code, verifier)
	var answer *login.AnswerError
	if !errors.Is(err, login.ErrMisconfigured) || !errors.As(err, &answer) || answer.Code != "invalid_client" || !strings.Contains(err.Error(), "client_secret") || !strings.Contains(err.Error(), "AADSTS7000215") {
		t.Errorf("got %v", err)
	}
}

func TestExchangeRequest(t *testing.T) {
	for name, style := range map[string]oauth2.AuthStyle{
		"unsaid": oauth2.AuthStyleAutoDetect, "in the header": oauth2.AuthStyleInHeader, "in the body": oauth2.AuthStyleInParams,
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				requests++
				want := map[string]string{
					"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": "https://app.example/.auth/callback/corp",
				}
				user, password, basic := r.BasicAuth()
				if inBody := style == oauth2.AuthStyleInParams; inBody {
					want["client_id"], want["client_secret"] = "gateway", secret
				} else if !basic || user != "gateway" || password != secret {
					t.Errorf("Authorization: %q, %q", user, password)
				}
				_ = r.ParseForm()
				if len(r.PostForm) != len(want) {
					t.Errorf("got %v, want %v", r.PostForm, want)
				}
				for member, value := range want {
					if got := r.PostForm.Get(member); got != value {
						t.Errorf("%s = %q, want %q", member, got, value)
					}
				}
				answer(400, "application/json", `{"error": "invalid_grant"}`)(w, r)
			})
			c := config(address)
			c.Endpoint.AuthStyle = style
			if _, err := Exchange(t.Context(), client(t), c, code, verifier); outcome(err) != "rejected: code" {
				t.Errorf("got %v", err)
			}
			if requests != 1 {
				t.Errorf("the code was sent %d times", requests)
			}
		})
	}
}

func TestRefreshKeepsTheToken(t *testing.T) {
	for name, tc := range map[string]struct{ member, want string }{
		"none comes": {``, refresh},
		"empty":      {`, "refresh_token": ""`, refresh},
		"another":    {`, "refresh_token": "next"`, "next"},
	} {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if got := r.PostFormValue("refresh_token"); got != refresh {
				t.Errorf("%s: %q was sent", name, got)
			}
			answer(200, "application/json", `{"access_token": "a", "token_type": "Bearer", "expires_in": 3600`+tc.member+`}`)(w, r)
		})
		token, err := Refresh(t.Context(), client(t), config(address), refresh)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if token.RefreshToken != tc.want || token.AccessToken != "a" || time.Until(token.Expiry).Round(time.Minute) != time.Hour {
			t.Errorf("%s: got %+v", name, token)
		}
	}
}
