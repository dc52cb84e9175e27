package describe

import (
	"net/http"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/wire"
)

// catalogOperations are about schedules and event types.
func catalogOperations() []openapi.Operation {
	return []openapi.Operation{
		{Method: http.MethodGet, Path: "/api/v1/schedules", ID: "listSchedules", Tag: tagEvents, Summary: "List the schedules",
			Description: "Schedules publish events at due times; they are in the configuration. A due time is missed when its event could not be " +
				"published within a minute; missed says what becomes of it.",
			Answers: answers(http.StatusOK, wire.List[wire.Schedule]{})},
		{Method: http.MethodPost, Path: "/api/v1/schedules/{schedule}/run", ID: "runSchedule", Tag: tagEvents, Summary: "Publish an event of a schedule now",
			Description: "The event has a key of its own: due times stay as they are, also of a schedule that is paused. There is no body.",
			Parameters: []openapi.Parameter{{In: "path", Name: "schedule", Description: "The name of the schedule.",
				Schema: map[string]any{"type": "string", "pattern": `^[a-z0-9][a-z0-9-]{0,62}$`}}},
			Answers: answers(http.StatusAccepted, wire.ScheduleRun{})},
		{Method: http.MethodGet, Path: "/api/v1/event-types", ID: "listEventTypes", Tag: tagEvents, Summary: "List the event types",
			Description: "Those of the configuration, and those with events in the last hour, at most 1,000 of these.",
			Answers:     answers(http.StatusOK, wire.List[wire.EventType]{})},
		{Method: http.MethodGet, Path: "/api/v1/event-types/{type}", ID: "getEventType", Tag: tagEvents, Summary: "Show an event type with its schema",
			Parameters: []openapi.Parameter{{In: "path", Name: "type", Description: "The event type.", Schema: eventTypeSchema()}},
			Answers:    answers(http.StatusOK, wire.EventType{})},
	}
}
