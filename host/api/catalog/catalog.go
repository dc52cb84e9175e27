// Package catalog has the endpoints for what the configuration says about events: the
// schedules that publish them, and their types.
package catalog

import (
	"context"
	"net/http"

	"github.com/berth-host/berth/host/api/resource"
	"github.com/berth-host/berth/host/spec"
	"github.com/berth-host/berth/host/wire"
)

// Parts are what the endpoints need. Both are required.
type Parts struct {
	Schedules  Schedules
	EventTypes EventTypes
}

// Schedules publishes events by the clock.
type Schedules interface {
	// List returns the schedules by name.
	List() []wire.Schedule
	// RunNow publishes an event of a schedule now, as the caller's; fault.NotFound.
	RunNow(ctx context.Context, name string, by spec.Publisher) (wire.ScheduleRun, error)
}

// EventTypes are the event types that are configured or were published lately.
type EventTypes interface {
	// List returns the types by name, without their schemas.
	List() []wire.EventType
	// Type returns one of them with its schema; fault.NotFound.
	Type(name string) (wire.EventType, error)
}

const (
	schedulesPath = "/api/v1/schedules"
	typesPath     = "/api/v1/event-types"
)

// Endpoints lists the endpoints.
func (p Parts) Endpoints() []resource.Endpoint {
	const get, post = http.MethodGet, http.MethodPost
	return []resource.Endpoint{
		{Method: get, Path: schedulesPath, Scope: spec.ScopeRead, Handle: p.listSchedules},
		{Method: post, Path: schedulesPath + "/:schedule/run", Scope: spec.ScopeOperate, Handle: p.runSchedule},
		{Method: get, Path: typesPath, Scope: spec.ScopeRead, Handle: p.listTypes},
		{Method: get, Path: typesPath + "/:type", Scope: spec.ScopeRead, Handle: p.showType},
	}
}

// listSchedules is GET /api/v1/schedules.
func (p Parts) listSchedules(r resource.Request) (resource.Answer, error) {
	if r.Query(); r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	return resource.Answer{Body: wire.List[wire.Schedule]{Items: p.Schedules.List()}}, nil
}

// runSchedule is POST /api/v1/schedules/:schedule/run.
func (p Parts) runSchedule(r resource.Request) (resource.Answer, error) {
	name := r.Param("schedule")
	r.Query()
	r.OptionalBody(&struct{}{})
	if r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	run, err := p.Schedules.RunNow(r.Ctx(), name, r.Publisher())
	return resource.Answer{Status: http.StatusAccepted, Body: run, Noted: run, Target: "schedule:" + name}, err
}

// listTypes is GET /api/v1/event-types.
func (p Parts) listTypes(r resource.Request) (resource.Answer, error) {
	if r.Query(); r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	return resource.Answer{Body: wire.List[wire.EventType]{Items: p.EventTypes.List()}}, nil
}

// showType is GET /api/v1/event-types/:type.
func (p Parts) showType(r resource.Request) (resource.Answer, error) {
	name := r.Param("type")
	if r.Query(); r.Err() != nil {
		return resource.Answer{}, r.Err()
	}
	et, err := p.EventTypes.Type(name)
	return resource.Answer{Body: et}, err
}
