package trace

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/berth-host/berth/host/fault"
)

// Config configures a Tracer.
type Config struct {
	Version string       // of the program
	Logger  *slog.Logger // required
	// Exporter gets the spans in place of a collector, each one at once: for tests.
	Exporter sdk.SpanExporter
}

// Retries of an export, which delay the warning that the collector is down.
const (
	retryFrom  = time.Second
	retryUpTo  = 5 * time.Second
	retryTotal = 10 * time.Second
)

// Open returns the tracer that the OTEL_ variables of the environment describe; nil when they
// ask for none. It connects to nothing: a collector that is down is no error. The error names
// the variable that is wrong, fault.Invalid.
func Open(ctx context.Context, cfg Config) (*Tracer, error) {
	if cfg.Exporter == nil {
		on, err := wanted(os.Getenv)
		if !on || err != nil {
			return nil, err
		}
	}
	sampler, err := samplerOf(os.Getenv)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", "berth"), attribute.String("service.version", cfg.Version)), resource.WithFromEnv())
	if err != nil {
		return nil, fault.New(fault.Invalid, "OTEL_RESOURCE_ATTRIBUTES: write key=value, separated by commas, with other characters as %%XX: %w", err)
	}
	t := &Tracer{sampler: sampler, logger: cfg.Logger}
	options := []sdk.TracerProviderOption{sdk.WithResource(about), sdk.WithSampler(sampler), sdk.WithIDGenerator(ids{})}
	if cfg.Exporter != nil {
		t.exporter = &reporting{SpanExporter: cfg.Exporter, logger: cfg.Logger, now: time.Now}
		options = append(options, sdk.WithSyncer(t.exporter))
	} else {
		collector, err := otlptracehttp.New(ctx, otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: true, InitialInterval: retryFrom,
			MaxInterval: retryUpTo, MaxElapsedTime: retryTotal}))
		if err != nil {
			return nil, fault.New(fault.Invalid, "OTEL_EXPORTER_OTLP_: %w", err)
		}
		t.exporter = &reporting{SpanExporter: collector, logger: cfg.Logger, now: time.Now}
		options = append(options, sdk.WithBatcher(t.exporter))
	}
	t.provider = sdk.NewTracerProvider(options...)
	t.spans = t.provider.Tracer(scope)
	return t, nil
}

// wanted reports whether the environment asks for traces: an exporter or an address of a
// collector is named. getenv returns a variable, "" when it is not set.
func wanted(getenv func(string) string) (bool, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	addressed := false
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		address := getenv(name)
		if address == "" {
			continue
		}
		addressed = true
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return false, fault.Field(name, "must be the URL of a collector, such as http://127.0.0.1:4318")
		}
	}
	switch exporter := getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "":
		if !addressed {
			return false, nil
		}
	case "otlp":
	default:
		return false, fault.Field("OTEL_TRACES_EXPORTER", "%s is not supported: use otlp or none", fault.Quote(exporter))
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		protocol := getenv(name)
		if protocol == "" {
			continue
		}
		if protocol != "http/protobuf" {
			return false, fault.Field(name, "%s is not supported: use http/protobuf, which collectors take on the port 4318", fault.Quote(protocol))
		}
		break // the first one takes precedence
	}
	return true, nil
}

// samplerOf returns the sampler that OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG name; by
// default every trace whose parent is sampled, or that begins here.
func samplerOf(getenv func(string) string) (sdk.Sampler, error) {
	name := strings.ToLower(strings.TrimSpace(getenv("OTEL_TRACES_SAMPLER")))
	ratio := 1.0
	if strings.HasSuffix(name, "traceidratio") {
		if text := strings.TrimSpace(getenv("OTEL_TRACES_SAMPLER_ARG")); text != "" {
			var err error
			if ratio, err = strconv.ParseFloat(text, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
				return nil, fault.Field("OTEL_TRACES_SAMPLER_ARG", "%s is not a number from 0 to 1", fault.Quote(text))
			}
		}
	}
	switch name {
	case "", "parentbased_always_on":
		return sdk.ParentBased(sdk.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(ratio)), nil
	case "always_on":
		return sdk.AlwaysSample(), nil
	case "always_off":
		return sdk.NeverSample(), nil
	case "traceidratio":
		return sdk.TraceIDRatioBased(ratio), nil
	}
	return nil, fault.Field("OTEL_TRACES_SAMPLER", "%s is not supported: use always_on, always_off or traceidratio, or one of them after parentbased_",
		fault.Quote(name))
}

// warnEvery is the least time between two warnings about failed exports.
const warnEvery = time.Minute

// reporting is an exporter that logs its failures, at most one in warnEvery, and keeps them
// from the SDK, which would print them.
type reporting struct {
	sdk.SpanExporter
	logger *slog.Logger
	now    func() time.Time

	mu   sync.Mutex
	next time.Time // when the next warning may be written
	lost int       // spans since the last warning
}

// ExportSpans implements sdk.SpanExporter. It returns nil.
func (r *reporting) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	if err == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost += len(spans)
	if now := r.now(); !now.Before(r.next) {
		r.logger.Warn("spans not exported: the collector of the traces does not take them", "spans", r.lost, "error", fmt.Sprint(err))
		r.next, r.lost = now.Add(warnEvery), 0
	}
	return nil
}
