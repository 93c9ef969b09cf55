package login

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

func TestWhichErrorsAreWorthAnotherPrompt(t *testing.T) {
	left := []string{"login", ""}
	asked := Pending{Prompt: "select_account", Prompts: left}
	silent := Pending{Prompts: left[:1]}
	for name, tc := range map[string]struct {
		pending Pending
		err     error
		want    []string
	}{
		"no page to choose at":               {asked, &DeniedError{Code: "account_selection_required"}, left},
		"no page to choose at, wrapped":      {asked, fmt.Errorf("x: %w", &DeniedError{Code: "account_selection_required"}), left},
		"interaction":                        {asked, &DeniedError{Code: "interaction_required"}, left},
		"login":                              {asked, &DeniedError{Code: "login_required"}, left},
		"an unknown value":                   {asked, &DeniedError{Code: "invalid_request"}, left},
		"login, asked for nothing":           {silent, &DeniedError{Code: "login_required"}, left[:1]},
		"invalid request, asked for nothing": {silent, &DeniedError{Code: "invalid_request"}, nil},
		"no prompt left":                     {Pending{Prompt: "login"}, &DeniedError{Code: "login_required"}, nil},
		"cancelled":                          {asked, &DeniedError{Code: "access_denied"}, nil},
		"server error":                       {asked, &DeniedError{Code: "server_error"}, nil},
		"not allowed":                        {asked, &NotAllowedError{}, nil},
		"an answer that does not hold":       {asked, &RejectedError{Reason: "iss"}, nil},
		"not available":                      {asked, ErrProviderUnavailable, nil},
		"technical":                          {asked, errors.New("x"), nil},
	} {
		got, ok := tc.pending.Retry(tc.err)
		if ok != (tc.want != nil) || ok && !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, %t, want %q", name, got, ok, tc.want)
		}
	}
}
