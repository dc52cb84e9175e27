package metrics

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/berth-host/berth/host/telemetry/figures"
)

// BenchmarkScrape answers the metrics of a host with 500 handlers.
func BenchmarkScrape(b *testing.B) {
	f := full()
	one := f.Handlers[0]
	f.Handlers = nil
	for i := range 500 {
		one.Plugin = fmt.Sprint("handler-", i)
		f.Handlers = append(f.Handlers, one)
	}
	handler, err := NewHandler(func(context.Context) figures.Host { return f }, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	size := 0
	for b.Loop() {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		size = w.Body.Len()
	}
	b.ReportMetric(float64(size), "bytes")
}
