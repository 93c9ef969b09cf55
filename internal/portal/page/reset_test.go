package page

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// TestAutomaticResetRunsItsOneScript: the policy allows exactly the script of the page, byte for
// byte.
func TestAutomaticResetRunsItsOneScript(t *testing.T) {
	w := httptest.NewRecorder()
	WriteAutomaticReset(w, http.StatusOK)
	found := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllStringSubmatch(w.Body.String(), -1)
	if len(found) != 1 {
		t.Fatalf("%d scripts in\n%s", len(found), w.Body)
	}
	sum := sha256.Sum256([]byte(found[0][1]))
	policy := w.Header().Get("Content-Security-Policy")
	if want := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(policy, want) {
		t.Errorf("the policy is %s, and lacks %s", policy, want)
	}
	if strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("the policy is %s", policy)
	}
}
