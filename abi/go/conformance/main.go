// Command conformance is the conformance handler that abi/conformance specifies, in Go.
package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	berth "github.com/berth-host/berth/abi/go"
)

func main() {
	config := berth.RawConfig()
	events := 0
	if strings.Contains(config, `"batch"`) {
		berth.RunBatch(func(b *berth.Batch) error { return handleBatch(b, config, &events) })
		return
	}
	berth.Run(func(ev *berth.Event) (berth.Result, error) {
		events++
		return handle(ev, config, events)
	})
}

// handle does what the op of the event says. events counts those of this instance.
func handle(ev *berth.Event, config string, events int) (berth.Result, error) {
	op, _ := ev.Field("/data/op")
	switch group, _, _ := strings.Cut(op, "_"); group {
	case "kv":
		return keyValue(ev, op)
	case "retry", "reject", "empty", "raw":
		return finish(ev, op)
	}
	var answer berth.Object
	switch op {
	case "echo":
		value, ok := ev.FieldJSON("/data/value")
		if !ok {
			return berth.OK(), berth.Reject("no value")
		}
		return berth.RawJSON(value), nil
	case "envelope":
		answer.Int("bytes", int64(len(ev.Raw())))
	case "typed":
		return typed(ev), nil
	case "field":
		return field(ev)
	case "number":
		n, isInt := ev.Int("/data/int")
		b, isBool := ev.Bool("/data/bool")
		if !isInt || !isBool {
			return berth.OK(), berth.Reject("no number")
		}
		answer.Int("int", n).Bool("bool", b)
	case "config":
		return berth.RawJSON(config), nil
	case "log":
		logLine(text(ev, "level"), text(ev, "text"))
		return berth.OK(), nil
	case "emit":
		child, _ := ev.FieldJSON("/data/child")
		after, _ := ev.Int("/data/after")
		at, _ := time.Parse(time.RFC3339, text(ev, "at"))
		err := ev.Emit(berth.Child{Type: text(ev, "type"), Data: child, Subject: text(ev, "subject"), IdempotencyKey: text(ev, "key"),
			DeliverAt: at, DeliverAfter: time.Duration(after) * time.Second})
		return answered(answer.Bool("emitted", true), err)
	case "trace":
		trace, err := berth.Trace()
		return answered(answer.Str("value", trace), err)
	case "http":
		return request(ev)
	case "secret":
		value, err := berth.Secret(text(ev, "name"))
		return answered(answer.Str("value", value), err)
	case "count":
		answer.Int("count", int64(events))
	case "work":
		n, _ := ev.Int("/data/n")
		answer.Int("done", work(n))
	case "panic":
		panic(text(ev, "message"))
	default:
		return berth.OK(), berth.Reject("unknown op")
	}
	return answer.Result(), nil
}

// handleBatch does for each event of a batch what its op says.
func handleBatch(b *berth.Batch, config string, events *int) error {
	for i, ev := range b.Events() {
		*events++
		switch text(ev, "op") {
		case "size":
			var answer berth.Object
			b.Result(i, answer.Int("size", int64(b.Len())).Result())
		case "fail_all":
			return berth.Retry(text(ev, "reason"))
		default:
			if result, err := handle(ev, config, *events); err != nil {
				b.Fail(i, err)
			} else {
				b.Result(i, result)
			}
		}
	}
	return nil
}

// text returns a member of the data, "" when it is missing.
func text(ev *berth.Event, name string) string {
	value, _ := ev.Field("/data/" + name)
	return value
}

// answered returns the answer, or the code of an error of the host.
func answered(answer *berth.Object, err error) (berth.Result, error) {
	var code berth.Code
	if !errors.As(err, &code) {
		return answer.Result(), err
	}
	var failure berth.Object
	failure.Str("error", strings.ToUpper(strings.ReplaceAll(code.Error(), " ", "_")))
	return failure.Result(), nil
}

// finish ends the event in the way that the op names.
func finish(ev *berth.Event, op string) (berth.Result, error) {
	switch op {
	case "raw":
		return berth.RawJSON(text(ev, "text")), nil
	case "retry":
		return berth.OK(), berth.Retry(text(ev, "reason"))
	case "reject":
		return berth.OK(), berth.Reject(text(ev, "reason"))
	case "retry_until":
		attempt := ev.Attempt()
		if until, _ := ev.Int("/data/attempt"); int64(attempt) < until {
			return berth.OK(), berth.Retry("attempt " + strconv.Itoa(attempt))
		}
		var answer berth.Object
		answer.Int("attempt", int64(attempt))
		return answer.Result(), nil
	}
	return berth.OK(), nil
}

// keyValue does one operation on the plugin's state.
func keyValue(ev *berth.Event, op string) (berth.Result, error) {
	var answer berth.Object
	key, value := text(ev, "key"), []byte(text(ev, "value"))
	switch op {
	case "kv_get":
		value, err := berth.KV.Get(key)
		return answered(answer.Str("value", string(value)), err)
	case "kv_set":
		return answered(answer.Bool("set", true), berth.KV.Set(key, value))
	case "kv_cas":
		var old []byte
		if present, ok := ev.Field("/data/old"); ok {
			old = append([]byte{}, present...)
		}
		return answered(answer.Bool("set", true), berth.KV.CAS(key, old, value))
	case "kv_delete":
		return answered(answer.Bool("deleted", true), berth.KV.Delete(key))
	case "kv_expire":
		seconds, _ := ev.Int("/data/seconds")
		return answered(answer.Bool("expires", true), berth.KV.Expire(key, time.Duration(seconds)*time.Second))
	case "kv_fill":
		n, _ := ev.Int("/data/n")
		for i := range n {
			if err := berth.KV.Set(text(ev, "prefix")+strconv.FormatInt(i, 10), nil); err != nil {
				return answered(nil, err)
			}
		}
		answer.Int("filled", n)
		return answer.Result(), nil
	case "kv_list":
		keys := []string{}
		for key, err := range berth.KV.Keys(text(ev, "prefix")) {
			if err != nil {
				return answered(nil, err)
			}
			keys = append(keys, key)
		}
		answer.Strs("keys", keys)
		return answer.Result(), nil
	}
	return berth.OK(), berth.Reject("unknown op")
}

// work allocates n small strings, and returns n.
func work(n int64) int64 {
	size := 0
	for i := range n {
		size += len("item " + strconv.FormatInt(i, 10))
	}
	if size < 0 {
		panic("no string has a negative length")
	}
	return n
}

func logLine(level, line string) {
	switch level {
	case "debug":
		berth.Debug(line)
	case "info":
		berth.Info(line)
	case "warn":
		berth.Warn(line)
	default:
		berth.Error(line)
	}
}
