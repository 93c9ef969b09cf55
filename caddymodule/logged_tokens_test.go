package caddymodule

import (
	"slices"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestTokensInTheDebugLog: whoever has a debug log is told which tokens it shows.
func TestTokensInTheDebugLog(t *testing.T) {
	for name, test := range map[string]struct {
		header string
		level  zapcore.Level
		want   []string
	}{
		"a field of its own":          {`X-Access-Token {http.auth.user.access_token}`, zapcore.DebugLevel, []string{"X-Access-Token"}},
		"an ID token":                 {`x-id "{http.auth.user.id_token}"`, zapcore.DebugLevel, []string{"X-Id"}},
		"without a debug log":         {`X-Access-Token {http.auth.user.access_token}`, zapcore.InfoLevel, nil},
		"a field that logs leave out": {`authorization "Bearer {http.auth.user.access_token}"`, zapcore.DebugLevel, nil},
		"no token":                    {`X-User {http.auth.user.id}`, zapcore.DebugLevel, nil},
	} {
		t.Run(name, func(t *testing.T) {
			app := provisionedSite(t, siteBlocks("a.example.com {\nmulti_session {\nheader "+test.header+"\n}\n}\nb.example.com {\nmulti_session {\nheader "+test.header+"\n}\n}"))
			core, log := observer.New(test.level)
			app.log = zap.New(core)
			app.warnLoggedTokens()
			var got []string
			for _, entry := range log.FilterMessageSnippet("shows the tokens").All() {
				got = append(got, entry.ContextMap()["field"].(string))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("warned of %v, want %v", got, test.want)
			}
		})
	}
}
