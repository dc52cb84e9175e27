package berthtest

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// batchSize returns the number of events of a batch; 0 for another envelope.
func batchSize(envelope string) int {
	if !strings.HasPrefix(envelope, `{"events":`) {
		return 0
	}
	var batch struct{ Events []json.RawMessage }
	if err := json.Unmarshal([]byte(envelope), &batch); err != nil || len(batch.Events) == 0 {
		panic("berthtest: the batch has no events")
	}
	return len(batch.Events)
}

// batchResult is the result of a batch that succeeds.
type batchResult struct {
	Results  []json.RawMessage `json:"results"`
	Failures []struct {
		Index  *int   `json:"index"`
		Status string `json:"status"`
		Reason string `json:"reason"`
	} `json:"failures"`
}

// succeedBatch closes the open batch with a result, or returns why it is refused.
func (d *delivery) succeedBatch(text string) (refused string) {
	if len(text) > maxResults {
		panic("the results are over 8 MiB: the host ends an instance for that")
	}
	var r batchResult
	if text != "" {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&r); err != nil || dec.More() || !utf8.ValidString(text) || text[0] != '{' {
			return "the result is not an object of results and failures"
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &members); err != nil || string(members["results"]) == "null" || string(members["failures"]) == "null" {
			return "the results and failures are not lists"
		}
	}
	outcomes := make([]Outcome, d.events)
	for i := range outcomes {
		outcomes[i] = Outcome{Status: OK, Children: d.children[i], Logs: d.outcome.Logs}
	}
	if r.Results != nil && len(r.Results) != d.events {
		return "the results are not one for each event"
	}
	for i, result := range r.Results {
		if len(result) > maxResult {
			panic("a result is over 64 KiB: the host ends an instance for that")
		}
		if string(result) != "null" {
			outcomes[i].Result = string(result)
		}
	}
	if len(r.Failures) > 0 && d.host.Atomic {
		return "a batch of an atomic handler has no failures: it fails as a whole"
	}
	for _, f := range r.Failures {
		if f.Index == nil || *f.Index < 0 || *f.Index >= d.events || outcomes[*f.Index].Status != OK {
			return "the index of a failure is missing, there twice, or of no event"
		}
		status := map[string]Status{"retry": Retry, "reject": Rejected}[f.Status]
		if status == "" {
			return "the status of a failure is not retry or reject"
		}
		outcomes[*f.Index] = Outcome{Status: status, Reason: line(f.Reason), Logs: d.outcome.Logs}
	}
	d.outcomes = append(d.outcomes, outcomes...)
	return ""
}
