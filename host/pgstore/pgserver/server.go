// Package pgserver runs private PostgreSQL servers, for tests and demos. A server has a directory
// of its own, listens on a Unix socket in there only (but see NewTCP), runs as an unprivileged user,
// and ends with the process that has started it, also when that is killed.
package pgserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// readyLimit bounds the start of a server, including the recovery after a kill.
const readyLimit = 60 * time.Second

// Server is a running or killed PostgreSQL server with its directory. Its methods are not
// safe for concurrent use.
type Server struct {
	programs string
	dir      string // has data, log and the socket
	owner    *syscall.Credential
	run      *exec.Cmd
	ended    chan struct{} // closed when the process of run has ended
	watch    *exec.Cmd
	alive    io.Closer // the watchdog ends the server when it is closed
	settings []string
	port     int // also in the name of the socket
}

// ErrNoPrograms means that PostgreSQL is not installed.
var ErrNoPrograms = errors.New("the programs of PostgreSQL (initdb, postgres) are not here: install the package postgresql")

// New makes a database cluster in a new directory and starts a server on it. Settings
// such as "wal_level=replica" are added to those of postgresql.conf.
func New(settings ...string) (*Server, error) { return create(5432, settings) }

// NewTCP is New for a server that listens on a port of the loopback address too; see Address. It can
// have no Standby.
func NewTCP(settings ...string) (*Server, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return nil, err
	}
	return create(port, append(settings, "listen_addresses = '127.0.0.1'", "port = "+strconv.Itoa(port)))
}

// Address returns where a server of NewTCP listens.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

func create(port int, settings []string) (*Server, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	s := &Server{programs: programs, settings: settings, port: port}
	if s.owner, err = unprivileged(); err != nil {
		return nil, err
	}
	if err := s.create(s.initialize); err != nil {
		return nil, err
	}
	return s, nil
}

// DirVariable names the directory for the data of servers, such as one in memory, where commits
// cost less; the default is that for temporary files.
const DirVariable = "BERTH_POSTGRES_DIR"

// create makes the directory of a server, has its data made, and starts it.
func (s *Server) create(data func() error) (err error) {
	if s.dir, err = os.MkdirTemp(os.Getenv(DirVariable), "berth-pg-"); err != nil {
		return err
	}
	if s.owner != nil {
		err = os.Chown(s.dir, int(s.owner.Uid), int(s.owner.Gid))
	}
	if err == nil {
		err = data()
	}
	if err == nil {
		err = s.watchOver()
	}
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		s.Close()
	}
	return err
}

// Standby starts another server, which follows this one. When it returns, the commits of this one
// wait until the standby has written them.
func (s *Server) Standby() (*Server, error) {
	b := &Server{programs: s.programs, settings: s.settings, owner: s.owner, port: s.port}
	err := b.create(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
		defer cancel()
		out, err := b.command(ctx, filepath.Join(s.programs, "pg_basebackup"), "--pgdata", b.data(), "--host", s.dir, "--username", "berth",
			"--write-recovery-conf", "--checkpoint", "fast", "--no-sync").CombinedOutput()
		if err != nil {
			return fmt.Errorf("pg_basebackup: %w: %s", err, out)
		}
		return appendTo(filepath.Join(b.data(), "postgresql.conf"), "unix_socket_directories = '"+b.dir+"'\n")
	})
	if err != nil {
		return nil, err
	}
	if err := s.Exec("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"); err != nil {
		b.Close()
		return nil, err
	}
	if err := s.awaitStandby(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (s *Server) awaitStandby() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return err
	}
	defer c.Close(context.Background()) //nolint:errcheck // it was read from only
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		n := 0
		if err := c.QueryRow(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'").Scan(&n); err != nil || n > 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the standby does not follow its server")
		}
	}
}

// Promote makes a standby a server of its own, which takes writes.
func (s *Server) Promote() error { return s.Exec("SELECT pg_promote(true, 60)") }

// Exec executes statements as the superuser, each in a transaction of its own.
func (s *Server) Exec(statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	c, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := c.Exec(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", statement, err), c.Close(ctx))
		}
	}
	return c.Close(ctx)
}

// Count returns the number that a query selects, as the superuser.
func (s *Server) Count(ctx context.Context, query string, args ...any) (n int, err error) {
	c, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return 0, err
	}
	defer c.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it was read from only
	return n, c.QueryRow(ctx, query, args...).Scan(&n)
}

// Socket returns the path of the socket on which the server listens.
func (s *Server) Socket() string { return filepath.Join(s.dir, fmt.Sprintf(".s.PGSQL.%d", s.port)) }

// findPrograms returns the directory of initdb and postgres, of the newest version.
func findPrograms() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		path, err = filepath.EvalSymlinks(path) // the other programs are beside the file, not the link
		return filepath.Dir(path), err
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/initdb", "/usr/pgsql-*/bin/initdb", "/opt/homebrew/opt/postgresql*/bin/initdb"} {
		paths, _ := filepath.Glob(pattern) //nolint:errcheck // the patterns are right
		found = append(found, paths...)
	}
	if len(found) == 0 {
		return "", ErrNoPrograms
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return strings.Compare(a, b) })), nil
}

// unprivileged returns the user that the server runs as: nil is this process's, which must
// not be root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it")
}

// command returns a program that runs as the server's user, in a process group of its own so
// that an interrupt from the terminal does not reach it before the watchdog acts.
func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+s.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.owner}
	return cmd
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) initialize() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	out, err := s.command(ctx, filepath.Join(s.programs, "initdb"), "--pgdata", s.data(), "--username", "berth", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	conf := append([]string{"listen_addresses = ''", "unix_socket_directories = '" + s.dir + "'", "max_connections = 200",
		"shared_buffers = 32MB", "logging_collector = off", "deadlock_timeout = 100ms", "max_wal_size = 256MB"}, s.settings...)
	// The role guarded needs a password; every other one is trusted, since only this user and
	// root reach the socket.
	const access = "local all guarded scram-sha-256\nlocal all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 trust\n"
	return errors.Join(
		os.WriteFile(filepath.Join(s.data(), "pg_hba.conf"), []byte(access), 0o600),
		appendTo(filepath.Join(s.data(), "postgresql.conf"), strings.Join(conf, "\n")+"\n"))
}

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// watchOver starts the watchdog: a shell that waits for the end of its input, which is the end
// of this process at the latest, then ends whatever server runs in the directory, and removes
// the directory.
func (s *Server) watchOver() error {
	const script = `cat >/dev/null
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
[ -n "$pid" ] && kill -QUIT "$pid" 2>/dev/null
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
rm -rf "$0"`
	s.watch = s.command(context.Background(), "sh", "-c", script, s.dir)
	s.watch.Dir = "/"
	in, err := s.watch.StdinPipe()
	if err != nil {
		return err
	}
	s.alive = in
	return s.watch.Start()
}

// Start starts the server, which does not run, and returns when it answers.
func (s *Server) Start() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	run := s.command(context.Background(), filepath.Join(s.programs, "postgres"), "-D", s.data())
	run.Stdout, run.Stderr = log, log
	if err := run.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run.Wait() //nolint:errcheck // a killed server fails, as it should
	}()
	s.run, s.ended = run, ended
	return s.awaitReady()
}

func (s *Server) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyLimit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return c.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-s.ended:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log")) //nolint:errcheck // shown if it can be read
			return fmt.Errorf("the PostgreSQL server ended: %s", text)
		case <-ctx.Done():
			return fmt.Errorf("the PostgreSQL server does not answer: %w", err)
		}
	}
}

// URL is that of the database postgres, as its superuser.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://berth@/postgres?sslmode=disable&port=%d&host=%s", s.port, url.QueryEscape(s.dir))
}

// Kill ends the server and all its processes at once, so that none can write anything more.
func (s *Server) Kill() error {
	pid := s.run.Process.Pid
	// Stopped, it starts no process while its present ones are killed.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	// The signal works a moment later; on other systems than Linux there is no such file.
	await(func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return err != nil || bytes.Contains(text, []byte(") T "))
	})
	processes := children(pid)
	for _, child := range processes {
		syscall.Kill(child, syscall.SIGKILL) //nolint:errcheck // it may have ended
	}
	if err := s.end(syscall.SIGKILL); err != nil {
		return err
	}
	// The next server refuses to start beside the last process of this one.
	for _, child := range processes {
		await(func() bool { return syscall.Kill(child, 0) != nil })
	}
	return nil
}

// Ended reports whether the server has ended, by Kill or by itself. Start starts it again.
func (s *Server) Ended() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// MoveWAL moves the WAL of a server that has ended to another file system, and leaves a link.
func (s *Server) MoveWAL(dir string) error {
	wal := filepath.Join(s.data(), "pg_wal")
	if out, err := exec.Command("mv", wal, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("move the WAL: %w: %s", err, out)
	}
	return os.Symlink(dir, wal)
}

// Stop stops the server and all its processes without their knowledge, as a disk does that does
// not answer; Continue lets them go on.
func (s *Server) Stop() error { return s.signalAll(syscall.SIGSTOP) }

// Continue lets a stopped server go on.
func (s *Server) Continue() error { return s.signalAll(syscall.SIGCONT) }

func (s *Server) signalAll(sig syscall.Signal) error {
	pid := s.run.Process.Pid
	if err := syscall.Kill(pid, sig); err != nil { // first, so that it starts no other process
		return err
	}
	for _, child := range children(pid) {
		syscall.Kill(child, sig) //nolint:errcheck // it may have ended
	}
	return nil
}

// await waits for a condition, which holds soon.
func await(condition func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 10_000 {
		if condition() {
			return
		}
		<-tick.C
	}
}

// children returns the processes that a process has started. Where the system has no such
// list there are none: a server whose first process is killed ends them by itself.
func children(pid int) (list []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid)) //nolint:errcheck // see above
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			list = append(list, child)
		}
	}
	return list
}

func (s *Server) end(sig syscall.Signal) error {
	if err := syscall.Kill(s.run.Process.Pid, sig); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return nil
	case <-time.After(readyLimit):
		return errors.New("the PostgreSQL server does not end")
	}
}

// Close ends the server and removes its directory. It is safe to call more than once.
func (s *Server) Close() {
	if s.alive != nil {
		s.alive.Close() //nolint:errcheck // the watchdog sees the end in any case
		s.alive = nil
		s.watch.Wait() //nolint:errcheck // it has done what it could
		if s.ended != nil {
			<-s.ended
		}
	}
	os.RemoveAll(s.dir) //nolint:errcheck // mostly the watchdog has done it
}
