package describe

import (
	"net/http"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/wire"
)

// figureOperations measure the host.
func figureOperations() []openapi.Operation {
	return []openapi.Operation{
		{Method: http.MethodGet, Path: "/metrics", ID: "getMetrics", Tag: tagHost, Summary: "Answer the metrics to Prometheus",
			Description: "In the text format or, if Accept asks for it, as OpenMetrics; docs/metrics.md lists them. Counters start at zero with " +
				"the host. With server.metrics: loopback programs on the same machine need no token.",
			Answers: []openapi.Answer{{Status: http.StatusOK, Content: []openapi.Content{{Media: "text/plain",
				Value: openapi.Schema{"type": "string"}}}}}},
		{Method: http.MethodGet, Path: "/api/v1/overview", ID: "getOverview", Tag: tagHost, Summary: "Show the state of the host and of every handler",
			Description: "Is anything wrong, and since when. Rates, and the latency of the host, are of the last minute or two; shares, durations " +
				"and fuel of the last 45 to 60 minutes; all since the host started where that is later. deliveries_per_s counts those that ended, " +
				"per_s attempts. The handlers that need attention come first. The answer is up to a second old, and older where counting " +
				"dead letters takes long.",
			Answers: answers(http.StatusOK, wire.Overview{})},
		{Method: http.MethodGet, Path: "/api/v1/series", ID: "getSeries", Tag: tagHost, Summary: "Show figures over time",
			Description: "Of the host, or of one plugin, from memory: they begin anew when the host starts. A value is of the step that begins at " +
				"start + i × step_s; it is null where the host did not run, and where there was nothing to measure, such as the latency of no " +
				"delivery. Steps of a minute have the highest lag and oldest_s of the minute. cpu_share is of all processors that the host may " +
				"use; events_per_s, cpu_share and store_bytes are of the host only. At most 1,000 plugins have series. markers are the times at which a " +
				"version became active.",
			Parameters: []openapi.Parameter{
				inQuery("plugin", "The plugin; absent for the host.", pluginNamePath().Schema),
				inQuery("range", "1h is the last hour in steps of 10 s; 24h the last day in steps of a minute.",
					map[string]any{"type": "string", "enum": []string{"1h", "24h"}, "default": "1h"}),
			},
			Answers: answers(http.StatusOK, wire.Series{})},
	}
}
