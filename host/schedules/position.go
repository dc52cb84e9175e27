package schedules

import (
	"encoding/json"
	"time"

	"github.com/berth-host/berth/host/event"
)

// documentKind is the kind of the documents that keep the positions.
const documentKind = "schedule"

// position is how far a schedule is. It is stored as a document.
type position struct {
	Definition string    `json:"definition"`       // see Timed.definition
	After      time.Time `json:"after"`            // due times up to it are done
	Paused     bool      `json:"paused,omitempty"` // as configured when it was stored

	LastDue   time.Time `json:"last_due,omitzero"` // of the newest event
	LastAt    time.Time `json:"last_at,omitzero"`  // when it was published
	LastEvent string    `json:"last_event,omitempty"`
	Published uint64    `json:"published,omitempty"`
	Missed    uint64    `json:"missed,omitempty"` // due times that were missed and got no event

	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
}

func (p position) document(name string) (event.Document, error) {
	text, err := json.Marshal(p)
	return event.Document{Kind: documentKind, ID: name, Body: string(text)}, err
}

// reconcile returns the position of a schedule as it is configured now. A schedule that is
// new, that has other due times or that was paused starts now.
func (p position) reconcile(t Timed, now time.Time) position {
	definition := t.definition()
	switch {
	case p.Definition != definition:
		p = position{Definition: definition, After: now}
	case p.Paused && !t.Paused:
		p.After = now
	}
	p.Paused = t.Paused
	return p
}
