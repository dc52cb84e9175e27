package wasi_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/berth-host/berth/host/sandbox/wasi"
)

// guest is a Process with a memory, and a Host whose clock only advances when the guest
// sleeps.
type guest struct {
	wasi.Process
	memory         memory
	now            time.Duration
	slept          []time.Duration
	yields         int
	charged        int
	stdout, stderr quota
}

type memory []byte

func (m memory) Read(offset, size uint32) ([]byte, bool) {
	if end := uint64(offset) + uint64(size); end <= uint64(len(m)) {
		return m[offset:end:end], true
	}
	return nil, false
}

// quota keeps up to 100 bytes.
type quota struct{ bytes.Buffer }

func (q *quota) Write(p []byte) (int, error) {
	if q.Len()+len(p) > 100 {
		return 0, errors.New("too much")
	}
	return q.Buffer.Write(p)
}

func (g *guest) Monotonic() time.Duration { return g.now }
func (g *guest) Realtime() time.Time      { return time.Now() }
func (g *guest) Sleep(d time.Duration)    { g.slept = append(g.slept, d); g.now += d }
func (g *guest) Yield()                   { g.yields++ }
func (g *guest) Charge(n int)             { g.charged += n }
func (g *guest) Exit(code uint32)         { panic(code) }

const size = 1 << 16

func newGuest(stdin string) *guest {
	g := &guest{memory: bytes.Repeat([]byte{0xaa}, size), now: 5 * time.Second}
	g.Process = wasi.New(wasi.Config{Host: g, Args: []string{"one", "second"}, Stdin: stdin, Stdout: &g.stdout, Stderr: &g.stderr,
		Random: strings.NewReader("random bytes")})
	return g
}

// call calls a function and returns its error.
func (g *guest) call(t testing.TB, name string, args ...uint64) wasi.Errno {
	t.Helper()
	f, ok := wasi.Functions()[name]
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	if len(args) != len(f.Params) {
		t.Fatalf("%s has the parameters %s", name, f.Params)
	}
	return f.Call(&g.Process, g.memory, args)
}

func (g *guest) u32(at int) uint32 { return binary.LittleEndian.Uint32(g.memory[at:]) }
func (g *guest) u64(at int) uint64 { return binary.LittleEndian.Uint64(g.memory[at:]) }

// put writes numbers of four bytes.
func (g *guest) put(at int, numbers ...uint32) {
	for i, n := range numbers {
		binary.LittleEndian.PutUint32(g.memory[at+4*i:], n)
	}
}

const (
	success, badf, fault, inval, io, nosys, notdir, notsock, spipe, notcapable = 0, 8, 21, 28, 29, 52, 54, 57, 70, 76

	none = 1<<32 - 1 // as a descriptor or an address
)

// TestErrors calls each function on each kind of descriptor.
func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []uint64 // 99 stands for the descriptor
		in   wasi.Errno
		out  wasi.Errno
		none wasi.Errno
	}{
		{"fd_advise", []uint64{99, 0, 0, 5}, spipe, spipe, badf},
		{"fd_advise", []uint64{99, 0, 0, 6}, inval, inval, badf},
		{"fd_allocate", []uint64{99, 0, 1}, spipe, spipe, badf},
		{"fd_datasync", []uint64{99}, success, success, badf},
		{"fd_sync", []uint64{99}, success, success, badf},
		{"fd_seek", []uint64{99, 0, 0, 8}, spipe, spipe, badf},
		{"fd_seek", []uint64{99, 0, 2, 8}, spipe, spipe, badf},
		{"fd_seek", []uint64{99, 0, 3, 8}, inval, inval, badf},
		{"fd_tell", []uint64{99, 8}, spipe, spipe, badf},
		{"fd_pread", []uint64{99, 0, 0, 0, 8}, spipe, spipe, badf},
		{"fd_pwrite", []uint64{99, 0, 0, 0, 8}, spipe, spipe, badf},
		{"fd_read", []uint64{99, 0, 0, 8}, success, badf, badf},
		{"fd_write", []uint64{99, 0, 0, 8}, badf, success, badf},
		{"fd_read", []uint64{99, 0, 0, size - 3}, fault, badf, badf},
		{"fd_write", []uint64{99, 0, 0, size - 3}, badf, fault, badf},
		{"fd_read", []uint64{99, size - 7, 1, 8}, fault, badf, badf},
		{"fd_fdstat_get", []uint64{99, size - 24}, success, success, badf},
		{"fd_fdstat_get", []uint64{99, size - 23}, fault, fault, badf},
		{"fd_fdstat_set_flags", []uint64{99, 5}, success, success, badf},
		{"fd_fdstat_set_flags", []uint64{99, 2}, inval, inval, badf},
		{"fd_fdstat_set_flags", []uint64{99, 8}, inval, inval, badf},
		{"fd_fdstat_set_flags", []uint64{99, 16}, inval, inval, badf},
		{"fd_fdstat_set_flags", []uint64{99, 1 << 16}, inval, inval, badf},
		{"fd_fdstat_set_rights", []uint64{99, 1 << 2, 0}, notcapable, notcapable, badf},
		{"fd_fdstat_set_rights", []uint64{99, 0, 1}, notcapable, notcapable, badf},
		{"fd_filestat_get", []uint64{99, size - 64}, success, success, badf},
		{"fd_filestat_get", []uint64{99, size - 63}, fault, fault, badf},
		{"fd_filestat_set_size", []uint64{99, 0}, inval, inval, badf},
		{"fd_filestat_set_times", []uint64{99, 0, 0, 0}, notcapable, notcapable, badf},
		{"fd_prestat_get", []uint64{99, 8}, badf, badf, badf},
		{"fd_prestat_dir_name", []uint64{99, 8, 1}, badf, badf, badf},
		{"fd_readdir", []uint64{99, 0, 0, 0, 8}, notdir, notdir, badf},
		{"path_create_directory", []uint64{99, 0, 1}, notdir, notdir, badf},
		{"path_filestat_get", []uint64{99, 0, 0, 1, 8}, notdir, notdir, badf},
		{"path_filestat_set_times", []uint64{99, 0, 0, 1, 0, 0, 0}, notdir, notdir, badf},
		{"path_link", []uint64{99, 0, 0, 1, 0, 0, 1}, notdir, notdir, badf},
		{"path_open", []uint64{99, 0, 0, 1, 0, 0, 0, 0, 8}, notdir, notdir, badf},
		{"path_readlink", []uint64{99, 0, 1, 0, 1, 8}, notdir, notdir, badf},
		{"path_remove_directory", []uint64{99, 0, 1}, notdir, notdir, badf},
		{"path_rename", []uint64{99, 0, 1, 0, 0, 1}, notdir, notdir, badf},
		{"path_symlink", []uint64{0, 1, 99, 0, 1}, notdir, notdir, badf},
		{"path_unlink_file", []uint64{99, 0, 1}, notdir, notdir, badf},
		{"sock_accept", []uint64{99, 0, 8}, notsock, notsock, badf},
		{"sock_recv", []uint64{99, 0, 0, 0, 8, 16}, notsock, notsock, badf},
		{"sock_send", []uint64{99, 0, 0, 0, 8}, notsock, notsock, badf},
		{"sock_shutdown", []uint64{99, 3}, notsock, notsock, badf},
		{"fd_close", []uint64{99}, success, success, badf},
		{"fd_renumber", []uint64{99, 2}, success, success, badf},
		{"fd_renumber", []uint64{2, 99}, success, success, badf},
	} {
		for fd, want := range map[uint64]wasi.Errno{0: tt.in, 1: tt.out, 2: tt.out, 3: tt.none, none: tt.none} {
			g := newGuest("x")
			args := append([]uint64(nil), tt.args...)
			for i := range args {
				if args[i] == 99 {
					args[i] = fd
				}
			}
			if got := g.call(t, tt.name, args...); got != want {
				t.Errorf("%s%v = %d, want %d", tt.name, args, got, want)
			}
		}
	}
}

func TestArgumentsAndEnvironment(t *testing.T) {
	g := newGuest("")
	if errno := g.call(t, "args_sizes_get", 0, 4); errno != 0 || g.u32(0) != 2 || g.u32(4) != 11 {
		t.Errorf("args_sizes_get = %d: %d arguments, %d bytes", errno, g.u32(0), g.u32(4))
	}
	at := size - 11
	if errno := g.call(t, "args_get", 8, uint64(at)); errno != 0 || string(g.memory[at:]) != "one\x00second\x00" ||
		g.u32(8) != uint32(at) || g.u32(12) != uint32(at+4) || g.u32(16) != 0xaaaaaaaa {
		t.Errorf("args_get = %d: %q, at %d and %d", errno, g.memory[at:], g.u32(8), g.u32(12))
	}
	if g.charged != len("onesecond") {
		t.Errorf("charged for %d bytes", g.charged)
	}
	for _, args := range [][]uint64{{0, uint64(at + 1)}, {size - 7, 0}, {none, 0}} {
		if errno := g.call(t, "args_get", args...); errno != fault {
			t.Errorf("args_get%v = %d", args, errno)
		}
	}
	if errno := g.call(t, "environ_sizes_get", 100, 104); errno != 0 || g.u64(100) != 0 {
		t.Errorf("environ_sizes_get = %d: %d", errno, g.u64(100))
	}
	if errno := g.call(t, "environ_get", 200, 204); errno != 0 || g.u32(200) != 0xaaaaaaaa {
		t.Errorf("environ_get = %d", errno)
	}
	for _, name := range []string{"args_sizes_get", "environ_sizes_get"} {
		if a, b := g.call(t, name, size-3, 0), g.call(t, name, 0, size-3); a != fault || b != fault {
			t.Errorf("%s out of bounds: %d, %d", name, a, b)
		}
	}
}

func TestClocks(t *testing.T) {
	g := newGuest("")
	g.now += 3 * time.Second
	for id, want := range []uint64{0, 8e9, 3e9, 3e9} {
		before := time.Now()
		if errno := g.call(t, "clock_time_get", uint64(id), 1e9, size-8); errno != 0 || id > 0 && g.u64(size-8) != want {
			t.Errorf("clock %d: %d, %d", id, errno, g.u64(size-8))
		}
		if now := time.Unix(0, int64(g.u64(size-8))); id == 0 && (now.Before(before) || now.After(time.Now())) {
			t.Errorf("the time of day is %v", now)
		}
		if errno := g.call(t, "clock_res_get", uint64(id), size-8); errno != 0 || g.u64(size-8) != 1 {
			t.Errorf("resolution of clock %d: %d, %d", id, errno, g.u64(size-8))
		}
		if a, b := g.call(t, "clock_time_get", uint64(id), 0, size-7), g.call(t, "clock_res_get", uint64(id), size-7); a != fault || b != fault {
			t.Errorf("clock %d out of bounds: %d, %d", id, a, b)
		}
	}
	for _, id := range []uint64{4, none} {
		if a, b := g.call(t, "clock_time_get", id, 0, 0), g.call(t, "clock_res_get", id, 0); a != inval || b != inval {
			t.Errorf("clock %d: %d, %d", id, a, b)
		}
	}
}

func TestRandomExitYieldAndRaise(t *testing.T) {
	g := newGuest("")
	if errno := g.call(t, "random_get", size-6, 6); errno != 0 || string(g.memory[size-6:]) != "random" || g.charged != 6 {
		t.Errorf("random_get = %d: %q, charged %d", errno, g.memory[size-6:], g.charged)
	}
	if a, b := g.call(t, "random_get", size-5, 6), g.call(t, "random_get", 0, 7); a != fault || b != io {
		t.Errorf("out of bounds: %d; more than there is: %d", a, b)
	}
	if errno := g.call(t, "sched_yield"); errno != 0 || g.yields != 1 {
		t.Errorf("sched_yield = %d, %d times", errno, g.yields)
	}
	for signal, want := range map[uint64]wasi.Errno{0: success, 1: nosys, 30: nosys, 31: inval, none: inval} {
		if errno := g.call(t, "proc_raise", signal); errno != want {
			t.Errorf("proc_raise(%d) = %d, want %d", signal, errno, want)
		}
	}
	defer func() {
		if code := recover(); code != uint32(math.MaxUint32) {
			t.Errorf("it exited with %v", code)
		}
	}()
	g.call(t, wasi.Exit, none)
}

func TestReadAndWriteVectors(t *testing.T) {
	g := newGuest("0123456789")
	g.put(0, 100, 3, 0, 0, 200, 4, 300, 10) // pieces
	if errno := g.call(t, "fd_read", 0, 0, 4, size-4); errno != 0 || g.u32(size-4) != 10 ||
		string(g.memory[100:104]) != "012\xaa" || string(g.memory[200:205]) != "3456\xaa" || string(g.memory[300:304]) != "789\xaa" {
		t.Errorf("fd_read = %d, %d bytes", errno, g.u32(size-4))
	}
	if errno := g.call(t, "fd_read", 0, 0, 4, 50); errno != 0 || g.u32(50) != 0 {
		t.Errorf("fd_read at the end = %d, %d bytes", errno, g.u32(50))
	}
	if g.charged != 2*4*8+10 {
		t.Errorf("charged for %d bytes", g.charged)
	}
	for fd, out := range map[uint64]*quota{1: &g.stdout, 2: &g.stderr} {
		if errno := g.call(t, "fd_write", fd, 0, 3, 50); errno != 0 || g.u32(50) != 7 || out.String() != "0123456" {
			t.Errorf("fd_write(%d) = %d, %d bytes: %q", fd, errno, g.u32(50), out)
		}
	}
	// A failing piece ends a call after others, and fails a call that starts with it.
	g.put(0, 100, 3, 400, 91, 100, 3)
	if errno := g.call(t, "fd_write", 1, 0, 3, 50); errno != 0 || g.u32(50) != 3 || g.stdout.Len() != 10 {
		t.Errorf("a piece over the quota: %d, %d bytes of %d", errno, g.u32(50), g.stdout.Len())
	}
	if errno := g.call(t, "fd_write", 1, 8, 2, 50); errno != io || g.stdout.Len() != 10 {
		t.Errorf("over the quota at once: %d, %d", errno, g.stdout.Len())
	}
	g.put(0, 100, 3, size-2, 3)
	if errno := g.call(t, "fd_write", 1, 0, 2, 50); errno != 0 || g.u32(50) != 3 {
		t.Errorf("a piece out of bounds: %d, %d bytes", errno, g.u32(50))
	}
	if errno := g.call(t, "fd_write", 1, 8, 1, 50); errno != fault {
		t.Errorf("out of bounds at once: %d", errno)
	}
}

// TestLongVectorIsProcessedInParts: 1,024 pieces per call.
func TestLongVectorIsProcessedInParts(t *testing.T) {
	for count, want := range map[uint64]uint32{1023: 1023, 1024: 1024, 1025: 1024, 1 << 29: 1024} {
		g := newGuest(strings.Repeat("x", 2000))
		for i := range 1100 {
			g.put(i*8, 60000, 1)
		}
		if errno := g.call(t, "fd_read", 0, 0, count, 9000); errno != 0 || g.u32(9000) != want {
			t.Errorf("%d pieces: %d, %d bytes; want %d", count, errno, g.u32(9000), want)
		}
	}
}

func TestDescriptorsCloseAndMove(t *testing.T) {
	g := newGuest("in")
	g.put(0, 100, 1)
	if a, b := g.call(t, "fd_close", 0), g.call(t, "fd_close", 0); a != 0 || b != badf {
		t.Errorf("fd_close twice: %d, %d", a, b)
	}
	if errno := g.call(t, "fd_read", 0, 0, 1, 50); errno != badf {
		t.Errorf("read of a closed one: %d", errno)
	}
	if errno := g.call(t, "fd_renumber", 0, 1); errno != badf {
		t.Errorf("renumber a closed one: %d", errno)
	}
	if errno := g.call(t, "fd_renumber", 1, 0); errno != badf {
		t.Errorf("renumber to a closed one: %d", errno)
	}
	if errno := g.call(t, "fd_renumber", 2, 1); errno != 0 {
		t.Errorf("renumber: %d", errno)
	}
	if a, b := g.call(t, "fd_write", 1, 0, 1, 50), g.call(t, "fd_write", 2, 0, 1, 50); a != 0 || b != badf || g.stderr.Len() != 1 || g.stdout.Len() != 0 {
		t.Errorf("descriptor 1 is stderr, 2 closed: %d, %d", a, b)
	}
	if a, b := g.call(t, "fd_renumber", 1, 1), g.call(t, "fd_write", 1, 0, 1, 50); a != 0 || b != 0 {
		t.Errorf("renumber to itself: %d, then %d", a, b)
	}
}

func TestStatus(t *testing.T) {
	const each, in, out = 1<<3 | 1<<21 | 1<<27, 1 << 1, 1<<6 | 1<<0 | 1<<4
	g := newGuest("in")
	inodes := map[uint64]bool{}
	for fd, rights := range []uint64{each | in, each | out, each | out} {
		if errno := g.call(t, "fd_fdstat_get", uint64(fd), 0); errno != 0 || g.u64(0) != 0 || g.u64(8) != rights || g.u64(16) != 0 || g.memory[24] != 0xaa {
			t.Errorf("fdstat of %d: %d, % x", fd, errno, g.memory[:25])
		}
		if errno := g.call(t, "fd_filestat_get", uint64(fd), 100); errno != 0 || g.u64(100) != 0 || g.u64(116) != 0 || g.u64(124) != 1 ||
			g.u64(132)|g.u64(140)|g.u64(148)|g.u64(156) != 0 || g.memory[164] != 0xaa {
			t.Errorf("filestat of %d: %d, % x", fd, errno, g.memory[100:165])
		}
		inodes[g.u64(108)] = true
	}
	if len(inodes) != 3 {
		t.Errorf("the streams have the inodes %v", inodes)
	}
	for _, flags := range []uint64{4, 1, 5, 0} {
		if errno := g.call(t, "fd_fdstat_set_flags", 1, flags); errno != 0 {
			t.Errorf("flags %d: %d", flags, errno)
		}
		if g.call(t, "fd_fdstat_get", 1, 0); g.u64(0) != flags<<16 {
			t.Errorf("flags %d: % x", flags, g.memory[:8])
		}
	}
	// A right that was given away is gone.
	g.put(200, 300, 1)
	if a, b := g.call(t, "fd_fdstat_set_rights", 0, each, 0), g.call(t, "fd_read", 0, 200, 1, 50); a != 0 || b != notcapable {
		t.Errorf("without the right to read: %d, then %d", a, b)
	}
	if errno := g.call(t, "fd_fdstat_set_rights", 0, each|in, 0); errno != notcapable {
		t.Errorf("taking it back: %d", errno)
	}
	if g.call(t, "fd_fdstat_get", 0, 0); g.u64(8) != each {
		t.Errorf("rights % x", g.u64(8))
	}
}

// subscription is one of poll_oneoff, without the mark.
type subscription struct {
	kind    byte
	id      uint32 // of a clock, or the descriptor
	timeout uint64
	flags   uint16
}

func (g *guest) poll(t *testing.T, subs ...subscription) (wasi.Errno, []string) {
	t.Helper()
	const in, out = 1000, 20000
	for i, s := range subs {
		b := g.memory[in+48*i:][:48]
		clear(b)
		b[0], b[7], b[8] = byte('a'+i), 'z', s.kind
		binary.LittleEndian.PutUint32(b[16:], s.id)
		binary.LittleEndian.PutUint64(b[24:], s.timeout)
		binary.LittleEndian.PutUint16(b[40:], s.flags)
	}
	g.put(50, 0)
	errno := g.call(t, "poll_oneoff", in, out, uint64(len(subs)), 50)
	var events []string
	for i := range int(g.u32(50)) {
		e := g.memory[out+32*i:][:32]
		events = append(events, strings.Trim(string(e[:8]), "\x00")+" "+string(rune('0'+e[10]))+
			" "+string(rune('0'+binary.LittleEndian.Uint16(e[8:])))+" "+string(rune('0'+e[24])))
	}
	return errno, events
}

func TestPoll(t *testing.T) {
	const second = uint64(time.Second)
	now := uint64(5 * time.Second)
	stdin, stdout, stdoutIn, none := subscription{kind: 1}, subscription{kind: 2, id: 1}, subscription{kind: 1, id: 1}, subscription{kind: 1, id: 3}
	in := func(d uint64) subscription { return subscription{id: 1, timeout: d} }
	at := func(id uint32, d uint64) subscription { return subscription{id: id, timeout: d, flags: 1} }
	for _, tt := range []struct {
		name   string
		subs   []subscription
		errno  wasi.Errno
		slept  time.Duration
		events string // mark, kind, error, flags
	}{
		{"a clock", []subscription{in(second)}, 0, time.Second, "a 0 0 0"},
		{"no time", []subscription{in(0)}, 0, 0, "a 0 0 0"},
		{"the earlier of two", []subscription{in(2 * second), in(second)}, 0, time.Second, "b 0 0 0"},
		{"two at once", []subscription{in(second), in(second)}, 0, time.Second, "a 0 0 0, b 0 0 0"},
		{"a moment", []subscription{at(1, now+second)}, 0, time.Second, "a 0 0 0"},
		{"a moment that has passed", []subscription{at(1, now-1)}, 0, 0, "a 0 0 0"},
		{"a moment of the process", []subscription{at(2, second)}, 0, time.Second, "a 0 0 0"},
		{"a moment of the thread", []subscription{at(3, second)}, 0, time.Second, "a 0 0 0"},
		{"long ago", []subscription{at(0, 1)}, 0, 0, "a 0 0 0"},
		{"for ever", []subscription{in(math.MaxUint64)}, 0, math.MaxInt64 - 1, "a 0 0 0"},
		{"stdin and a clock", []subscription{in(second), stdin}, 0, 0, "b 1 0 0"},
		{"stdin and no time", []subscription{in(0), stdin}, 0, 0, "a 0 0 0, b 1 0 0"},
		{"streams", []subscription{stdin, stdout, {kind: 2, id: 2}}, 0, 0, "a 1 0 0, b 2 0 0, c 2 0 0"},
		{"the wrong way", []subscription{stdoutIn, {kind: 2}, none}, 0, 0, "a 1 8 0, b 2 8 0, c 1 8 0"},
		{"no such clock", []subscription{{id: 4, timeout: 1}}, inval, 0, ""},
		{"no such flag", []subscription{{id: 1, timeout: 1, flags: 2}}, inval, 0, ""},
		{"no such kind", []subscription{stdin, {kind: 3}}, inval, 0, ""},
		{"nothing", nil, inval, 0, ""},
	} {
		g := newGuest("x")
		errno, events := g.poll(t, tt.subs...)
		for i := range events {
			events[i] = strings.Replace(events[i], "\x00\x00\x00\x00\x00\x00z", "", 1)
		}
		var slept time.Duration
		for _, d := range g.slept {
			slept += d
		}
		if got := strings.Join(events, ", "); errno != tt.errno || got != tt.events || slept != tt.slept || slept == 0 && g.slept != nil {
			t.Errorf("%s: %d, %q, slept %v; want %d, %q, %v", tt.name, errno, got, g.slept, tt.errno, tt.events, tt.slept)
		}
	}
}

func TestPollReportsReadableBytes(t *testing.T) {
	g := newGuest("12345")
	if g.poll(t, subscription{kind: 1}); g.u64(20016) != 5 || g.memory[20024] != 0 {
		t.Errorf("%d bytes, flags %d", g.u64(20016), g.memory[20024])
	}
	if g.poll(t, subscription{kind: 2, id: 1}); g.u64(20016) != 65536 || g.memory[20024] != 0 {
		t.Errorf("%d bytes, flags %d", g.u64(20016), g.memory[20024])
	}
	g.put(0, 100, 5)
	g.call(t, "fd_read", 0, 0, 1, 50)
	if g.poll(t, subscription{kind: 1}); g.u64(20016) != 0 || g.memory[20024] != 1 {
		t.Errorf("at the end %d bytes, flags %d", g.u64(20016), g.memory[20024])
	}
	g.call(t, "fd_close", 0)
	if g.poll(t, subscription{kind: 1}); g.memory[20008] != badf || g.u64(20016) != 0 || g.memory[20024] != 0 {
		t.Errorf("closed: % x", g.memory[20000:20032])
	}
}

func TestPollBounds(t *testing.T) {
	g := newGuest("x")
	clear(g.memory)
	for count, want := range map[uint64]wasi.Errno{0: inval, 1: success, 1024: success, 1025: inval, 89478486: inval} {
		g.charged = 0
		if errno := g.call(t, "poll_oneoff", 0, 0, count, size-4); errno != want {
			t.Errorf("%d subscriptions: %d, want %d", count, errno, want)
		}
		if want == success && g.charged != int(count)*80 {
			t.Errorf("%d subscriptions are charged as %d bytes", count, g.charged)
		}
		clear(g.memory)
	}
	for _, args := range [][]uint64{{size - 47, 0, 1, 0}, {0, size - 31, 1, 0}, {0, 0, 1, size - 3}} {
		if errno := g.call(t, "poll_oneoff", args...); errno != fault {
			t.Errorf("poll_oneoff%v = %d", args, errno)
		}
	}
}

// FuzzCalls calls any function with any arguments: it returns, and accesses
// nothing outside the memory.
func FuzzCalls(f *testing.F) {
	names := make([]string, 0, 64)
	for name := range wasi.Functions() {
		if name != wasi.Exit {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	f.Add([]byte("some calls, one after another, with the arguments that these bytes are"))
	f.Fuzz(func(t *testing.T, calls []byte) {
		g := newGuest("input")
		g.memory = append(memory(nil), calls...)
		for len(calls) > 0 {
			name := names[int(calls[0])%len(names)]
			calls = calls[1:]
			args := make([]uint64, len(wasi.Functions()[name].Params))
			for i := range args {
				if len(calls) > 0 {
					args[i], calls = uint64(int64(int8(calls[0])))&none, calls[1:]
				}
			}
			g.call(t, name, args...)
		}
	})
}
