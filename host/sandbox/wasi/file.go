package wasi

import "encoding/binary"

var le = binary.LittleEndian

// maxVector bounds the pieces of one read or write, like IOV_MAX of Linux: a call with more
// processes the first ones and returns how many bytes they have, which every caller must
// expect.
const maxVector = 1024

// stream is the stream of a descriptor.
type stream uint8

const (
	closed stream = iota
	stdin
	stdout
	stderr
)

// Rights of a descriptor.
const (
	rightDatasync       = 1 << 0
	rightRead           = 1 << 1
	rightFdstatSetFlags = 1 << 3
	rightSync           = 1 << 4
	rightWrite          = 1 << 6
	rightFilestatGet    = 1 << 21
	rightPoll           = 1 << 27
)

// rights returns the initial rights of a stream, which exclude seek and tell.
func (s stream) rights() uint64 {
	const each = rightFdstatSetFlags | rightFilestatGet | rightPoll
	switch s {
	case stdin:
		return each | rightRead
	case stdout, stderr:
		return each | rightWrite | rightDatasync | rightSync
	}
	return 0
}

// Flags of a descriptor.
const (
	flagAppend   = 1 << 0
	flagNonblock = 1 << 2
)

// typeUnknown is the type of the streams. Preview 1 has none for pipes; a library treats a
// character device as a terminal.
const typeUnknown = 0

// file is a descriptor.
type file struct {
	stream stream
	flags  uint16 // without effect: the streams never block
	rights uint64
}

// file returns an open descriptor, or nil.
func (p *Process) file(fd uint64) *file {
	if n := uint32(fd); n < uint32(len(p.files)) && p.files[n].stream != closed {
		return &p.files[n]
	}
	return nil
}

// use returns the stream of an open descriptor that has a right.
func (p *Process) use(fd uint64, right uint64) (stream, Errno) {
	f := p.file(fd)
	switch {
	case f == nil || f.stream.rights()&right == 0:
		return closed, Ebadf
	case f.rights&right == 0:
		return closed, Enotcapable // the guest has dropped the right
	}
	return f.stream, Success
}

// put32 writes two numbers, each to its address.
func put32(m Memory, at1 uint64, n1 uint32, at2 uint64, n2 uint32) Errno {
	first, ok := m.Read(uint32(at1), 4)
	second, ok2 := m.Read(uint32(at2), 4)
	if !ok || !ok2 {
		return Efault
	}
	le.PutUint32(first, n1)
	le.PutUint32(second, n2)
	return Success
}

// fdRead is fd_read: (fd, pieces, count, result) -> errno.
func fdRead(p *Process, m Memory, a []uint64) Errno {
	if _, errno := p.use(a[0], rightRead); errno != Success {
		return errno
	}
	return p.pieces(m, a, func(piece []byte) (int, error) {
		n := copy(piece, p.stdin)
		p.stdin = p.stdin[n:]
		return n, nil
	})
}

// fdWrite is fd_write: (fd, pieces, count, result) -> errno.
func fdWrite(p *Process, m Memory, a []uint64) Errno {
	s, errno := p.use(a[0], rightWrite)
	if errno != Success {
		return errno
	}
	return p.pieces(m, a, p.output[s-stdout].Write)
}

// pieces calls do for each piece of a vector, until one is not processed completely, and
// stores the number of bytes. An error after some bytes is returned by the next call, where
// it occurs again.
func (p *Process) pieces(m Memory, a []uint64, do func([]byte) (int, error)) Errno {
	count := min(uint32(a[2]), maxVector)
	vector, ok := m.Read(uint32(a[1]), count*8)
	result, ok2 := m.Read(uint32(a[3]), 4)
	if !ok || !ok2 {
		return Efault
	}
	p.host.Charge(len(vector))
	total := uint32(0)
	for ; len(vector) > 0; vector = vector[8:] {
		size := le.Uint32(vector[4:])
		if size == 0 {
			continue
		}
		errno := Efault
		if piece, ok := m.Read(le.Uint32(vector), size); ok {
			n, err := do(piece)
			p.host.Charge(n)
			total += uint32(n)
			if err == nil && n == len(piece) {
				continue
			}
			if errno = Success; err != nil {
				errno = Eio
			}
		}
		if errno != Success && total == 0 {
			return errno
		}
		break
	}
	le.PutUint32(result, total)
	return Success
}

// fdSeek is fd_seek: (fd, offset, whence, result) -> errno.
func fdSeek(p *Process, _ Memory, a []uint64) Errno {
	const maxWhence = 2
	switch {
	case p.file(a[0]) == nil:
		return Ebadf
	case uint32(a[2]) > maxWhence:
		return Einval
	}
	return Espipe
}

// fdAdvise is fd_advise: (fd, offset, len, advice) -> errno.
func fdAdvise(p *Process, _ Memory, a []uint64) Errno {
	const maxAdvice = 5
	switch {
	case p.file(a[0]) == nil:
		return Ebadf
	case uint32(a[3]) > maxAdvice:
		return Einval
	}
	return Espipe
}

// fdClose is fd_close: (fd) -> errno.
func fdClose(p *Process, _ Memory, a []uint64) Errno {
	f := p.file(a[0])
	if f == nil {
		return Ebadf
	}
	*f = file{}
	return Success
}

// fdRenumber is fd_renumber: (from, to) -> errno. Both are open; from replaces to, and is no
// longer open.
func fdRenumber(p *Process, _ Memory, a []uint64) Errno {
	from, to := p.file(a[0]), p.file(a[1])
	if from == nil || to == nil {
		return Ebadf
	}
	if from != to {
		*to, *from = *from, file{}
	}
	return Success
}

// fdFdstatGet is fd_fdstat_get: (fd, result) -> errno.
func fdFdstatGet(p *Process, m Memory, a []uint64) Errno {
	f := p.file(a[0])
	if f == nil {
		return Ebadf
	}
	stat, ok := m.Read(uint32(a[1]), 24)
	if !ok {
		return Efault
	}
	clear(stat)
	stat[0] = typeUnknown
	le.PutUint16(stat[2:], f.flags)
	le.PutUint64(stat[8:], f.rights) // there is nothing to open with inherited rights
	return Success
}

// fdFdstatSetFlags is fd_fdstat_set_flags: (fd, flags) -> errno.
func fdFdstatSetFlags(p *Process, _ Memory, a []uint64) Errno {
	if _, errno := p.use(a[0], rightFdstatSetFlags); errno != Success {
		return errno
	}
	if flags := uint32(a[1]); flags&^(flagAppend|flagNonblock) != 0 {
		return Einval
	}
	p.file(a[0]).flags = uint16(a[1])
	return Success
}

// fdFdstatSetRights is fd_fdstat_set_rights: (fd, base, inheriting) -> errno.
// Rights can only be dropped.
func fdFdstatSetRights(p *Process, _ Memory, a []uint64) Errno {
	f := p.file(a[0])
	switch {
	case f == nil:
		return Ebadf
	case a[1]&^f.rights != 0 || a[2] != 0:
		return Enotcapable
	}
	f.rights = a[1]
	return Success
}

// fdFilestatGet is fd_filestat_get: (fd, result) -> errno. The streams have
// different inodes, so that a program does not mistake its input for its output.
func fdFilestatGet(p *Process, m Memory, a []uint64) Errno {
	s, errno := p.use(a[0], rightFilestatGet)
	if errno != Success {
		return errno
	}
	stat, ok := m.Read(uint32(a[1]), 64)
	if !ok {
		return Efault
	}
	clear(stat)
	le.PutUint64(stat[8:], uint64(s)) // the inode
	stat[16] = typeUnknown
	le.PutUint64(stat[24:], 1) // one link
	return Success
}
