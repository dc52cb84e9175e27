package run

import (
	"github.com/berth-host/berth/host/api/traffic"
	"github.com/berth-host/berth/host/telemetry/figures"
)

// RequestFigures returns the requests of the API as figures.
func RequestFigures(r *traffic.Recorder) func() []figures.Requests {
	return func() (list []figures.Requests) {
		for _, e := range r.List() {
			list = append(list, figures.Requests{Method: e.Method, Route: e.Path, Classes: e.Classes, Refused: e.Refused, Duration: e.Duration})
		}
		return list
	}
}
