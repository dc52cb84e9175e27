// Package proxy forwards connections on loopback to another address, and breaks them as
// networks do. A Proxy stands between a host and its database.
package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Mode is what a proxy does with the bytes of its connections.
type Mode string

// Forward is a network that works. Drop swallows all bytes, of open and new connections, as a
// cut cable does: nobody is told. HalfOpen swallows only what comes back from the target, so
// that requests arrive and their answers do not. Refuse closes all connections and refuses new
// ones.
const (
	Forward  Mode = "forward"
	Drop     Mode = "drop"
	HalfOpen Mode = "half-open"
	Refuse   Mode = "refuse"
)

// Proxy forwards connections. All methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	dial     func(ctx context.Context) (net.Conn, error)

	mu      sync.Mutex
	mode    Mode
	delay   time.Duration
	changed chan struct{} // closed at a change of mode or delay
	conns   map[net.Conn]struct{}
	closed  bool
	running sync.WaitGroup
}

// New starts a proxy on loopback to the target, such as "tcp" and "127.0.0.1:5432".
func New(network, address string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, mode: Forward, changed: make(chan struct{}), conns: make(map[net.Conn]struct{}),
		dial: dialer(network, address)}
	p.running.Go(p.accept)
	return p, nil
}

func dialer(network, address string) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, network, address) }
}

// Target closes all connections, and forwards new ones to another target.
func (p *Proxy) Target(network, address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dial = dialer(network, address)
	p.closeAll()
}

// Address returns where the proxy listens, as host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Set changes the mode, for open connections too. Bytes that a mode has swallowed are lost, so
// a connection that was open through Drop or HalfOpen does not recover: it is closed at the
// next Forward, as a network does that has forgotten it.
func (p *Proxy) Set(mode Mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if mode == Refuse || mode == Forward && p.mode != Forward {
		p.closeAll()
	}
	p.mode = mode
	p.signal()
}

// Delay makes every piece of data late, in each direction.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
	p.signal()
}

func (p *Proxy) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) closeAll() {
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// Close closes all connections and waits until nothing of the proxy runs.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.closeAll()
	p.signal()
	p.mu.Unlock()
	err := p.listener.Close()
	p.running.Wait()
	return err
}

// add registers a connection; false means that it must not be used.
func (p *Proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.mode == Refuse {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) remove(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if !p.add(c) {
			c.Close()
			continue
		}
		p.running.Go(func() { p.serve(c) })
	}
}

// serve forwards one connection until one side ends it.
func (p *Proxy) serve(client net.Conn) {
	defer p.remove(client)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if p.swallows(false) { // the connection of a cut network stays without an answer
		_, _ = io.Copy(io.Discard, client)
		return
	}
	p.mu.Lock()
	dial := p.dial
	p.mu.Unlock()
	target, err := dial(ctx)
	if err != nil {
		return
	}
	if !p.add(target) {
		target.Close()
		return
	}
	defer p.remove(target)
	var both sync.WaitGroup
	both.Go(func() { p.pipe(target, client, false) })
	both.Go(func() { p.pipe(client, target, true) })
	both.Wait()
}

// swallows reports whether the mode loses bytes in a direction.
func (p *Proxy) swallows(back bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode == Drop || p.mode == HalfOpen && back
}

// pipe copies from one connection to the other until one of them is closed. Then it closes
// both; the other end learns of that only from a network that works.
func (p *Proxy) pipe(to, from net.Conn, back bool) {
	defer to.Close()
	defer p.awaitWorking(back)
	defer from.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.late() && !p.swallows(back) {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// awaitWorking waits while the mode loses bytes in a direction.
func (p *Proxy) awaitWorking(back bool) {
	for {
		p.mu.Lock()
		lost := !p.closed && (p.mode == Drop || p.mode == HalfOpen && back)
		changed := p.changed
		p.mu.Unlock()
		if !lost {
			return
		}
		<-changed
	}
}

// late waits for the delay; false means that the proxy was closed meanwhile.
func (p *Proxy) late() bool {
	p.mu.Lock()
	delay, changed, closed := p.delay, p.changed, p.closed
	p.mu.Unlock()
	if delay <= 0 || closed {
		return !closed
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	}
	return true
}
