package abi_test

import (
	"fmt"

	"github.com/berth-host/berth/abi"
)

func ExampleParseManifest() {
	m, err := abi.ParseManifest([]byte(`{"name": "fraud-check", "version": "1.2.0",
		"subscribes": [{"event_type": "order_*"}], "limits": {"timeout": "2s", "memory": "32MiB"}}`))
	fmt.Println(m.Name, m.Subscribes[0].EventType, m.Limits.Timeout, m.Limits.Memory, err)

	_, err = abi.ParseManifest([]byte(`{"limits": {"timeout": 2}}`))
	fmt.Println(err)
	// Output:
	// fraud-check order_* 2s 32MiB <nil>
	// manifest: limits.timeout: must be a duration in quotes, like "2s"
}

func ExampleFindSection() {
	module := []byte("\x00asm\x01\x00\x00\x00" + "\x00\x11" + "\x0eberth.manifest" + "{}")
	text, found, err := abi.FindSection(module, abi.ManifestSection)
	fmt.Printf("%s %v %v\n", text, found, err)
	// Output: {} true <nil>
}
