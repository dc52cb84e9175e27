package describe

import (
	"net/http"

	"github.com/berth-host/berth/host/api/openapi"
	"github.com/berth-host/berth/host/wire"
)

// scheduledOperations are about events that are not due yet.
func scheduledOperations() []openapi.Operation {
	return []openapi.Operation{
		{Method: http.MethodGet, Path: "/api/v1/events/scheduled", ID: "listScheduledEvents", Tag: tagEvents,
			Summary: "List events that are not due yet, the first due first",
			Description: "They were published with deliver_at or deliver_after. Each is stored; it gets its Seq, and is delivered, when it is " +
				"due. A cancelled one is not listed.",
			Parameters: append([]openapi.Parameter{
				inQuery("type", "Only events of this type.", eventTypeSchema()),
				inQuery("subject", "Only events of this subject.", nil),
				inQuery("key", "Only the event with this idempotency key.", nil),
			}, pageParameters(MaxPage)...),
			Answers: answers(http.StatusOK, wire.List[wire.Event]{})},
		{Method: http.MethodDelete, Path: "/api/v1/events/scheduled/{key}", ID: "cancelScheduledEvent", Tag: tagEvents,
			Summary: "Cancel an event that is not due yet",
			Description: "It never gets a Seq, and no handler gets it. Its key stays taken for bus.retention: the same event again is a duplicate " +
				"of the cancelled one. 409 says that it is in the log already.",
			Parameters: []openapi.Parameter{{In: "path", Name: "key", Description: "Its idempotency key, or its id."}},
			Answers:    answers(http.StatusOK, wire.CancelledEvent{})},
	}
}
