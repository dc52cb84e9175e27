// Command gojson is a guest for the tests and benchmarks of host/sandbox/meter: a
// handler that decodes an order with encoding/json and encodes a result.
// Built with GOOS=wasip1 GOARCH=wasm -buildmode=c-shared.
package main

import (
	"encoding/json"
	"sort"
	"strings"
	"unsafe"
)

type envelope struct {
	EventType string `json:"event_type"`
	Data      struct {
		ID    string `json:"id"`
		Items []struct {
			SKU      string `json:"sku"`
			Quantity int    `json:"quantity"`
			Price    int    `json:"unit_price_cents"`
		} `json:"items"`
	} `json:"data"`
	Metadata map[string]any `json:"metadata"`
}

var buffer [1 << 16]byte

//go:wasmexport input
func input() uint32 { return uint32(uintptr(unsafe.Pointer(&buffer[0]))) }

// handle reads n bytes of the buffer and returns the length of the result that it
// writes there.
//
//go:wasmexport handle
func handle(n uint32) uint32 {
	var e envelope
	if err := json.Unmarshal(buffer[:n], &e); err != nil {
		return uint32(copy(buffer[:], err.Error()))
	}
	total, skus := 0, []string{}
	for _, item := range e.Data.Items {
		total += item.Quantity * item.Price
		skus = append(skus, item.SKU)
	}
	sort.Strings(skus)
	out, err := json.Marshal(map[string]any{"id": e.Data.ID, "total_cents": total, "skus": strings.Join(skus, ","),
		"source": e.Metadata["source"]})
	if err != nil {
		panic(err)
	}
	return uint32(copy(buffer[:], out))
}

func main() {}
