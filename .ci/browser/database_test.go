package browser

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// database is a PostgreSQL server on a socket in a directory of its own. It ends with the test.
type database struct {
	url string
	end func() // stops it; may be called more than once
}

// The server ends when the input of this script does, which is with the process of the tests at
// the latest.
const serverScript = `"$0/postgres" -D "$1/data" -h "" -k "$1" >"$1/log" 2>&1 & pid=$!
cat >/dev/null
kill -QUIT "$pid"; wait "$pid"`

// startDatabase starts a server and returns when it answers.
func startDatabase(t *testing.T) *database {
	t.Helper()
	programs := postgresPrograms(t)
	dir, err := os.MkdirTemp(os.Getenv("BERTH_POSTGRES_DIR"), "berth-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	owner := unprivileged(t)
	if owner != nil {
		if err := os.Chown(dir, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	program := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "LC_ALL=C", "HOME="+dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: owner}
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := program(filepath.Join(programs, "initdb"), "--pgdata", data, "--username", "berth", "--auth", "trust", "--encoding", "UTF8",
		"--locale", "C", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	server := program("sh", "-c", serverScript, programs, dir)
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	d := &database{url: "postgres://berth@/postgres?sslmode=disable&host=" + url.QueryEscape(dir)}
	d.end = sync.OnceFunc(func() {
		in.Close()
		_ = server.Wait() // a server that was told to end at once fails
	})
	t.Cleanup(d.end)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for end := time.Now().Add(limit); time.Now().Before(end); <-tick.C {
		if program(filepath.Join(programs, "pg_isready"), "--host", dir).Run() == nil {
			return d
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	t.Fatalf("the PostgreSQL server does not answer:\n%s", log)
	return nil
}

// postgresPrograms returns the directory of initdb and postgres. Without them the test is skipped,
// unless BERTH_NEEDS_POSTGRES is 1.
func postgresPrograms(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err != nil { // the other programs are beside the file, not the link
			t.Fatal(err)
		}
		return filepath.Dir(path)
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	const missing = "the programs of PostgreSQL (initdb, postgres) are not here: install the package postgresql"
	if os.Getenv("BERTH_NEEDS_POSTGRES") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing) // only outside of CI, which sets the variable
	return ""
}

// unprivileged returns the user that the server runs as: nil is this process's, which must not be
// root.
func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatalf("PostgreSQL does not run as root: %v", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// member starts a host over the database.
func (d *database) member(t *testing.T, name string) *host {
	t.Helper()
	return start(t, fmt.Sprintf("bus: {engine: postgres, postgres: {url: %q, max_connections: 8}}\ncluster: {name: %s}\n", d.url, name))
}
