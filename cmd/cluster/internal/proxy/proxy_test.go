package proxy_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/berth-host/berth/cmd/cluster/internal/proxy"
)

// server echoes bytes, and counts what it gets.
type server struct {
	net.Listener
	got     chan byte
	running sync.WaitGroup
}

func setup(t *testing.T) (*server, *proxy.Proxy) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: listener, got: make(chan byte, 100)}
	s.running.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() {
				defer c.Close()
				for one := make([]byte, 1); ; {
					if _, err := c.Read(one); err != nil {
						return
					}
					s.got <- one[0]
					if _, err := c.Write(one); err != nil {
						return
					}
				}
			})
		}
	})
	p, err := proxy.New("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(p.Close(), listener.Close()); err != nil {
			t.Error(err)
		}
		s.running.Wait()
	})
	return s, p
}

func dial(t *testing.T, p *proxy.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// echo sends a byte and returns the error of its answer, which may take as long as it likes
// unless it is not to come.
func echo(t *testing.T, c net.Conn, b byte, within time.Duration) error {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte{b}); err != nil {
		return err
	}
	one := make([]byte, 1)
	if _, err := io.ReadFull(c, one); err != nil {
		return err
	}
	if one[0] != b {
		t.Errorf("got %q, want %q", one, b)
	}
	return nil
}

const (
	long  = time.Minute            // reached by a hang only
	brief = 100 * time.Millisecond // an answer that does not come is not waited for longer
)

func TestForward(t *testing.T) {
	_, p := setup(t)
	for range 3 {
		if err := echo(t, dial(t, p), 'a', long); err != nil {
			t.Error(err)
		}
	}
}

func TestDropNotifiesNobody(t *testing.T) {
	s, p := setup(t)
	c := dial(t, p)
	if err := echo(t, c, 'a', long); err != nil {
		t.Fatal(err)
	}
	<-s.got
	p.Set(proxy.Drop)
	for _, c := range []net.Conn{c, dial(t, p)} {
		if err := echo(t, c, 'b', brief); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want silence", err)
		}
	}
	if len(s.got) > 0 {
		t.Error("bytes came through")
	}
	p.Set(proxy.Forward)
	if err := echo(t, c, 'c', long); err == nil {
		t.Error("a connection with lost bytes goes on")
	}
	if err := echo(t, dial(t, p), 'd', long); err != nil {
		t.Errorf("a new one: %v", err)
	}
}

func TestHalfOpenLosesAnswersOnly(t *testing.T) {
	s, p := setup(t)
	c := dial(t, p)
	p.Set(proxy.HalfOpen)
	if err := echo(t, c, 'b', brief); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want silence", err)
	}
	if got := <-s.got; got != 'b' {
		t.Errorf("the server got %q", got)
	}
}

func TestRefuse(t *testing.T) {
	_, p := setup(t)
	c := dial(t, p)
	if err := echo(t, c, 'a', long); err != nil {
		t.Fatal(err)
	}
	p.Set(proxy.Refuse)
	for _, c := range []net.Conn{c, dial(t, p)} {
		if err := echo(t, c, 'b', long); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want an end at once", err)
		}
	}
}

func TestDelay(t *testing.T) {
	_, p := setup(t)
	c := dial(t, p)
	p.Delay(time.Hour)
	if err := echo(t, c, 'a', brief); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want silence", err)
	}
	p.Delay(0) // what was late comes now
	one := make([]byte, 1)
	if err := c.SetDeadline(time.Now().Add(long)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, one); err != nil || one[0] != 'a' {
		t.Errorf("got %q, %v", one, err)
	}
}

// TestTargetChanges holds that the connections to the former target end and new ones go to the next.
func TestTargetChanges(t *testing.T) {
	first, p := setup(t)
	second, _ := setup(t)
	send := func() (net.Conn, error) {
		c, err := net.Dial("tcp", p.Address())
		if err != nil {
			return nil, err
		}
		_, err = c.Write([]byte{7})
		return c, err
	}
	c, err := send()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	<-first.got
	p.Target("tcp", second.Addr().String())
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, io.EOF) {
		t.Logf("the former connection: %v", err)
	}
	d, err := send()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := <-second.got; got != 7 {
		t.Errorf("the second target got %d", got)
	}
}
