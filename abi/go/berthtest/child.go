package berthtest

import (
	"encoding/json"
	"strconv"
	"time"
)

// childEvent is what a handler emits.
type childEvent struct {
	Type     string          `json:"event_type"`
	Data     json.RawMessage `json:"data"`
	Metadata struct {
		IdempotencyKey string `json:"idempotency_key"`
		Subject        string `json:"subject"`
		DeliverAt      string `json:"deliver_at"`
		DeliverAfter   string `json:"deliver_after"`
	} `json:"metadata"`
	ParentIndex *int `json:"parent_index"`
}

// check returns why the child is refused, or "". events is the size of the open batch.
func (c *childEvent) check(events int, now time.Time) string {
	switch {
	case c.Data == nil:
		return "data is missing"
	case !validEventType(c.Type):
		return "event_type is missing or malformed"
	case c.ParentIndex == nil && events > 1:
		return "parent_index is missing: the batch has " + strconv.Itoa(events) + " events"
	case c.ParentIndex != nil && events == 0:
		return "parent_index belongs to batches"
	case c.ParentIndex != nil && (*c.ParentIndex < 0 || *c.ParentIndex >= events):
		return "parent_index is no index of the batch"
	}
	at, after := c.Metadata.DeliverAt, c.Metadata.DeliverAfter
	if at != "" && after != "" {
		return "deliver_after cannot be used together with deliver_at"
	}
	var ahead time.Duration
	if at != "" {
		due, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return "deliver_at is not an RFC 3339 time"
		}
		ahead = due.Sub(now)
	}
	if after != "" {
		var err error
		if ahead, err = time.ParseDuration(after); err != nil || ahead < 0 {
			return "deliver_after is not a duration such as 15m"
		}
	}
	if ahead > maxDeferral {
		return "the child is due more than a year ahead"
	}
	return ""
}

// parent returns the index of the event that the child belongs to.
func (c *childEvent) parent() int {
	if c.ParentIndex == nil {
		return 0
	}
	return *c.ParentIndex
}
