package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// jupyterToken is what one signs in with at jupyter-notebook itself.
const jupyterToken = "token-of-a-test"

// startJupyter runs Debian's jupyter-notebook, which knows nothing of headers: it has a sign-in of its own, a
// cookie for that, and one that its scripts read against forged requests. It returns its address.
func startJupyter(t testing.TB) string {
	t.Helper()
	needPython(t, "notebook/notebookapp.py", "jupyter-notebook")
	needPython(t, "terminado/__init__.py", "terminado")
	address, dir := freeAddress(t), unprivilegedDir(t)
	cmd := exec.Command(systemPython, "-m", "notebook", "--no-browser", "--ip=127.0.0.1", "--port="+port(address),
		"--NotebookApp.port_retries=0", "--NotebookApp.token="+jupyterToken, "--notebook-dir="+dir)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "SHELL=/bin/sh", "JUPYTER_RUNTIME_DIR="+dir+"/runtime", "PYTHONDONTWRITEBYTECODE=1", "PS1=$ ")
	cmd.SysProcAttr = unprivileged(t)
	p := startProgram(t, "jupyter-notebook", syscall.SIGTERM, cmd)
	p.await("to serve", func() bool { return listens(address) })
	return address
}

// signInToJupyter signs in at the app itself, by its form.
func signInToJupyter(b *browser) {
	b.t.Helper()
	if answer := b.open("/login"); answer.StatusCode != http.StatusOK {
		b.t.Fatalf("the sign-in page: %s\n%s", answer.Status, answer.body)
	}
	answer := b.submit("/login", url.Values{"_xsrf": {b.holds("_xsrf")}, "password": {jupyterToken}})
	if answer.StatusCode != http.StatusFound || answer.Header.Get("Location") != "/tree" && answer.Header.Get("Location") != "/" {
		b.t.Fatalf("sign in at the app: %s to %s\n%s", answer.Status, answer.Header.Get("Location"), answer.body)
	}
}

// signedInToJupyter reports whether the app takes the browser for one that has signed in there.
func signedInToJupyter(b *browser) bool {
	b.t.Helper()
	switch answer := b.open("/tree"); {
	case answer.StatusCode == http.StatusOK:
		return true
	case answer.StatusCode == http.StatusFound && strings.HasPrefix(answer.Header.Get("Location"), "/login"):
		return false
	default:
		b.t.Fatalf("%s to %s\n%s", answer.Status, answer.Header.Get("Location"), answer.body)
	}
	panic("unreachable")
}

// postToJupyter is what the app's scripts do: they read the token from its cookie.
func postToJupyter(b *browser, path string) reply {
	b.t.Helper()
	request := b.jsonRequest(path, map[string]any{})
	request.Header.Set("X-XSRFToken", b.holds("_xsrf"))
	return b.must(request)
}

// newTerminal has the app start a terminal, and returns its name.
func newTerminal(b *browser) string {
	b.t.Helper()
	answer := postToJupyter(b, "/api/terminals")
	var made struct{ Name string }
	if answer.StatusCode != http.StatusOK {
		b.t.Fatalf("a new terminal: %s %s", answer.Status, answer.body)
	}
	answer.json(b.t, &made)
	return made.Name
}

// terminal is a WebSocket to a terminal of jupyter-notebook.
type terminal struct {
	t    testing.TB
	conn *websocket.Conn
}

// dialTerminal opens a WebSocket as a script of the app does. Where that is refused the answer says why.
func dialTerminal(b *browser, name string) (*terminal, *http.Response) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	header := http.Header{"Origin": {b.base}, "Sec-Fetch-Mode": {"websocket"}, "Sec-Fetch-Site": {"same-origin"}}
	conn, answer, err := websocket.Dial(ctx, b.base+"/terminals/websocket/"+name, &websocket.DialOptions{HTTPClient: b.client, HTTPHeader: header})
	switch {
	case err == nil:
		b.t.Cleanup(func() { _ = conn.CloseNow() })
		return &terminal{b.t, conn}, answer
	case answer != nil:
		return nil, answer
	}
	b.t.Fatal(err)
	return nil, nil
}

func openTerminal(b *browser, name string) *terminal {
	b.t.Helper()
	term, answer := dialTerminal(b, name)
	if term == nil {
		b.t.Fatalf("open the terminal %s: %s", name, answer.Status)
	}
	return term
}

// types sends a line, and returns when the terminal has printed what is wanted, which the line must not contain.
func (term *terminal) types(line, want string) {
	term.t.Helper()
	message, err := json.Marshal([]string{"stdin", line + "\r"})
	if err != nil {
		term.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(term.t.Context(), time.Minute)
	defer cancel()
	if err := term.conn.Write(ctx, websocket.MessageText, message); err != nil {
		term.t.Fatalf("type %q: %v", line, err)
	}
	var printed strings.Builder
	for !strings.Contains(printed.String(), want) {
		text, err := term.read(ctx)
		if err != nil {
			term.t.Fatalf("%q has come to %q: %v", line, printed.String(), err)
		}
		printed.WriteString(text)
	}
}

// read returns what the terminal prints next.
func (term *terminal) read(ctx context.Context) (string, error) {
	_, data, err := term.conn.Read(ctx)
	if err != nil {
		return "", err
	}
	var message []any
	if err := json.Unmarshal(data, &message); err != nil {
		return "", err
	}
	if len(message) == 2 && message[0] == "stdout" {
		if text, ok := message[1].(string); ok {
			return text, nil
		}
	}
	return "", nil
}

// end reads until the WebSocket ends, and returns what it ended by. One that lives for a minute fails the test.
func (term *terminal) end() error {
	term.t.Helper()
	ctx, cancel := context.WithTimeout(term.t.Context(), time.Minute)
	defer cancel()
	for {
		_, err := term.read(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			term.t.Fatal("the terminal has not ended")
		}
		if err != nil {
			return err
		}
	}
}

// TestJupyter is an app with a sign-in of its own and with WebSockets. Without isolation bob uses what alice has
// signed in to; with it each account signs in there for itself, once.
func TestJupyter(t *testing.T) {
	app := startJupyter(t)
	open, isolated := freeAddress(t), freeAddress(t)
	startGateway(t, site(isolated, app, "", "multi_session")+
		fmt.Sprintf("http://%s {\nmulti_session {\nisolate_cookies off\n}\nreverse_proxy %s\n}\n", open, app))

	t.Run("without isolation", func(t *testing.T) {
		b := newBrowser(t, "http://"+open)
		b.signIn("alice")
		signInToJupyter(b)
		name := newTerminal(b)
		b.signIn("bob")
		if term, answer := dialTerminal(b, name); term == nil {
			t.Errorf("bob is refused alice's terminal with %s: there is nothing to isolate", answer.Status)
		}
	})

	t.Run("with isolation", func(t *testing.T) {
		b := newBrowser(t, "http://"+isolated)
		handles, tokens, terminals := map[string]string{}, map[string]string{}, map[string]string{}
		for _, user := range []string{"alice", "bob"} {
			handles[user] = b.signIn(user)
			if signedInToJupyter(b) {
				t.Fatalf("%s is signed in at the app, but has not signed in there", user)
			}
			if user == "bob" {
				if term, answer := dialTerminal(b, terminals["alice"]); term != nil || answer.StatusCode != http.StatusForbidden {
					t.Fatalf("bob opens alice's terminal: %v", answer.Status)
				}
				if answer := postToJupyter(b, "/api/terminals"); answer.StatusCode != http.StatusForbidden {
					t.Fatalf("bob starts a terminal: %s", answer.Status)
				}
			}
			signInToJupyter(b)
			terminals[user] = newTerminal(b)
			openTerminal(b, terminals[user]).types("of="+user+"; echo $((40 + 2))", "42")
			tokens[user] = b.holds("_xsrf")
		}
		if tokens["alice"] == tokens["bob"] {
			t.Error("both have one token against forged requests")
		}
		for range 3 {
			for _, user := range []string{"alice", "bob"} {
				b.switchTo(handles[user])
				if !signedInToJupyter(b) || b.holds("_xsrf") != tokens[user] {
					t.Fatalf("%s is signed out at the app, or scripts read %q instead of %q", user, b.holds("_xsrf"), tokens[user])
				}
				openTerminal(b, terminals[user]).types(`echo "this is of <$of>"`, "this is of <"+user+">")
				if answer := postToJupyter(b, "/api/terminals"); answer.StatusCode != http.StatusOK {
					t.Fatalf("%s starts a terminal: %s %s", user, answer.Status, answer.body)
				}
			}
		}
		if answer := b.post("/.auth/multi-session/revoke", map[string]any{"sessionToken": handles["bob"]}); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status, answer.body)
		}
		last := openTerminal(b, terminals["alice"])
		last.types(`echo "this is of <$of>"`, "this is of <alice>")
		last.types("exit", "") // the shell's end is the terminal's
		if err := last.end(); websocket.CloseStatus(err) == -1 {
			t.Errorf("the terminal was not closed: %v", err)
		}
		b.signIn("bob")
		if signedInToJupyter(b) {
			t.Error("a new session of the gateway has the app's old one")
		}
		if answer := b.post("/.auth/sign-out", map[string]any{}); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status, answer.body)
		}
		if term, answer := dialTerminal(b, terminals["alice"]); term != nil || answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("nobody opens a terminal: %s", answer.Status)
		}
	})

	t.Run("terminals end with their session", func(t *testing.T) {
		b := newBrowser(t, "http://"+isolated)
		alice := b.signIn("alice")
		signInToJupyter(b)
		hers := openTerminal(b, newTerminal(b))
		hers.types("echo $((40 + 2))", "42")
		b.signIn("bob")
		signInToJupyter(b)
		his := openTerminal(b, newTerminal(b))
		hers.types("echo $((41 + 2))", "43") // a switch leaves it alone
		late := watchLag(t)
		since := late.now()
		if answer := b.post("/.auth/multi-session/revoke", map[string]any{"sessionToken": alice}); answer.StatusCode != http.StatusOK {
			t.Fatal(answer.Status, answer.body)
		}
		err := hers.end()
		if took, bound := time.Since(since.at), endsWithin+late.sofar()-since.lag; took > bound || websocket.CloseStatus(err) != -1 {
			t.Errorf("the terminal ended after %s, at most %s is right, by %v", took, bound, err)
		}
		his.types("echo $((42 + 2))", "44")
	})
}
