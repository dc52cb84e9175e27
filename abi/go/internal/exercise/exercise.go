// Package exercise is a handler that uses the whole SDK, so that tests can run
// the same code natively and as WebAssembly and compare what it does.
package exercise

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	berth "github.com/berth-host/berth/abi/go"
)

// Handle does the action that the event's /data/do names.
func Handle(ev *berth.Event) (berth.Result, error) {
	do, ok := ev.Field("/data/do")
	if !ok {
		return berth.JSON(map[string]any{"type": ev.Type(), "id": ev.ID(), "key": ev.IdempotencyKey(), "subject": ev.Subject()}), nil
	}
	switch do {
	case "raw":
		return berth.RawJSON(string(ev.Raw())), nil
	case "large field":
		s, ok := ev.Field("/data/large")
		return berth.RawJSON(strconv.Itoa(len(s))), when(!ok, "no large field")
	case "numbers":
		var o berth.Object
		for _, name := range []string{"int", "negative", "fraction", "text", "yes", "missing"} {
			if n, ok := ev.Int("/data/" + name); ok {
				o.Int(name, n)
			}
			if b, ok := ev.Bool("/data/" + name); ok {
				o.Bool(name, b)
			}
		}
		return o.Result(), nil
	case "decode":
		var v struct {
			Large string `json:"large"`
		}
		err := ev.Decode(&v)
		return berth.JSON(len(v.Large)), err
	case "time":
		return berth.RawJSON(fmt.Sprintf("[%d,%d]", ev.Attempt(), ev.Remaining().Milliseconds())), nil
	case "config":
		var v map[string]int
		err := berth.Config(&v)
		return berth.JSON(v), err
	case "log":
		berth.Debug("d")
		berth.Info("i")
		berth.Warn("w")
		berth.Error("e")
		berth.Info("")
		return berth.OK(), nil
	case "emit":
		return berth.OK(), errors.Join(
			berth.Emit(berth.Child{Type: "order_noted"}),
			berth.Emit(berth.Child{Type: "order_noted", Data: `{"a":1}`, Subject: `"s"`, IdempotencyKey: "k"}))
	case "emit later":
		return berth.OK(), errors.Join(
			ev.Emit(berth.Child{Type: "order_noted", DeliverAfter: 90 * time.Second}),
			berth.Emit(berth.Child{Type: "order_noted", DeliverAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))}),
			when(!errors.Is(berth.Emit(berth.Child{Type: "order_noted", DeliverAfter: -1}), berth.ErrInvalid), "emit into the past"),
			when(!errors.Is(berth.Emit(berth.Child{Type: "order_noted", DeliverAfter: 367 * 24 * time.Hour}), berth.ErrInvalid), "emit after a year"))
	case "emit nonsense":
		return berth.OK(), berth.Emit(berth.Child{Type: "", Data: "{"})
	case "secret":
		s, err := berth.Secret("token")
		return berth.JSON(s), err
	case "no secret":
		_, err := berth.Secret("nope")
		return berth.OK(), err
	case "kv":
		return kv()
	case "kv keys":
		return keys()
	case "kv expire":
		return expire()
	case "trace":
		trace, err := berth.Trace()
		return berth.JSON(trace), err
	case "http":
		r, err := berth.HTTP(berth.Request{Method: "POST", URL: "https://api.example.com/",
			Headers: map[string]string{"x-a": "1"}, Body: []byte("hi")})
		return berth.JSON([]any{r.Status, r.Headers["x-b"], string(r.Body)}), err
	case "http bytes":
		r, err := berth.HTTP(berth.Request{Method: "POST", URL: "https://api.example.com/", Body: []byte{0xff, 0}})
		return berth.JSON(r.Body), err
	case "mallocs":
		return mallocs(ev), nil
	case "retry":
		return berth.OK(), berth.Retryf("try %s", "later")
	case "error":
		return berth.OK(), errors.New("an ordinary error")
	case "reject":
		return berth.OK(), fmt.Errorf("wrapped: %w", berth.Reject("never"))
	case "not JSON":
		return berth.RawJSON("{"), nil
	case "cannot encode":
		return berth.JSON(func() {}), nil
	case "bad pointer":
		ev.Field("no slash")
	case "panic":
		panic("the handler panics")
	}
	return berth.OK(), berth.Rejectf("nothing to do for %q", do)
}

// before is how many allocations there had been when mallocs was called last.
var before uint64

// mallocs reads several fields and returns the number of allocations since its call for
// the previous event.
func mallocs(ev *berth.Event) berth.Result {
	for range 10 {
		ev.FieldBytes("/data")
		ev.Int("/data/int")
		ev.Bool("/data/int")
		ev.Raw()
		berth.Info("text")
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	since := m.Mallocs - before
	before = m.Mallocs
	return berth.RawJSON(strconv.FormatUint(since, 10))
}

func kv() (berth.Result, error) {
	_, err := berth.KV.Get("k")
	if err := when(!errors.Is(err, berth.ErrNotFound), "get before set"); err != nil {
		return berth.OK(), err
	}
	large := make([]byte, 5000)
	err = errors.Join(
		berth.KV.CAS("k", nil, []byte{}),
		when(!errors.Is(berth.KV.CAS("k", nil, []byte("x")), berth.ErrConflict), "cas of a key that is there"),
		berth.KV.CAS("k", []byte{}, []byte("one")),
		when(!errors.Is(berth.KV.CAS("k", []byte("two"), []byte("x")), berth.ErrConflict), "cas of another value"),
		berth.KV.CAS("k", []byte("one"), []byte("two")),
		berth.KV.Set("large", large),
		berth.KV.Delete("gone"),
		when(!errors.Is(berth.KV.Set("", large), berth.ErrInvalid), "set of the empty key"),
		when(!errors.Is(berth.KV.Set(string(large[:257]), nil), berth.ErrTooLarge), "set of a large key"),
		when(!errors.Is(berth.KV.Set("k", make([]byte, 1<<20+1)), berth.ErrTooLarge), "set of a large value"),
	)
	if err != nil {
		return berth.OK(), err
	}
	got, err := berth.KV.Get("large")
	if err := errors.Join(err, when(len(got) != len(large), "get of a large value")); err != nil {
		return berth.OK(), err
	}
	value, err := berth.KV.Get("k")
	if err != nil {
		return berth.OK(), err
	}
	var o berth.Object
	return o.Str("k", string(value)).Result(), berth.KV.Delete("large")
}

// keys writes and lists more keys than one call of the host yields.
func keys() (berth.Result, error) {
	const count = 600
	for i := range count {
		if err := berth.KV.Set(fmt.Sprintf("list/%03d", i), nil); err != nil {
			return berth.OK(), err
		}
	}
	n := 0
	for key, err := range berth.KV.Keys("list/") {
		if err := errors.Join(err, when(key != fmt.Sprintf("list/%03d", n), "the key is "+key)); err != nil {
			return berth.OK(), err
		}
		n++
	}
	for range berth.KV.Keys("") {
		break
	}
	var failed []error
	for key, err := range berth.KV.Keys(strings.Repeat("k", 257)) {
		failed = append(failed, err, when(key != "", "a key and an error"))
	}
	for key := range berth.KV.Keys("list/") {
		failed = append(failed, berth.KV.Delete(key))
	}
	tooLarge := errors.Is(errors.Join(failed...), berth.ErrTooLarge)
	return berth.RawJSON(strconv.Itoa(n)), when(!tooLarge, "keys with a long prefix")
}

// expire sets limits, which the test's host has not passed.
func expire() (berth.Result, error) {
	return berth.OK(), errors.Join(
		when(!errors.Is(berth.KV.Expire("k", time.Second), berth.ErrNotFound), "expiry of a missing key"),
		berth.KV.Set("k", []byte("v")),
		berth.KV.Expire("k", 1500*time.Millisecond),
		when(!errors.Is(berth.KV.Expire("k", -1), berth.ErrInvalid), "expiry in the past"),
		when(!errors.Is(berth.KV.Expire("k", 1<<31*time.Second), berth.ErrInvalid), "expiry too far ahead"))
}

// Batch does of each event what /data/do names.
func Batch(b *berth.Batch) error {
	for i, ev := range b.Events() {
		switch do, _ := ev.Field("/data/do"); do {
		case "fail all":
			return berth.Reject("none of " + strconv.Itoa(b.Len()))
		case "child":
			if err := ev.Emit(berth.Child{Type: "order_noted", Data: strconv.Itoa(i)}); err != nil {
				return err
			}
		case "child of none":
			err := berth.Emit(berth.Child{Type: "order_noted"})
			b.Result(i, berth.RawJSON(strconv.FormatBool(errors.Is(err, berth.ErrInvalid))))
		default:
			if result, err := Handle(ev); err != nil {
				b.Fail(i, err)
			} else {
				b.Result(i, result)
			}
		}
	}
	return nil
}

// when returns an error with that text if it happened.
func when(happened bool, text string) error {
	if happened {
		return errors.New(text)
	}
	return nil
}
