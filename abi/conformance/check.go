package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// check returns an error when an outcome of the plugin is not the expected one.
func (e Expect) check(o Outcome, plugin string) error {
	if len(e.OneOf) == 0 {
		return e.checkOne(o, plugin)
	}
	var errs []error
	for _, one := range e.OneOf {
		err := one.checkOne(o, plugin)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (e Expect) checkOne(o Outcome, plugin string) error {
	want := e.Status
	if want == "" {
		want = OK
	}
	if o.Status != want {
		return fmt.Errorf("the outcome is %s, want %s", describe(o), want)
	}
	if n := max(1, e.Attempts); o.Attempts != n {
		return fmt.Errorf("there were %d attempts, want %d", o.Attempts, n)
	}
	if e.Class != "" && o.Class != "" && o.Class != e.Class {
		return fmt.Errorf("the class is %s, want %s", o.Class, e.Class)
	}
	if e.Reason != nil && o.Message != *e.Reason {
		return fmt.Errorf("the reason is %q, want %q", excerpt(o.Message), excerpt(*e.Reason))
	}
	if !strings.Contains(o.Message, e.Contains) {
		return fmt.Errorf("the message %q does not contain %q", excerpt(o.Message), e.Contains)
	}
	if err := e.checkResult(o); err != nil {
		return err
	}
	if err := e.checkChildren(o, plugin); err != nil {
		return err
	}
	if e.Logs != nil && !slices.Equal(o.Logs, e.Logs) {
		return fmt.Errorf("the log is %s, want %s", list(o.Logs), list(e.Logs))
	}
	return nil
}

// describe returns an outcome for an error.
func describe(o Outcome) string {
	text := o.Status
	if o.Class != "" {
		text += " (" + o.Class + ")"
	}
	if o.Message != "" {
		text += fmt.Sprintf(" with the message %q", excerpt(o.Message))
	}
	if o.Result != "" {
		text += " with the result " + excerpt(o.Result)
	}
	return text
}

func list(v any) string {
	text, err := encode(v)
	if err != nil {
		return err.Error()
	}
	return excerpt(string(text))
}

func (e Expect) checkResult(o Outcome) error {
	if o.NullIsNone && o.Result == "" && (e.Text != nil && *e.Text == "null" || string(e.Result) == "null") {
		return nil
	}
	switch {
	case o.Status != OK:
		return nil
	case e.Text != nil:
		if o.Result != *e.Text {
			return fmt.Errorf("the result is %s, want these bytes: %s", excerpt(o.Result), excerpt(*e.Text))
		}
		return nil
	case e.Envelope:
		return sameResult(o.Result, fmt.Appendf(nil, `{"bytes":%d}`, len(o.Envelope)))
	case e.Typed:
		want, err := typed(o)
		if err != nil {
			return err
		}
		return sameResult(o.Result, want)
	case e.Result != nil:
		return sameResult(o.Result, e.Result)
	case o.Result != "":
		return fmt.Errorf("the result is %s, want none", excerpt(o.Result))
	}
	return nil
}

func sameResult(got string, want []byte) error {
	if !sameJSON([]byte(got), want) {
		return fmt.Errorf("the result is %s, want %s", excerpt(got), excerpt(string(want)))
	}
	return nil
}

// typed returns the result of the op typed for the envelope that was delivered.
func typed(o Outcome) ([]byte, error) {
	var envelope struct {
		Type     string `json:"event_type"`
		Metadata struct {
			EventID        string `json:"event_id"`
			IdempotencyKey string `json:"idempotency_key"`
			Source         string `json:"source"`
			Subject        string `json:"subject"`
			Time           string `json:"time"`
			CorrelationID  string `json:"correlation_id"`
			CausationID    string `json:"causation_id"`
			TraceParent    string `json:"traceparent"`
			Hops           int    `json:"hops"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal([]byte(o.Envelope), &envelope); err != nil {
		return nil, fmt.Errorf("the host delivered an envelope that is not JSON: %w", err)
	}
	m := envelope.Metadata
	return encode(map[string]any{
		"event_type": envelope.Type, "event_id": m.EventID, "idempotency_key": m.IdempotencyKey, "source": m.Source,
		"subject": m.Subject, "time": m.Time, "correlation_id": m.CorrelationID, "causation_id": m.CausationID,
		"traceparent": m.TraceParent, "hops": m.Hops, "attempt": o.Attempts, "time_left": true,
	})
}

func (e Expect) checkChildren(o Outcome, plugin string) error {
	if len(o.Children) != len(e.Children) {
		return fmt.Errorf("there are %d children, want %d: %s", len(o.Children), len(e.Children), list(o.Children))
	}
	var parent struct {
		Metadata struct {
			EventID string `json:"event_id"`
		} `json:"metadata"`
	}
	if len(e.Children) > 0 {
		if err := json.Unmarshal([]byte(o.Envelope), &parent); err != nil {
			return fmt.Errorf("the host delivered an envelope that is not JSON: %w", err)
		}
	}
	for i, want := range e.Children {
		got := o.Children[i]
		key := strings.NewReplacer("{plugin}", plugin, "{event_id}", parent.Metadata.EventID).Replace(want.Key)
		if got.Type != want.Type || got.Subject != want.Subject || got.Key != key || got.After != want.After || !sameJSON(got.Data, want.Data) {
			want.Key = key
			return fmt.Errorf("child %d is %s, want %s", i+1, list(got), list(want))
		}
	}
	return nil
}
