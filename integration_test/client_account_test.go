package integration

import (
	"strings"
	"testing"
)

// TestStockClientAccounts has the npm client sign people up and look after their accounts.
func TestStockClientAccounts(t *testing.T) {
	nodePackages(t)
	address := freeAddress(t)
	startGateway(t, openSite(address, newEcho(t).address()))
	runScenarios(t, "http://"+address, accountScenarios...)
}

// TestStockClientClosed: without sign_up nobody makes an account.
func TestStockClientClosed(t *testing.T) {
	nodePackages(t)
	address := freeAddress(t)
	startGateway(t, plain(address, newEcho(t).address()))
	runScenarios(t, "http://"+address, "closed.mjs")
}

// openSite is plain, where everybody can sign up.
func openSite(address, upstream string) string {
	return strings.Replace(plain(address, upstream), userOptions, userOptions+"\nsign_up\n", 1)
}
