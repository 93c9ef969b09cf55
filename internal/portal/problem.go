package portal

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal/page"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// problem is what a client learns about a request that failed. Every word of it is meant for the
// client.
type problem struct {
	status     int
	code       string // for programs; empty where the wire contract has none
	message    string // for the authors of programs
	title      string // of the page; empty for the text of the status
	advice     string // what the page says instead of message; empty for the message
	retryAfter time.Duration
}

func (p *problem) Error() string { return p.message }

// explain returns what a page says.
func (p *problem) explain() string {
	if p.advice == "" {
		return p.message
	}
	return p.advice
}

var (
	errNotFound         = &problem{status: http.StatusNotFound, code: "NOT_FOUND", message: "Not found", advice: "There is nothing at this address."}
	errMethodNotAllowed = &problem{status: http.StatusMethodNotAllowed, code: "METHOD_NOT_ALLOWED", message: "Method not allowed", advice: "This address cannot be opened like a page."}
	errNotAcceptable    = &problem{status: http.StatusNotAcceptable, code: "NOT_ACCEPTABLE", message: "Only text/event-stream is available here"}
	errUnauthorized     = &problem{status: http.StatusUnauthorized, code: "UNAUTHORIZED", message: "Unauthorized"}
	errUnconfirmed      = &problem{status: http.StatusUnauthorized, code: "CONTINUE_REQUIRED", message: "The accounts of this browser are not confirmed on this host: open its page of accounts to continue"}
	errSessionChanged   = &problem{status: http.StatusConflict, code: "SESSION_CHANGED", message: "The active session is not the expected one"}

	errEarlyData     = &problem{status: http.StatusTooEarly, code: "TOO_EARLY", message: "Send this again when the TLS handshake is complete: until then it could be a replay"}
	errAmbiguousPath = &problem{
		status: http.StatusBadRequest, code: "AMBIGUOUS_PATH", message: "The path can be read in different ways: it has dot segments, empty segments, or characters such as an encoded slash, a backslash or a semicolon",
		title: "This address cannot be opened", advice: "The address can be read in different ways, so it is not passed on. If you followed a link, tell whoever runs this site.",
	}
	errSpeculation = &problem{status: http.StatusServiceUnavailable, code: "NOT_FETCHED_AHEAD", message: "This page is not fetched ahead of a visit: another account may be active by then"}

	errMissingOrigin = &problem{
		status: http.StatusForbidden, code: "MISSING_OR_NULL_ORIGIN", message: "Missing or null Origin",
		title: "Nothing was changed", advice: "Your browser did not say which site sent the form. Open the page again and try once more.",
	}
	errNullOrigin = &problem{
		status: http.StatusForbidden, code: "MISSING_OR_NULL_ORIGIN", message: "Missing or null Origin",
		title: "Nothing was changed", advice: "Your browser hid which site sent the form. Open the page again and try once more. If you run this site: a Referrer-Policy of no-referrer on the gateway's pages brings this about. Leave the policy that the gateway sets.",
	}
	// The origin is this host's, but with another port or scheme.
	errOtherPort = &problem{
		status: http.StatusForbidden, code: "INVALID_ORIGIN", message: "Invalid origin",
		title: "Nothing was changed", advice: "The form came from another port of this host, or over HTTP in place of HTTPS, which is not trusted here. If you run this site: a proxy in front must pass on the address that browsers show, with its port in Host or X-Forwarded-Host and its scheme in X-Forwarded-Proto. The log has both origins.",
	}
	errInvalidOrigin = &problem{
		status: http.StatusForbidden, code: "INVALID_ORIGIN", message: "Invalid origin",
		title: "Nothing was changed", advice: "The form came from another site, which is not trusted here.",
	}
	errCrossSiteNavigation = &problem{
		status: http.StatusForbidden, code: "CROSS_SITE_NAVIGATION_LOGIN_BLOCKED",
		message: "Sign-in by a navigation from another site is blocked",
		title:   "You were not signed in", advice: "The form came from another site, which could have chosen the account for you.",
	}

	errBadRequest = &problem{status: http.StatusBadRequest, code: "BAD_REQUEST", message: "The request body cannot be read"}
	errBadForm    = &problem{status: http.StatusBadRequest, code: "BAD_REQUEST", message: "The form cannot be read"}
	errTooLarge   = &problem{status: http.StatusRequestEntityTooLarge, code: "PAYLOAD_TOO_LARGE", message: "The request body is too large"}
	errTooSlow    = &problem{status: http.StatusRequestTimeout, code: "REQUEST_TIMEOUT", message: "The request body arrived too slowly", advice: "The form arrived too slowly. Please send it again."}
	errNotJSON    = &problem{status: http.StatusUnsupportedMediaType, code: "UNSUPPORTED_MEDIA_TYPE", message: "Unsupported media type: expected application/json"}
	errNotAForm   = &problem{status: http.StatusUnsupportedMediaType, code: "UNSUPPORTED_MEDIA_TYPE", message: "Unsupported media type: expected application/x-www-form-urlencoded"}

	errReturnTo = &problem{
		status: http.StatusBadRequest, code: "INVALID_RETURN_TO", message: "Invalid return_to",
		title: "The return address is not allowed", advice: "The link leads to an address that this site does not send people to. If somebody sent it to you, do not trust it.",
	}
	errCallbackURL = &problem{status: http.StatusForbidden, code: "INVALID_CALLBACK_URL", message: "Invalid callbackURL"}

	errInvalidEmail     = &problem{status: http.StatusBadRequest, code: "INVALID_EMAIL", message: "Invalid email"}
	errUsernameTooShort = &problem{status: http.StatusUnprocessableEntity, code: "USERNAME_TOO_SHORT", message: "Username is too short"}
	errUsernameTooLong  = &problem{status: http.StatusUnprocessableEntity, code: "USERNAME_TOO_LONG", message: "Username is too long"}
	errInvalidUsername  = &problem{status: http.StatusUnprocessableEntity, code: "INVALID_USERNAME", message: "Username is invalid"}
	errWrongEmail       = &problem{status: http.StatusUnauthorized, code: "INVALID_EMAIL_OR_PASSWORD", message: "Invalid email or password"}
	errWrongUsername    = &problem{status: http.StatusUnauthorized, code: "INVALID_USERNAME_OR_PASSWORD", message: "Invalid username or password"}
	errPasswordTooLong  = &problem{status: http.StatusBadRequest, code: "PASSWORD_TOO_LONG", message: "Password too long"}
	errNoPasswords      = &problem{status: http.StatusBadRequest, code: "EMAIL_PASSWORD_DISABLED", message: "Email and password is not enabled", advice: "You cannot sign in with a password here."}

	errPasswordTooShort = &problem{status: http.StatusBadRequest, code: "PASSWORD_TOO_SHORT", message: "Password too short", advice: "The password is too short."}
	errPasswordCommon   = &problem{
		status: http.StatusBadRequest, code: "PASSWORD_COMPROMISED", message: "The password is too common",
		advice: "That password is one of the first that attackers guess. Choose another one.",
	}
	errInvalidPassword = &problem{status: http.StatusBadRequest, code: "INVALID_PASSWORD", message: "Invalid password", advice: "That is not your current password."}

	errSignUpDisabled = &problem{status: http.StatusBadRequest, code: "EMAIL_PASSWORD_SIGN_UP_DISABLED", message: "Email and password sign up is not enabled"}
	errNotInvited     = &problem{
		status: http.StatusForbidden, code: "SIGN_UP_NOT_ALLOWED", message: "Sign-up needs an invitation or an e-mail address of a certain domain",
		advice: "This e-mail address cannot sign up without a valid invitation. Ask whoever runs this site for one.",
	}
	errEmailTaken = &problem{
		status: http.StatusUnprocessableEntity, code: "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL", message: "User already exists. Use another email.",
		advice: "There is an account with this e-mail address already.",
	}
	errNameTaken = &problem{
		status: http.StatusBadRequest, code: "USERNAME_IS_ALREADY_TAKEN", message: "Username is already taken. Please try another.",
		advice: "That user name is taken. Choose another one.",
	}

	// Accounts of the configuration and of identity providers cannot be changed here.
	errNoCredential = &problem{status: http.StatusBadRequest, code: "CREDENTIAL_ACCOUNT_NOT_FOUND", message: "Credential account not found", advice: "This account has no password here."}
	errNotKept      = &problem{status: http.StatusBadRequest, code: "FAILED_TO_UPDATE_USER", message: "The account is managed by whoever runs this site", advice: "This account is managed by whoever runs this site."}
	errNoFields     = &problem{status: http.StatusBadRequest, code: "VALIDATION_ERROR", message: "No fields to update"}
	errEmailFixed   = &problem{status: http.StatusBadRequest, code: "EMAIL_CAN_NOT_BE_UPDATED", message: "Email can not be updated"}

	errProviderNotFound       = &problem{status: http.StatusNotFound, code: "PROVIDER_NOT_FOUND", message: "Provider not found", title: "There is no such way to sign in", advice: "The link names a way to sign in that this site does not have."}
	errProviderConfigNotFound = &problem{status: http.StatusBadRequest, code: "PROVIDER_CONFIG_NOT_FOUND", message: "No config found for provider"}
	errIDTokenNotSupported    = &problem{status: http.StatusNotFound, code: "ID_TOKEN_NOT_SUPPORTED", message: "id_token not supported"}
	errErrorCallbackURL       = &problem{status: http.StatusForbidden, code: "INVALID_ERROR_CALLBACK_URL", message: "Invalid errorCallbackURL"}
	errNewUserCallbackURL     = &problem{status: http.StatusForbidden, code: "INVALID_NEW_USER_CALLBACK_URL", message: "Invalid newUserCallbackURL"}

	// Error callback addresses get these codes in lower case.
	errStateMismatch = &problem{
		status: http.StatusBadRequest, code: "STATE_MISMATCH", message: "The sign-in was started in another browser, took too long, or is already finished",
		title: "This sign-in cannot be finished", advice: "It was started in another browser, or too long ago, or it is already finished. Please start again.",
	}
	errInvalidAnswer = &problem{
		status: http.StatusBadRequest, code: "INVALID_CODE", message: "The provider's answer is not valid",
		title: "You were not signed in", advice: "The answer of the sign-in service could not be verified. Please start again, and tell whoever runs this site if it keeps happening.",
	}
	errProviderUnavailable = &problem{
		status: http.StatusServiceUnavailable, code: "TEMPORARILY_UNAVAILABLE", message: "The provider cannot be reached",
		title: "The sign-in service cannot be reached", advice: "The sign-in service cannot be reached right now. Please try again in a moment, or sign in another way.", retryAfter: unavailableRetry,
	}
	errProviderMisconfigured = &problem{
		status: http.StatusServiceUnavailable, code: "PROVIDER_MISCONFIGURED", message: "The provider does not accept this site's configuration",
		title: "The sign-in service does not know this site", advice: "The sign-in service does not accept how this site is set up. Trying again will not help: tell whoever runs this site, or sign in another way. If you run it: the log has the reason.", retryAfter: misconfiguredRetry,
	}
	errNotAllowed = &problem{
		status: http.StatusForbidden, code: "NOT_ALLOWED", message: "The account is not allowed here",
		title: "This account has no access here", advice: "You signed in, but accounts like this one have no access here. Use another account, or ask whoever runs this site.",
	}
	errNameOfOther = &problem{
		status: http.StatusForbidden, code: "USER_NAME_TAKEN", message: "Another account here has the same user name",
		title: "This account has no access here", advice: "Another account of this site has the same user name, and apps could not tell you apart. Ask whoever runs this site.",
	}

	// The form's page showed another account than the one that is active now.
	errOtherAccount = &problem{
		status: http.StatusConflict, code: "ACCOUNT_CHANGED", message: "Another account is active now",
		title: "Nothing was changed", advice: "Another account has become active since you opened the page. Open the page again to see it.",
	}

	// A full jar is a state that the user can change before trying again. 409 says so and 403
	// denies it (RFC 9110, sections 15.5.10 and 15.5.4).
	errFull = &problem{
		status: http.StatusConflict, code: "SESSION_LIMIT_REACHED", message: "This browser holds as many sessions as are allowed",
		advice: "This browser holds as many accounts as are allowed. Sign one out first.",
	}
	errSessionToken = &problem{status: http.StatusUnauthorized, code: "INVALID_SESSION_TOKEN", message: "Invalid session token"}

	errUnavailable = &problem{
		status: http.StatusServiceUnavailable, code: "SERVICE_UNAVAILABLE", message: "Temporarily unavailable",
		title: "Temporarily unavailable", advice: "Your accounts cannot be looked up right now. Please try again in a moment.", retryAfter: unavailableRetry,
	}
	errInsecure = &problem{
		status: http.StatusForbidden, code: "INSECURE_TRANSPORT",
		message: "Signing in needs HTTPS: serve this site over HTTPS, or set insecure_http",
		title:   "This connection is not secure",
		advice:  "Signing in needs HTTPS, so that nobody on the way can take over your accounts. Open the address with https:// in front. If you run this site: serve it over HTTPS, or set insecure_http in the configuration of multi_session. If a proxy in front serves HTTPS, name it in trusted_proxies and have it send X-Forwarded-Proto: https.",
	}
)

// unavailableRetry is when a client may try again after a failure of the store or of a login
// method: soon enough that few people notice, late enough not to make the failure worse.
const unavailableRetry = 5 * time.Second

// misconfiguredRetry is when a client may try again that a provider refuses for the configuration's
// sake. Somebody has to change that first.
const misconfiguredRetry = 5 * time.Minute

// disclose decides what a client learns about an error; nothing else does. For an error that is not
// listed it returns a general problem and known is false. Such errors are technical failures of the
// store or of a login method.
func disclose(err error) (told *problem, known bool) {
	var throttled *login.ThrottledError
	var invalid *login.InvalidError
	var denied *login.DeniedError
	var rejected *login.RejectedError
	var parameter *login.ParameterError
	switch {
	case errors.As(err, &told):
		return told, true
	case errors.As(err, &denied):
		return deniedBy(denied), true
	case errors.As(err, &rejected):
		return errInvalidAnswer, true
	case errors.As(err, &parameter):
		return &problem{status: http.StatusBadRequest, code: "VALIDATION_ERROR", message: "[body." + parameter.Name + "] Invalid input: " + parameter.Why}, true
	case errors.Is(err, login.ErrMisconfigured):
		return errProviderMisconfigured, false // known is false so that the cause is logged
	case errors.Is(err, login.ErrProviderUnavailable):
		return errProviderUnavailable, false // known is false so that the cause is logged
	case errors.Is(err, login.ErrNotAllowed):
		return errNotAllowed, true
	case errors.As(err, &invalid):
		return invalidField(invalid), true
	case errors.As(err, &throttled):
		// The exact limit would help a guesser to stay below it.
		return &problem{
			status:     http.StatusTooManyRequests,
			message:    "Too many requests. Please try again later.",
			title:      "Too many tries",
			advice:     "There were too many tries. Please wait " + roughly(throttled.RetryAfter) + " and try again.",
			retryAfter: throttled.RetryAfter,
		}, true
	case errors.Is(err, login.ErrPasswordTooLong):
		return errPasswordTooLong, true
	case errors.Is(err, login.ErrPasswordTooShort):
		return errPasswordTooShort, true
	case errors.Is(err, login.ErrPasswordCommon):
		return errPasswordCommon, true
	case errors.Is(err, login.ErrNotInvited):
		return errNotInvited, true
	case errors.Is(err, login.ErrEmailTaken):
		return errEmailTaken, true
	case errors.Is(err, login.ErrNameTaken):
		return errNameTaken, true
	case errors.Is(err, login.ErrNotKept):
		return errNotKept, true
	case errors.Is(err, session.ErrFull):
		return errFull, true
	case errors.Is(err, session.ErrUnknownHandle):
		return errSessionToken, true
	}
	return errUnavailable, false
}

// oauthError matches error codes of OAuth 2.0 and OpenID Connect.
var oauthError = regexp.MustCompile(`^[a-z_]{1,64}$`)

// deniedBy is the problem with a sign-in that the provider refused. It drops the provider's
// explanation: that came through the browser, so anybody may have written it.
func deniedBy(e *login.DeniedError) *problem {
	denied := problem{
		status: http.StatusForbidden, code: "PROVIDER_ERROR", message: "The provider refused the sign-in",
		title: "You were not signed in", advice: "The sign-in service did not sign you in. Please start again.",
	}
	if oauthError.MatchString(e.Code) {
		denied.code = strings.ToUpper(e.Code)
	}
	if e.Code == "access_denied" {
		denied.advice = "The sign-in was cancelled, or the sign-in service gives this account no access here."
	}
	return &denied
}

// invalidFieldOf returns the field that a *login.InvalidError is about.
func invalidFieldOf(err error) (string, bool) {
	var invalid *login.InvalidError
	if !errors.As(err, &invalid) {
		return "", false
	}
	return invalid.Field, true
}

// invalidField is the problem with a field whose value no account can have.
func invalidField(e *login.InvalidError) *problem {
	switch e.Field {
	case login.FieldUserName:
		told := *errInvalidUsername
		told.advice = "The user name " + e.Why + "."
		return &told
	case login.FieldEmail:
		return &problem{status: http.StatusBadRequest, code: "VALIDATION_ERROR", message: "[body.email] Invalid email address", advice: "That is not an e-mail address."}
	case login.FieldPicture:
		return &problem{status: http.StatusBadRequest, code: "VALIDATION_ERROR", message: "[body.image] " + e.Why, advice: "The picture is " + e.Why + "."}
	}
	return &problem{status: http.StatusBadRequest, code: "VALIDATION_ERROR", message: "[body." + e.Field + "] " + e.Why, advice: "The " + e.Field + " " + e.Why + "."}
}

// problemWithChosenName is the problem with a user name that somebody wants to have. The wire
// contract gives it another status than a user name at sign-in.
func problemWithChosenName(err error) error {
	told, _ := disclose(err)
	switch told.code {
	case errUsernameTooShort.code, errUsernameTooLong.code, errInvalidUsername.code:
		chosen := *told
		chosen.status = http.StatusBadRequest
		return &chosen
	}
	return err
}

// roughly returns a waiting time in words, rounded up.
func roughly(d time.Duration) string {
	n, unit := int64((d+time.Second-1)/time.Second), "second"
	if n > 90 {
		n, unit = (n+59)/60, "minute"
	}
	if n > 90 {
		n, unit = (n+59)/60, "hour"
	}
	if n <= 1 {
		return "a moment"
	}
	return strconv.FormatInt(n, 10) + " " + unit + "s"
}

// logFailure logs an error that the client does not learn. It ignores errors of clients that have
// gone.
func (p *Portal) logFailure(r *http.Request, v Visitor, err error) {
	if r.Context().Err() != nil {
		return
	}
	p.log.Error("request cannot be answered", zap.Error(err), zap.String("path", r.URL.Path), zap.String("client_ip", v.ip()))
}

// fail answers with an error, as a page or as JSON.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, v Visitor, asPage bool, err error) {
	told, known := disclose(err)
	if !known {
		p.logFailure(r, v, err)
	}
	retryLater(w, told)
	if asPage {
		p.failurePage(w, v, told)
		return
	}
	writeProblem(w, told)
}

func (p *Portal) failurePage(w http.ResponseWriter, v Visitor, told *problem) {
	page.WriteFailure(w, p.failure(v, told))
}

func (p *Portal) failure(v Visitor, told *problem) page.Failure {
	view := page.Failure{
		Frame:   p.frame(v, destination{}),
		Status:  told.status,
		Title:   told.title,
		Message: told.explain(),
	}
	if told.status < http.StatusInternalServerError && told != errInsecure {
		view.Back = "/"
	}
	return view
}

// retryLater sets both headers: the standard one, and the one that the stock client reads.
func retryLater(w http.ResponseWriter, told *problem) {
	if told.retryAfter <= 0 {
		return
	}
	seconds := strconv.FormatInt(int64((told.retryAfter+time.Second-1)/time.Second), 10)
	w.Header().Set("Retry-After", seconds)
	w.Header().Set("X-Retry-After", seconds)
}
