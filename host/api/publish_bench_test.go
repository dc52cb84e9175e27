package api_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/store"
)

// BenchmarkPublishHTTP compares publishing over HTTP, each event flushed before
// its 202, with two Echo servers that decode the same body and answer 202: one that
// does nothing else, and one that first writes the event to a plain file and flushes
// it, as many as wait with one flush, which is what any durable host must do. They serve
// 64 connections on loopback, in alternation, in this process and with its
// settings. The client is as small as it can be, because it shares the processors
// with them. Medians of the rounds are reported.
func BenchmarkPublishHTTP(b *testing.B) {
	window := bus.NewWindow(bus.WindowConfig{})
	s, err := store.Open(b.Context(), store.Config{Path: filepath.Join(b.TempDir(), "berth.db"), Window: window})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	hub, err := bus.New(bus.Config{Log: s, Window: window})
	if err != nil {
		b.Fatal(err)
	}
	defer hub.Close()
	cfg := config(&parts{})
	cfg.Events.Publisher = hub
	cfg.Guard.AllowedHosts = append(cfg.Guard.AllowedHosts, "bench.example.com")
	file, err := os.Create(filepath.Join(b.TempDir(), "plain.log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(make([]byte, plainSize)); err != nil {
		b.Fatal(err)
	}
	plain := &plainLog{file: file, writes: make(chan plainWrite, 1024)}
	var writer sync.WaitGroup
	writer.Go(plain.run)
	defer writer.Wait()
	defer close(plain.writes)

	const connections, each = 64, 50
	body := `{"event_type":"order_status_changed","data":{"order_id":"order-17","status":"shipped","previous_status":"processing","total_cents":4200}}`
	request := fmt.Appendf(nil, "POST /api/v1/events HTTP/1.1\r\nHost: bench.example.com\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		secret, len(body), body)
	type contestant struct {
		name    string
		clients []connection
		took    []cost
	}
	var all []*contestant
	for name, handler := range map[string]http.Handler{
		"": newServer(b, cfg).Handler(), "-echo": echoServer(func([]byte) error { return nil }), "-plain-file": echoServer(plain.append),
	} {
		server := httptest.NewServer(handler)
		defer server.Close()
		c := &contestant{name: name, clients: dialAll(b, server, connections)}
		ask(b, c.clients, request, 1)
		all = append(all, c)
	}
	slices.SortFunc(all, func(x, y *contestant) int { return strings.Compare(x.name, y.name) })
	berth, theirs, durable := all[0], all[1], all[2]
	var ratios, durableRatios, plainRatios []float64
	for b.Loop() {
		for range 4 {
			for _, c := range all {
				c.took = append(c.took, measure(b, func() { ask(b, c.clients, request, each) }))
			}
			last := len(ratios)
			ratios = append(ratios, float64(theirs.took[last].wall)/float64(berth.took[last].wall))
			plainRatios = append(plainRatios, float64(theirs.took[last].wall)/float64(durable.took[last].wall))
			durableRatios = append(durableRatios, float64(durable.took[last].wall)/float64(berth.took[last].wall))
		}
	}
	const n = connections * each
	for _, c := range all {
		wall, processor := medians(c.took)
		b.ReportMetric(n/wall.Seconds(), "publishes/s"+c.name)
		b.ReportMetric(float64(processor.Microseconds())/n, "cpu-µs"+c.name)
	}
	for unit, list := range map[string][]float64{"x-echo": ratios, "x-plain-file": durableRatios, "plain-file-x-echo": plainRatios} {
		slices.Sort(list)
		b.ReportMetric(list[len(list)/2], unit)
	}
	b.ReportMetric(0, "ns/op")
}

// echoServer decodes events and answers 202 once they are written.
func echoServer(write func(data []byte) error) *echo.Echo {
	e := echo.New()
	e.POST("/api/v1/events", func(c echo.Context) error {
		var ev struct {
			Type string          `json:"event_type"`
			Data json.RawMessage `json:"data"`
		}
		if err := c.Bind(&ev); err != nil {
			return err
		}
		if err := write(ev.Data); err != nil {
			return err
		}
		return c.JSON(http.StatusAccepted, map[string]any{"event_id": "018f0000-0000-7000-8000-000000000000", "idempotency_key": ev.Type, "duplicate": false})
	})
	return e
}

// plainSize is the size of the file, in bytes. It is written before, and overwritten from
// the beginning, as a WAL is: a flush that makes a file grow takes longer.
const plainSize = 4 << 20

// plainLog appends lines to a file. One goroutine writes and flushes those that wait.
type plainLog struct {
	file   *os.File
	writes chan plainWrite
}

type plainWrite struct {
	data []byte
	done chan error
}

func (p *plainLog) append(data []byte) error {
	w := plainWrite{data, make(chan error, 1)}
	p.writes <- w
	return <-w.done
}

func (p *plainLog) run() {
	var buf []byte
	var group []plainWrite
	at := 0
	for w := range p.writes {
		group = append(group[:0], w)
		for n := len(p.writes); n > 0; n-- {
			group = append(group, <-p.writes)
		}
		buf = buf[:0]
		for _, w := range group {
			buf = append(append(buf, w.data...), '\n')
		}
		if at+len(buf) > plainSize {
			at = 0
		}
		_, err := p.file.WriteAt(buf, int64(at))
		at += len(buf)
		if err == nil {
			err = flushFile(p.file)
		}
		for _, w := range group {
			w.done <- err
		}
	}
}

// cost is what a round took, by the clock and of the processors, the client's
// share included.
type cost struct{ wall, processor time.Duration }

func measure(b *testing.B, round func()) cost {
	processor := func() time.Duration {
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			b.Fatal(err)
		}
		return time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	before, start := processor(), time.Now()
	round()
	return cost{wall: time.Since(start), processor: processor() - before}
}

// medians: a neighbour that takes the processors or the disk for a moment is in
// a few rounds only.
func medians(rounds []cost) (wall, processor time.Duration) {
	of := func(figure func(cost) time.Duration) time.Duration {
		list := make([]time.Duration, len(rounds))
		for i, r := range rounds {
			list[i] = figure(r)
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	return of(func(c cost) time.Duration { return c.wall }), of(func(c cost) time.Duration { return c.processor })
}

type connection struct {
	net.Conn
	in *bufio.Reader
}

func dialAll(b *testing.B, srv *httptest.Server, n int) []connection {
	b.Helper()
	list := make([]connection, n)
	for i := range list {
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		list[i] = connection{c, bufio.NewReader(c)}
	}
	return list
}

// ask sends a request n times over each connection.
func ask(b *testing.B, connections []connection, request []byte, n int) {
	var wg sync.WaitGroup
	for _, c := range connections {
		wg.Go(func() {
			for range n {
				if err := c.ask(request); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (c connection) ask(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	size := 0
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 202")) {
			return fmt.Errorf("got %s", line)
		}
		if len(line) == 0 {
			break
		}
		if name, value, _ := strings.Cut(string(line), ": "); name == "Content-Length" {
			if size, err = strconv.Atoi(value); err != nil {
				return err
			}
		}
	}
	_, err := c.in.Discard(size)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
