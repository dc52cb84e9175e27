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
// its 202, with an Echo server that decodes the same body and answers 202. Both
// serve 64 connections on loopback, in turns, in this process and with its
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
	berth := httptest.NewServer(newServer(b, cfg).Handler())
	defer berth.Close()

	e := echo.New()
	e.POST("/api/v1/events", func(c echo.Context) error {
		var ev struct {
			Type string          `json:"event_type"`
			Data json.RawMessage `json:"data"`
		}
		if err := c.Bind(&ev); err != nil {
			return err
		}
		return c.JSON(http.StatusAccepted, map[string]any{"event_id": "018f0000-0000-7000-8000-000000000000", "idempotency_key": ev.Type, "duplicate": false})
	})
	plain := httptest.NewServer(e)
	defer plain.Close()

	const connections, each = 64, 50
	body := `{"event_type":"order_status_changed","data":{"order_id":"order-17","status":"shipped","previous_status":"processing","total_cents":4200}}`
	request := fmt.Appendf(nil, "POST /api/v1/events HTTP/1.1\r\nHost: bench.example.com\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		secret, len(body), body)
	ours, theirs := dialAll(b, berth, connections), dialAll(b, plain, connections)
	ask(b, ours, request, 1)
	ask(b, theirs, request, 1)
	var berthTook, echoTook []cost
	var ratios []float64
	for b.Loop() {
		for range 4 {
			berthTook = append(berthTook, measure(b, func() { ask(b, ours, request, each) }))
			echoTook = append(echoTook, measure(b, func() { ask(b, theirs, request, each) }))
			last := len(ratios)
			ratios = append(ratios, float64(echoTook[last].wall)/float64(berthTook[last].wall))
		}
	}
	const n = connections * each
	wall, processor := medians(berthTook)
	echoWall, echoProcessor := medians(echoTook)
	slices.Sort(ratios)
	b.ReportMetric(n/wall.Seconds(), "publishes/s")
	b.ReportMetric(n/echoWall.Seconds(), "echo/s")
	b.ReportMetric(ratios[len(ratios)/2], "x-echo")
	b.ReportMetric(float64(processor.Microseconds())/n, "cpu-µs")
	b.ReportMetric(float64(echoProcessor.Microseconds())/n, "cpu-µs-echo")
	b.ReportMetric(0, "ns/op")
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
