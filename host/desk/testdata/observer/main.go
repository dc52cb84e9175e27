// Command observer is a guest of the stdio style that reports what differs between runs: the
// time, a duration, random bytes. Its result is JSON.
package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	envelope, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	begun := time.Now()
	time.Sleep(time.Hour)
	if bytes.Contains(envelope, []byte("long")) {
		time.Sleep(2 * time.Hour)
	}
	slept := time.Since(begun)
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		panic(err)
	}
	m := map[string]bool{"a": true, "b": true, "c": true}
	order := ""
	for key := range m {
		order += key
	}
	fmt.Printf(`{"now":%q,"slept":%q,"random":"%x","order":%q}`, begun.UTC().Format(time.RFC3339Nano), slept, random, order)
}
