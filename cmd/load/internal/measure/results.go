package measure

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/berth-host/berth/cmd/load/internal/report"
	"github.com/berth-host/berth/cmd/load/internal/target"
	"github.com/berth-host/berth/cmd/load/internal/traffic"
)

const resultHandlers = 10

// salted returns handlers whose results differ, see derived.
func salted(n int) []target.Handler {
	list := target.Handlers(n, "derive")
	for i := range list {
		list[i].Config = map[string]any{"salt": saltOf(i)}
	}
	return list
}

func saltOf(handler int) int { return 1000 + handler }

// derived is the result of derive.wasm, computed from the event's number and size and the
// handler's salt.
func derived(number, size, salt int) string {
	hash := fnv.New32a()
	fmt.Fprint(hash, strconv.Itoa(number), strconv.Itoa(salt))
	sum := hash.Sum32() & 0x7fffffff
	result := fmt.Sprintf(`{"salt":%d,"sum":%d`, salt, sum)
	if size > 0 {
		text := make([]byte, size)
		for i := range text {
			sum = sum*1664525 + 1013904223
			text[i] = 'a' + byte((sum>>16)%26)
		}
		result += `,"text":"` + string(text) + `"`
	}
	return result + "}"
}

// tally counts the deliveries of one variant.
type tally struct {
	name                  string
	size                  int
	deliveries            int
	right, missing, wrong int // results
	fuel, duration        int // deliveries that have it
	took                  time.Duration
	example               string // of what is wrong
	expected              int
}

// results compares every result that the API shows with the value computed from the event.
func (s *Suite) results(ctx context.Context) ([]*report.Table, error) {
	variants := []*tally{{name: "of about 30 bytes"}, {name: fmt.Sprintf("with %d letters", distinctSize), size: distinctSize}}
	err := s.withHost(ctx, target.Setup{Handlers: salted(resultHandlers)}, func(h *target.Host) error {
		for i, v := range variants {
			s.Progress("results %s", v.name)
			if err := s.compare(ctx, h, v, i*s.Sizes.Results); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	table := &report.Table{
		Title: "Results",
		Header: []string{"distinct results", "deliveries", "right", "missing", "wrong", "with fuel", "with duration",
			"deliveries/s"},
		Notes: []string{fmt.Sprintf("%s events in batches of %d through %d handlers; every delivery is read back over the API, and its result "+
			"compared with the value computed from the event and the handler's configuration.",
			report.Figure(float64(s.Sizes.Results)), fillBatch, resultHandlers)},
	}
	for _, v := range variants {
		line := []any{v.name}
		for _, n := range []int{v.deliveries, v.right, v.missing, v.wrong, v.fuel, v.duration} {
			line = append(line, report.Figure(float64(n)))
		}
		table.Add(append(line, report.Figure(report.PerSecond(v.expected, v.took)))...)
		if n := v.expected; v.deliveries != n || v.right != n || v.fuel != n || v.duration != n {
			err = errors.Join(err, Wrong{fmt.Sprintf("results %s: of %d deliveries %d are there and %d have the right result, such as not: %s",
				v.name, n, v.deliveries, v.right, v.example)})
		}
	}
	return []*report.Table{table}, err
}

// compare publishes events from a number on, and looks at every delivery.
func (s *Suite) compare(ctx context.Context, h *target.Host, v *tally, first int) error {
	last := first + s.Sizes.Results
	v.expected = s.Sizes.Results * resultHandlers
	began := time.Now()
	if err := traffic.Fill(ctx, server(h), first, last, fillBatch, keyed(v.size)); err != nil {
		return err
	}
	if err := h.API.AwaitDelivered(ctx, resultHandlers); err != nil {
		return err
	}
	v.took = time.Since(began)
	for number := first; number < last; number++ {
		list, err := h.API.Deliveries(ctx, traffic.Key(number))
		if err != nil {
			return err
		}
		for _, d := range list {
			v.add(number, d)
		}
	}
	return nil
}

// add counts one delivery.
func (v *tally) add(number int, d target.Delivery) {
	var handler int
	if _, err := fmt.Sscanf(d.Plugin, "h%d", &handler); err != nil || d.Status != "ok" {
		v.example = fmt.Sprintf("event %d at %s: %s", number, d.Plugin, d.Status)
		return
	}
	v.deliveries++
	if d.Fuel > 0 {
		v.fuel++
	}
	if d.DurationMS > 0 {
		v.duration++
	}
	want := derived(number, v.size, saltOf(handler))
	switch {
	case string(d.Result) == want:
		v.right++
		return
	case !d.Kept():
		v.missing++
	default:
		v.wrong++
	}
	v.example = fmt.Sprintf("event %d at %s: %s, want %s", number, d.Plugin, d.Result, want)
}
