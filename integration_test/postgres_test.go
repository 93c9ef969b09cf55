package integration

import (
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// database is a PostgreSQL server with one database and one user, both of this name, who needs no password.
type database struct {
	t        testing.TB
	programs string // directory of PostgreSQL's
	address  string
}

const databaseName = "app"

// startPostgres runs a server of its own until the test ends.
func startPostgres(t testing.TB) *database {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		missing(t, "PostgreSQL")
	}
	d := &database{t: t, programs: filepath.Dir(slices.Max(found)), address: freeAddress(t)}
	dir := unprivilegedDir(t)
	runUnprivileged(t, d.command(dir, "initdb", "--pgdata="+dir+"/data", "--username="+databaseName, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"))
	cmd := d.command(dir, "postgres", "-D", dir+"/data", "-h", "127.0.0.1", "-p", port(d.address), "-k", "", "-F")
	cmd.SysProcAttr = unprivileged(t)
	p := startProgram(t, "PostgreSQL", syscall.SIGINT, cmd)
	p.await("to serve", func() bool { return strings.Contains(p.log.String(), "ready to accept connections") })
	runUnprivileged(t, d.command("/", "createdb", "-h", "127.0.0.1", "-p", port(d.address), "-U", databaseName, databaseName))
	return d
}

func (d *database) command(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(d.programs, name), args...)
	cmd.Dir = dir
	return cmd
}

// psql runs the client on the database, and returns what it prints: a line for each row.
func (d *database) psql(args ...string) string {
	d.t.Helper()
	host, at, err := net.SplitHostPort(d.address)
	if err != nil {
		d.t.Fatal(err)
	}
	args = append([]string{"-h", host, "-p", at, "-U", databaseName, "-d", databaseName, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"}, args...)
	return runUnprivileged(d.t, d.command("/", "psql", args...))
}

// query returns the rows of a query, of which each is one column.
func (d *database) query(sql string) []string {
	d.t.Helper()
	return strings.Fields(d.psql("-c", sql))
}
