// Command conformance is the conformance handler that abi/conformance specifies, in Go.
package main

import (
	"errors"
	"strconv"
	"strings"

	berth "github.com/berth-host/berth/abi/go"
)

func main() {
	config := berth.RawConfig()
	events := 0
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
		err := berth.Emit(berth.Child{Type: text(ev, "type"), Data: child, Subject: text(ev, "subject"), IdempotencyKey: text(ev, "key")})
		return answered(answer.Bool("emitted", true), err)
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
