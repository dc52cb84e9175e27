package pgstore_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/berth-host/berth/host/bus/logtest"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/fault"
	"github.com/berth-host/berth/host/orders"
	"github.com/berth-host/berth/host/orders/ordertest"
	"github.com/berth-host/berth/host/pgstore"
	"github.com/berth-host/berth/host/pgstore/pgtest"
)

// network is between a store and the server. It can lose the server's answer to a COMMIT.
type network struct {
	listener   net.Listener
	server     string      // its socket
	loseAnswer atomic.Bool // to the next COMMIT
	running    sync.WaitGroup
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{listener: listener, server: pgtest.Shared(t).Socket()}
	n.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			n.running.Go(func() { n.serve(client) })
		}
	})
	t.Cleanup(func() { // the store has closed its connections
		listener.Close() //nolint:errcheck // nothing depends on it
		n.running.Wait()
	})
	return n
}

func (n *network) url() string {
	return "postgres://berth@" + n.listener.Addr().String() + "/postgres?sslmode=disable"
}

func (n *network) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", n.server)
	if err != nil {
		return
	}
	defer server.Close()
	var lost atomic.Bool // the answer that comes next
	n.running.Go(func() {
		defer client.Close()
		defer server.Close()
		buffer := make([]byte, 32<<10)
		for {
			size, err := server.Read(buffer)
			if err != nil || lost.Load() {
				return
			}
			if _, err := client.Write(buffer[:size]); err != nil {
				return
			}
		}
	})
	buffer := make([]byte, 32<<10)
	for {
		size, err := client.Read(buffer)
		if err != nil {
			return
		}
		if bytes.Contains(buffer[:size], []byte("commit\x00")) && n.loseAnswer.CompareAndSwap(true, false) {
			lost.Store(true)
		}
		if _, err := server.Write(buffer[:size]); err != nil {
			return
		}
	}
}

func openOrders(t *testing.T) (*pgstore.Store, ordertest.Harness) {
	schema, network := pgtest.Schema(t), newNetwork(t)
	s := openWith(t, pgstore.Config{URL: network.url(), Schema: schema})
	return s, ordertest.Harness{
		Fail: func(t testing.TB, how ordertest.Break) (fault.Code, func()) {
			if how == ordertest.Unanswered {
				last := s.Last()
				network.loseAnswer.Store(true)
				return fault.Unavailable, func() { // the store learns of the event a moment later
					if err := s.Wait(t.Context(), last); err != nil {
						t.Error(err)
					}
				}
			}
			return fault.Exhausted, arm(t, schema, "events", `RAISE EXCEPTION 'injected' USING ERRCODE = '53100'`)
		},
		Repository: orders.NewTable(s.Orders()),
		Events: func(t testing.TB) (events []*event.Event) {
			for _, rec := range logtest.ReadAll(t, s, 1, 100) {
				events = append(events, rec.Event)
			}
			return events
		},
	}
}

func TestOrders(t *testing.T) {
	ordertest.Run(t, func(t *testing.T) ordertest.Harness {
		_, h := openOrders(t)
		return h
	})
}

// An order's event counts for the log's bound, and an order whose event is refused is not
// stored.
func TestOrdersOfFullLog(t *testing.T) {
	s, h := openOrders(t)
	s.SetMaxBytes(1)
	service := orders.New(orders.Config{Repository: h.Repository})
	if _, _, err := service.Create(t.Context(), ordertest.Sample("A-1"), ordertest.By()); !fault.Is(err, fault.Exhausted) {
		t.Fatalf("got %v", err)
	}
	if _, err := service.Get(t.Context(), "A-1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := service.Get(t.Context(), "A\x00"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a text that PostgreSQL does not take: got %v", err)
	}
	s.SetMaxBytes(0)
	if _, _, err := service.Create(t.Context(), ordertest.Sample("A-1"), ordertest.By()); err != nil {
		t.Error(err)
	}
}
