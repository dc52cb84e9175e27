// An Extism plugin in Go: it declares the kernel's imports as Extism's Go PDK does, and
// knows nothing of Berth. What it does is described in ../README.md.
package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"strconv"
)

//go:wasmimport extism:host/env alloc
func alloc(n uint64) uint64

//go:wasmimport extism:host/env free
func free(block uint64)

//go:wasmimport extism:host/env length
func length(block uint64) uint64

//go:wasmimport extism:host/env load_u8
func loadU8(offset uint64) uint32

//go:wasmimport extism:host/env load_u64
func loadU64(offset uint64) uint64

//go:wasmimport extism:host/env store_u8
func storeU8(offset uint64, b uint32)

//go:wasmimport extism:host/env store_u64
func storeU64(offset, word uint64)

//go:wasmimport extism:host/env input_length
func inputLength() uint64

//go:wasmimport extism:host/env input_load_u8
func inputLoadU8(offset uint64) uint32

//go:wasmimport extism:host/env input_load_u64
func inputLoadU64(offset uint64) uint64

//go:wasmimport extism:host/env output_set
func outputSet(offset, n uint64)

//go:wasmimport extism:host/env error_set
func errorSet(block uint64)

//go:wasmimport extism:host/env config_get
func configGet(key uint64) uint64

//go:wasmimport extism:host/env var_get
func varGet(key uint64) uint64

//go:wasmimport extism:host/env var_set
func varSet(key, value uint64)

//go:wasmimport extism:host/env http_request
func httpRequest(request, body uint64) uint64

//go:wasmimport extism:host/env http_status_code
func httpStatusCode() int32

//go:wasmimport extism:host/env log_info
func logInfo(block uint64)

// read reads n bytes by a word at a time.
func read(n uint64, word func(uint64) uint64, one func(uint64) uint32) []byte {
	b := make([]byte, n)
	at := uint64(0)
	for ; at+8 <= n; at += 8 {
		binary.LittleEndian.PutUint64(b[at:], word(at))
	}
	for ; at < n; at++ {
		b[at] = byte(one(at))
	}
	return b
}

func load(block uint64) []byte {
	return read(length(block), func(at uint64) uint64 { return loadU64(block + at) }, func(at uint64) uint32 { return loadU8(block + at) })
}

func store(text string) uint64 {
	block := alloc(uint64(len(text)))
	at := 0
	for ; at+8 <= len(text); at += 8 {
		storeU64(block+uint64(at), binary.LittleEndian.Uint64([]byte(text[at:at+8])))
	}
	for ; at < len(text); at++ {
		storeU8(block+uint64(at), uint32(text[at]))
	}
	return block
}

func main() {}

//go:wasmexport handle
func handle() int32 {
	answer, err := answerTo(read(inputLength(), inputLoadU64, inputLoadU8))
	if err != nil {
		if text := err.Error(); text != "" {
			block := store(text)
			errorSet(block)
			free(block)
		}
		return 1
	}
	text, _ := json.Marshal(answer)
	block := store(string(text))
	outputSet(block, uint64(len(text)))
	free(block)
	return 0
}

type answer struct {
	Order    string `json:"order,omitempty"`
	Status   string `json:"status,omitempty"`
	Currency string `json:"currency,omitempty"`
	Seen     int    `json:"seen,omitempty"`
	HTTP     int32  `json:"http,omitempty"`
	Body     string `json:"body,omitempty"`
}

func answerTo(envelope []byte) (a answer, err error) {
	var event struct {
		Data struct {
			OrderID *string `json:"order_id"`
			Status  *string `json:"status"`
			URL     string  `json:"url"`
		} `json:"data"`
	}
	if err := json.Unmarshal(envelope, &event); err != nil {
		return a, err
	}
	if event.Data.URL != "" {
		return fetch(event.Data.URL)
	}
	switch {
	case event.Data.OrderID == nil:
		return a, errors.New("no order_id")
	case event.Data.Status == nil:
		return a, errors.New("no status")
	case *event.Data.Status == "boom":
		panic("boom")
	}
	a.Order, a.Status = *event.Data.OrderID, *event.Data.Status
	key := store("currency")
	value := configGet(key)
	free(key)
	if value == 0 {
		return a, errors.New("no currency is configured")
	}
	a.Currency = string(load(value))
	seen := store("seen")
	a.Seen, _ = strconv.Atoi(string(load(varGet(seen))))
	a.Seen++
	varSet(seen, store(strconv.Itoa(a.Seen)))
	logInfo(store("an order"))
	return a, nil
}

func fetch(url string) (a answer, err error) {
	request, _ := json.Marshal(map[string]any{"method": "POST", "url": url, "headers": map[string]string{"content-type": "text/plain"}})
	body := httpRequest(store(string(request)), store("ping"))
	if a.HTTP = httpStatusCode(); a.HTTP == 0 {
		return a, errors.New("") // the host has logged the reason
	}
	a.Body = string(load(body))
	return a, nil
}
