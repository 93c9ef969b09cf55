package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/caddy-multi-session/gateway"
)

// serve is the life of a server's process. It ends with its standard input, which the process that
// started it holds open.
func serve(caddyfile string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	os.Args = []string{os.Args[0], "run", "--config", caddyfile, "--adapter", "caddyfile"}
	caddycmd.Main()
}

// server is a running process of one variant.
type server struct {
	variant variant
	base    string // URL of the site, without a slash at the end
	admin   string // URL of the admin endpoint, likewise
	cmd     *exec.Cmd
	stdin   io.Closer
	ended   chan struct{} // closed when the process has ended
	log     bytes.Buffer  // to be read once it has ended
}

// startServer starts a server and returns when it answers.
func startServer(ctx context.Context, dir string, v variant, upstream string) (*server, error) {
	site, err := freeAddress()
	if err != nil {
		return nil, err
	}
	admin, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if dir, err = os.MkdirTemp(dir, "server-"); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(v.caddyfile(site, admin, upstream, filepath.Join(dir, "sessions.db"))), 0o600); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{variant: v, base: "http://" + site, admin: "http://" + admin, ended: make(chan struct{})}
	s.cmd = exec.Command(program, "serve", config)
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "GOMAXPROCS=1")
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	if err := s.await(ctx, site); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w\n%s", err, s.log.String())
	}
	return s, nil
}

// await returns when the server accepts connections.
func (s *server) await(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-s.ended:
			return fmt.Errorf("the server has ended: %s", s.cmd.ProcessState)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stop ends the process and waits for it.
func (s *server) stop() {
	_ = s.stdin.Close()
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
}

// allocations is how many objects the process has allocated on the heap since it started.
func (s *server) allocations(ctx context.Context) (uint64, error) {
	var vars struct {
		MemStats struct{ Mallocs uint64 } `json:"memstats"`
	}
	body, err := s.fetchAdmin(ctx, "/debug/vars")
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(body, &vars); err != nil {
		return 0, err
	}
	return vars.MemStats.Mallocs, nil
}

// fetchAdmin gets what the admin endpoint has at a path.
func (s *server) fetchAdmin(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, strings.TrimSpace(string(body)))
	}
	return body, err
}

// freeAddress returns a loopback address that nothing listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
