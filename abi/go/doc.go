// Package berth is the SDK for Berth event handlers written in Go. A handler
// is an ordinary command, built by berth plugin build, or with
//
//	GOOS=wasip1 GOARCH=wasm go build -trimpath -ldflags=-w -o my-handler.wasm
//
// whose main passes a function to Run. Run calls it once per event, one event at a
// time, and returns when the host ends the instance:
//
//	func main() { berth.Run(handle) }
//
//	func handle(ev *berth.Event) (berth.Result, error) {
//		status, ok := ev.Field("/data/status")
//		if !ok {
//			return berth.Result{}, berth.Reject("the event has no status")
//		}
//		berth.Info("now " + status)
//		return berth.OK(), nil
//	}
//
// How an event ends:
//
//   - a Result and no error: the event is done.
//   - an error of Reject, also a wrapped one: the event goes to the handler's dead
//     letters at once.
//   - any other error, Retry's included: it is delivered again after a backoff.
//     After the last attempt it goes to the dead letters.
//   - a panic: as an error, but the instance is lost with its memory. The host keeps
//     the panic's text.
//
// Fields are read by the host: Field, FieldBytes, Int and Bool need no JSON
// parser, and neither do FieldJSON, and Object and RawJSON, which make results. A handler that
// leaves Decode, JSON, Config and HTTP alone is a megabyte smaller, because
// encoding/json is not linked, and several times faster.
//
// A plugin whose manifest asks for batches passes a function to RunBatch instead.
//
// An instance handles one event, or batch, at a time, and its goroutines stop while it waits for
// the next one: leave none running. State that must survive an instance belongs in
// KV. Nothing here is safe for concurrent use.
//
// Package berthtest runs handlers in ordinary tests, without WebAssembly.
package berth
