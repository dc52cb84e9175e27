package wasi

import (
	"math"
	"time"
)

// Clocks of preview 1.
const (
	clockRealtime  = 0
	clockMonotonic = 1
	clockProcess   = 2
	clockThread    = 3
)

// clock returns the time of a clock in nanoseconds; false if it does not exist. The clocks
// of process and thread count since the guest started, like the C library's emulation.
func (p *Process) clock(id uint64) (ns uint64, ok bool) {
	switch uint32(id) {
	case clockRealtime:
		return uint64(p.host.Realtime().UnixNano()), true
	case clockMonotonic:
		return uint64(p.host.Monotonic()), true
	case clockProcess, clockThread:
		return uint64(p.host.Monotonic() - p.began), true
	}
	return 0, false
}

// clockResGet is clock_res_get: (id, result) -> errno.
func clockResGet(p *Process, m Memory, a []uint64) Errno {
	if _, ok := p.clock(a[0]); !ok {
		return Einval
	}
	return put64(m, a[1], 1)
}

// clockTimeGet is clock_time_get: (id, precision, result) -> errno. It ignores the
// precision.
func clockTimeGet(p *Process, m Memory, a []uint64) Errno {
	ns, ok := p.clock(a[0])
	if !ok {
		return Einval
	}
	return put64(m, a[2], ns)
}

func put64(m Memory, at uint64, n uint64) Errno {
	b, ok := m.Read(uint32(at), 8)
	if !ok {
		return Efault
	}
	le.PutUint64(b, n)
	return Success
}

// Layout of a subscription and of an event, in bytes, their types, and flags.
const (
	subscriptionSize = 48
	eventSize        = 32

	eventClock = 0
	eventRead  = 1
	eventWrite = 2

	absolute = 1 // of a clock's subscription: the time is absolute
	hangup   = 1 // of an event: the stream has ended

	writable = 64 << 10 // reported capacity of an output stream, in bytes
)

// pollOneoff is poll_oneoff: (subscriptions, events, count, result) -> errno. The
// streams are always ready; the guest sleeps if it only waits for clocks.
func pollOneoff(p *Process, m Memory, a []uint64) Errno {
	count := uint32(a[2])
	if count == 0 || count > maxVector {
		return Einval
	}
	subs, ok := m.Read(uint32(a[0]), count*subscriptionSize)
	events, ok2 := m.Read(uint32(a[1]), count*eventSize)
	result, ok3 := m.Read(uint32(a[3]), 4)
	if !ok || !ok2 || !ok3 {
		return Efault
	}
	p.host.Charge(len(subs) + len(events))
	subs = append([]byte(nil), subs...) // events may overlap them
	waits := make([]time.Duration, count)
	wait := time.Duration(math.MaxInt64)
	for i := range waits {
		s := subs[i*subscriptionSize:]
		switch s[8] {
		case eventClock:
			if waits[i], ok = p.until(s); !ok {
				return Einval
			}
		case eventRead, eventWrite:
		default:
			return Einval
		}
		wait = min(wait, waits[i])
	}
	if wait > 0 {
		p.host.Sleep(wait)
	}
	clear(events)
	happened := uint32(0)
	for i := range waits {
		if waits[i] > wait {
			continue // it is not due
		}
		s, e := subs[i*subscriptionSize:], events[happened*eventSize:]
		copy(e, s[:8]) // the guest's user data
		e[10] = s[8]
		if s[8] != eventClock {
			p.ready(e, s[8], uint64(le.Uint32(s[16:])))
		}
		happened++
	}
	le.PutUint32(result, happened)
	return Success
}

// until returns the time until a clock's subscription is due, at least 0; false when the
// subscription is malformed.
func (p *Process) until(s []byte) (time.Duration, bool) {
	now, ok := p.clock(uint64(le.Uint32(s[16:])))
	at := le.Uint64(s[24:])
	switch flags := le.Uint16(s[40:]); {
	case !ok || flags&^absolute != 0:
		return 0, false
	case flags == absolute:
		at -= min(at, now)
	}
	return time.Duration(min(at, math.MaxInt64-1)), true
}

// ready sets the event of a stream: its error, or how many bytes can be read or written.
func (p *Process) ready(e []byte, kind byte, fd uint64) {
	right := uint64(rightRead)
	if kind == eventWrite {
		right = rightWrite
	}
	_, errno := p.use(fd, right)
	if errno != Success {
		le.PutUint16(e[8:], uint16(errno))
		return
	}
	bytes := uint64(writable)
	if kind == eventRead {
		if bytes = uint64(len(p.stdin)); bytes == 0 {
			le.PutUint16(e[24:], hangup)
		}
	}
	le.PutUint64(e[16:], bytes)
}
