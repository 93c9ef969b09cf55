package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestStockClient has the npm client of Better Auth, as it is, drive the gateway.
func TestStockClient(t *testing.T) {
	nodePackages(t)
	address := freeAddress(t)
	startGateway(t, plain(address, newEcho(t).address()))
	runScenarios(t, "http://"+address, deviceScenarios...)
}

// TestStockClientReference has the same scenarios hold of Better Auth itself: what they ask of the
// gateway is what the client is used to.
func TestStockClientReference(t *testing.T) {
	nodePackages(t)
	origin := startReference(t)
	runScenarios(t, origin, deviceScenarios...)
	runScenarios(t, origin, accountScenarios...)
}

// The files of scenarios: about accounts that are there already, and about those that people make.
var (
	deviceScenarios  = []string{"devices.mjs", "watching.mjs"}
	accountScenarios = []string{"accounts.mjs"}
)

// startReference runs a server of Better Auth until the test ends, and returns its origin.
func startReference(t *testing.T, environment ...string) (origin string) {
	t.Helper()
	node := nodeCommand("reference.mjs")
	node.Env = append(node.Env, environment...)
	stderr := new(buffer)
	node.Stderr = stderr
	// The end of its input is what ends it, also where the test itself is killed.
	input, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		if err := node.Wait(); err != nil {
			t.Errorf("node reference.mjs: %v\n%s", err, stderr)
		}
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("Better Auth does not serve: %v", err)
	}
	return strings.TrimSpace(line)
}

// nodeCommand is a command of Node.js in the directory client.
func nodeCommand(args ...string) *exec.Cmd {
	// Not the test's context, which is cancelled before the cleanups that end a server run.
	cmd := exec.Command("node", args...)
	cmd.Dir = "client"
	cmd.Env = append(os.Environ(), "GATEWAY_PATH=/.auth")
	return cmd
}

// nodePackages leaves the test where Node.js or the npm packages are missing.
func nodePackages(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		missing(t, "Node.js")
	}
	for _, name := range []string{"better-auth", "esbuild", "oidc-provider", "tough-cookie"} {
		if _, err := os.Stat(filepath.Join("node_modules", name)); err != nil {
			missing(t, "npm packages: run npm ci in integration_test")
		}
	}
}

// runScenarios runs files of the directory client against the server of an origin, with a subtest for
// each scenario. It fails unless every one has run to its end.
func runScenarios(t *testing.T, origin string, files ...string) {
	t.Helper()
	for _, file := range files {
		t.Run(file, func(t *testing.T) { runScenarioFile(t, origin, file) })
	}
}

func runScenarioFile(t *testing.T, origin, file string) {
	node := nodeCommand("--test-reporter=./reporter.mjs", file)
	node.Env = append(node.Env, "GATEWAY_URL="+origin)
	stderr := new(buffer)
	node.Stderr = stderr
	out, err := node.Output()

	ran, planned := 0, -1
	for line := range bytes.Lines(out) {
		var report struct {
			Name, Detail string
			Passed       bool
			Count        *int
		}
		if json.Unmarshal(line, &report) != nil {
			t.Errorf("not a report: %s", line)
			continue
		}
		if report.Count != nil {
			planned = *report.Count
			continue
		}
		ran++
		t.Run(report.Name, func(t *testing.T) {
			if !report.Passed {
				t.Errorf("did not pass\n%s", report.Detail)
			}
		})
	}
	if ran == 0 || ran != planned {
		t.Errorf("%d scenarios ran, of %d", ran, planned)
	}
	if errors := stderr.String(); err != nil || errors != "" {
		t.Errorf("node %s: %v\n%s", file, err, errors)
	}
}
