package integration

import (
	"net"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// program is a process of something that the gateway is put in front of. It ends with the test, and its
// log is part of a failure's.
type program struct {
	t     testing.TB
	name  string
	log   *buffer
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has ended
}

// startProgram starts a process in a group of its own, to which the signal is sent at the end of the test.
func startProgram(t testing.TB, name string, signal syscall.Signal, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, name: name, log: new(buffer), cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.WaitDelay = time.Second // what it has started may hold its output open
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() { _ = cmd.Wait(); close(p.ended) }()
	t.Cleanup(func() {
		p.end(signal)
		if t.Failed() {
			t.Logf("the log of %s:\n%s", name, p.log)
		}
	})
	return p
}

// end sends the signal, and kills what has not ended by it.
func (p *program) end(signal syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, signal)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		p.t.Errorf("%s did not end at %s", p.name, signal)
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // the rest of the group
	<-p.ended
}

// await returns when the condition holds. It fails the test at once if the process ends before.
func (p *program) await(what string, condition func() bool) {
	p.t.Helper()
	await(p.t, p.name+" "+what, func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("%s has ended: %s", p.name, p.cmd.ProcessState)
		default:
		}
		return condition()
	})
}

// listens reports whether something accepts connections at an address.
func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// unprivileged is what makes a process one of nobody's where the tests are run by root, whom programs
// like PostgreSQL refuse. Else it is nil.
func unprivileged(t testing.TB) *syscall.SysProcAttr {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// unprivilegedDir returns a directory that such a process owns. t.TempDir is in one that only its owner
// may enter.
func unprivilegedDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gateway-app-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if attr := unprivileged(t); attr != nil {
		if err := os.Chown(dir, int(attr.Credential.Uid), int(attr.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// runUnprivileged runs a command to its end and returns what it wrote.
func runUnprivileged(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	cmd.SysProcAttr = unprivileged(t)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, output)
	}
	return string(output)
}
