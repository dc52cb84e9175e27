package wasi

import (
	"io"
	"time"
)

// Memory is a guest's linear memory.
type Memory interface {
	// Read returns a view of size bytes at offset, which writes through. It returns
	// false for a range outside the memory.
	Read(offset, size uint32) (view []byte, ok bool)
}

// Host is the interface to the host of the guest. Each method may panic to trap the guest.
type Host interface {
	// Monotonic returns the time since a moment before the guest started; it is positive.
	Monotonic() time.Duration
	// Realtime returns the time of day.
	Realtime() time.Time
	// Sleep returns after d, or earlier when the guest has to end.
	Sleep(d time.Duration)
	// Yield yields the processor.
	Yield()
	// Charge charges the guest for bytes that were read, written or copied for it.
	Charge(bytes int)
	// Exit ends the guest. It does not return.
	Exit(code uint32)
}

// Process is the system of one guest. New makes it.
type Process struct {
	host   Host
	args   []string
	stdin  string // the unread part
	output [2]io.Writer
	random io.Reader
	began  time.Duration
	files  [3]file // by descriptor
}

// Config configures a Process.
type Config struct {
	Host           Host // required
	Args           []string
	Stdin          string
	Stdout, Stderr io.Writer // required; an error is EIO to the guest
	Random         io.Reader // required; an error is EIO to the guest
}

// New returns a Process whose descriptors 0, 1 and 2 are open.
func New(cfg Config) Process {
	p := Process{host: cfg.Host, args: cfg.Args, stdin: cfg.Stdin, output: [2]io.Writer{cfg.Stdout, cfg.Stderr},
		random: cfg.Random, began: cfg.Host.Monotonic()}
	for i, s := range []stream{stdin, stdout, stderr} {
		p.files[i] = file{stream: s, rights: s.rights()}
	}
	return p
}

// Function is a function of preview 1.
type Function struct {
	Params string // "i" for an i32, "I" for an i64
	// Call takes the arguments from stack and returns the result. For proc_exit, which has
	// none, it does not return.
	Call func(p *Process, m Memory, stack []uint64) Errno
}

// Exit is the one function without a result.
const Exit = "proc_exit"

// Functions returns all of preview 1, by name.
func Functions() map[string]Function {
	return map[string]Function{
		"args_get":          {"ii", argsGet},
		"args_sizes_get":    {"ii", argsSizesGet},
		"environ_get":       {"ii", func(*Process, Memory, []uint64) Errno { return Success }},
		"environ_sizes_get": {"ii", func(_ *Process, m Memory, a []uint64) Errno { return put32(m, a[0], 0, a[1], 0) }},

		"clock_res_get":  {"ii", clockResGet},
		"clock_time_get": {"iIi", clockTimeGet},
		"poll_oneoff":    {"iiii", pollOneoff},
		"random_get":     {"ii", randomGet},
		"sched_yield":    {"", func(p *Process, _ Memory, _ []uint64) Errno { p.host.Yield(); return Success }},
		Exit:             {"i", func(p *Process, _ Memory, a []uint64) Errno { p.host.Exit(uint32(a[0])); return Success }},
		"proc_raise":     {"i", procRaise},

		"fd_read":   {"iiii", fdRead},
		"fd_write":  {"iiii", fdWrite},
		"fd_pread":  {"iiiIi", onStream(Espipe)},
		"fd_pwrite": {"iiiIi", onStream(Espipe)},
		"fd_seek":   {"iIii", fdSeek},
		"fd_tell":   {"ii", onStream(Espipe)},

		"fd_advise":             {"iIIi", fdAdvise},
		"fd_allocate":           {"iII", onStream(Espipe)},
		"fd_close":              {"i", fdClose},
		"fd_datasync":           {"i", onStream(Success)}, // writes are complete
		"fd_sync":               {"i", onStream(Success)},
		"fd_fdstat_get":         {"ii", fdFdstatGet},
		"fd_fdstat_set_flags":   {"ii", fdFdstatSetFlags},
		"fd_fdstat_set_rights":  {"iII", fdFdstatSetRights},
		"fd_filestat_get":       {"ii", fdFilestatGet},
		"fd_filestat_set_size":  {"iI", onStream(Einval)},
		"fd_filestat_set_times": {"iIIi", onStream(Enotcapable)},
		"fd_prestat_get":        {"ii", badf},
		"fd_prestat_dir_name":   {"iii", badf},
		"fd_readdir":            {"iiiIi", onStream(Enotdir)},
		"fd_renumber":           {"ii", fdRenumber},

		"path_create_directory":   {"iii", onStream(Enotdir)},
		"path_filestat_get":       {"iiiii", onStream(Enotdir)},
		"path_filestat_set_times": {"iiiiIIi", onStream(Enotdir)},
		"path_link":               {"iiiiiii", onStream(Enotdir)},
		"path_open":               {"iiiiiIIii", onStream(Enotdir)},
		"path_readlink":           {"iiiiii", onStream(Enotdir)},
		"path_remove_directory":   {"iii", onStream(Enotdir)},
		"path_rename":             {"iiiiii", onStream(Enotdir)},
		"path_symlink":            {"iiiii", pathSymlink},
		"path_unlink_file":        {"iii", onStream(Enotdir)},

		"sock_accept":   {"iii", onStream(Enotsock)},
		"sock_recv":     {"iiiiii", onStream(Enotsock)},
		"sock_send":     {"iiiii", onStream(Enotsock)},
		"sock_shutdown": {"ii", onStream(Enotsock)},
	}
}

// Errno is an error of preview 1.
type Errno uint16

// The errors that functions return.
const (
	Success     Errno = 0
	Ebadf       Errno = 8
	Efault      Errno = 21
	Einval      Errno = 28
	Eio         Errno = 29
	Enosys      Errno = 52
	Enotdir     Errno = 54
	Enotsock    Errno = 57
	Espipe      Errno = 70
	Enotcapable Errno = 76
)

// onStream returns errno for an open descriptor, its first argument.
func onStream(errno Errno) func(*Process, Memory, []uint64) Errno {
	return func(p *Process, _ Memory, a []uint64) Errno {
		if p.file(a[0]) == nil {
			return Ebadf
		}
		return errno
	}
}

func badf(*Process, Memory, []uint64) Errno { return Ebadf }

// pathSymlink is path_symlink: (old_path, old_path_len, fd, new_path, new_path_len) -> errno.
func pathSymlink(p *Process, m Memory, a []uint64) Errno { return onStream(Enotdir)(p, m, a[2:]) }

// argsSizesGet is args_sizes_get: (count, bytes) -> errno.
func argsSizesGet(p *Process, m Memory, a []uint64) Errno {
	size := 0
	for _, arg := range p.args {
		size += len(arg) + 1
	}
	return put32(m, a[0], uint32(len(p.args)), a[1], uint32(size))
}

// argsGet is args_get: (pointers, bytes) -> errno. Each argument ends with a zero byte.
func argsGet(p *Process, m Memory, a []uint64) Errno {
	pointers, at := uint32(a[0]), uint32(a[1])
	for i, arg := range p.args {
		p.host.Charge(len(arg))
		pointer, ok := m.Read(pointers+4*uint32(i), 4)
		text, ok2 := m.Read(at, uint32(len(arg)+1))
		if !ok || !ok2 {
			return Efault
		}
		le.PutUint32(pointer, at)
		text[copy(text, arg)] = 0
		at += uint32(len(text))
	}
	return Success
}

// randomGet is random_get: (buf, len) -> errno.
func randomGet(p *Process, m Memory, a []uint64) Errno {
	buf, ok := m.Read(uint32(a[0]), uint32(a[1]))
	if !ok {
		return Efault
	}
	if _, err := io.ReadFull(p.random, buf); err != nil {
		return Eio
	}
	p.host.Charge(len(buf))
	return Success
}

// maxSignal is the highest signal of preview 1.
const maxSignal = 30

// procRaise is proc_raise: (signal) -> errno. There are no signals; signal 0 has no effect.
func procRaise(_ *Process, _ Memory, a []uint64) Errno {
	switch signal := uint32(a[0]); {
	case signal == 0:
		return Success
	case signal > maxSignal:
		return Einval
	}
	return Enosys
}
