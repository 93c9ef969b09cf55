package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The accounts of userOptions, with hashes that are cheap to check: these tests are not about argon2id.
const userOptions = `
	user alice alice@example.com "$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK" {
		name "Alice Example"
		groups admin dev
	}
	user bob bob@example.com "$2a$04$Hm4qcm8RLzDD2ni.5o1DC.bP0q8EFF3D1OkVpsrHI1iLVJFKP3UTS" {
		name "Bob Example"
		groups dev
	}
	user carol carol@example.com "$2a$04$7x.P4XUEz//Yql1znExtguMVIQqtBgWcrSy29cCj26/qLZjL6V3Hy" {
		name "Carol Example"
	}
`

// password is the one of a user of userOptions.
func password(user string) string { return user + "-example" }

// gateway is a running process of the binary, with directories and an admin endpoint of its own.
type gateway struct {
	t     testing.TB
	dir   string  // working directory, home and Caddy's data directory are below it
	admin string  // host:port
	log   *buffer // of the latest process
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// newGateway returns one that is not running yet.
func newGateway(t testing.TB) *gateway {
	t.Helper()
	return &gateway{t: t, dir: t.TempDir(), admin: freeAddress(t), log: new(buffer)}
}

// startGateway runs the binary with a Caddyfile until the test ends, and returns when it serves.
func startGateway(t testing.TB, caddyfile string) *gateway {
	t.Helper()
	g := newGateway(t)
	g.start(caddyfile)
	return g
}

// globals puts an admin endpoint into a Caddyfile, whose global options must come first.
func (g *gateway) globals(caddyfile string) string {
	body, ok := strings.CutPrefix(strings.TrimSpace(caddyfile), "{")
	if !ok {
		g.t.Fatal("the Caddyfile does not begin with its global options")
	}
	return fmt.Sprintf("{\n\tadmin %s\n\tdefault_bind 127.0.0.1\n\tskip_install_trust\n%s\n", g.admin, body)
}

// write puts a Caddyfile where the process looks for it, and returns its path.
func (g *gateway) write(caddyfile string) string {
	g.t.Helper()
	path := filepath.Join(g.dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(g.globals(caddyfile)), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

// command returns a command of the binary with the environment of this gateway.
func (g *gateway) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(),
		"HOME="+g.dir,
		"XDG_DATA_HOME="+filepath.Join(g.dir, "data"),
		"XDG_CONFIG_HOME="+filepath.Join(g.dir, "config"),
		"GORACE=halt_on_error=0 atexit_sleep_ms=0", // a race is reported when it happens, not at the end
	)
	return cmd
}

// launch starts the process and does not wait for it to serve.
func (g *gateway) launch(caddyfile string) {
	g.t.Helper()
	g.cmd = g.command("run", "--config", g.write(caddyfile), "--adapter", "caddyfile")
	log := new(buffer)
	g.log = log
	g.cmd.Stdout, g.cmd.Stderr = log, log
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	ended := make(chan struct{})
	g.ended = ended
	go func() { _ = g.cmd.Wait(); close(ended) }()
	g.t.Cleanup(func() {
		g.stop()
		if strings.Contains(log.String(), "WARNING: DATA RACE") {
			g.t.Error("the gateway has a data race")
		}
		if g.t.Failed() {
			g.t.Logf("the gateway's log:\n%s", log)
		}
	})
}

// start launches the process and waits until its configuration is active.
func (g *gateway) start(caddyfile string) {
	g.t.Helper()
	g.launch(caddyfile)
	await(g.t, "the gateway to serve", func() bool {
		select {
		case <-g.ended:
			g.t.Fatalf("the gateway ended:\n%s", g.log)
		default:
		}
		return strings.Contains(g.log.String(), "serving initial configuration")
	})
}

// stop ends the process as an operator does, and waits for it.
func (g *gateway) stop() { g.end(syscall.SIGTERM) }

// kill ends the process without giving it a chance to do anything.
func (g *gateway) kill() { g.end(syscall.SIGKILL) }

func (g *gateway) end(signal syscall.Signal) {
	_ = g.cmd.Process.Signal(signal)
	select {
	case <-g.ended:
	case <-time.After(time.Minute):
		_ = g.cmd.Process.Kill()
		g.t.Errorf("the gateway did not end at %s", signal)
		<-g.ended
	}
}

// reload replaces the configuration through the admin API, and returns its error.
func (g *gateway) reload(caddyfile string) error {
	request, err := http.NewRequest(http.MethodPost, "http://"+g.admin+"/load", strings.NewReader(g.globals(caddyfile)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "text/caddyfile")
	response, err := http.DefaultClient.Do(request)
	for tries := 0; (errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)) && tries < 5; tries++ {
		// The endpoint of the configuration before was just being closed. To load twice is to load once.
		if request.Body, err = request.GetBody(); err != nil {
			return err
		}
		response, err = http.DefaultClient.Do(request)
	}
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}

// audit returns the audit lines of an event that have been logged so far.
func (g *gateway) audit(event string) []map[string]any {
	var lines []map[string]any
	for line := range strings.Lines(g.log.String()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) == nil && entry["logger"] == "multi_session.audit" && entry["event"] == event {
			lines = append(lines, entry)
		}
	}
	return lines
}

// buffer is what a process writes, to be read meanwhile.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// handedOut are the addresses that freeAddress returned in this run.
var handedOut sync.Map

// freeAddress returns a loopback address that nothing listens on and that no other test has. It is below
// the ports that systems give out by themselves (Linux from 32768, RFC 6335 from 49152), for until the
// gateway listens there any connection that goes out may get one of those.
func freeAddress(t testing.TB) string {
	t.Helper()
	const first, end, tries = 11000, 32768, 1000 // browsers refuse 10080
	for range tries {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(end-first)))
		if _, taken := handedOut.LoadOrStore(address, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// port is the port of an address.
func port(address string) string {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		panic(err)
	}
	return p
}

// await returns when the condition holds, and fails the test if it does not within a minute: long
// enough for the slowest machine, so that the bound says something is broken and never that it is slow.
func await(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Fatalf("waited in vain for %s", what)
			}
			t.Fatal(ctx.Err())
		}
	}
}
