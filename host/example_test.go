package host_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/berth-host/berth/host"
)

// A program can run a host in its own process.
func ExampleHost() {
	dir, err := os.MkdirTemp("", "berth-*")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	settings := filepath.Join(dir, "event_handlers.yaml")
	if err := os.WriteFile(settings, []byte("plugin_directories: []\nroutes: {\"*\": {}}\n"), 0o600); err != nil {
		panic(err)
	}

	ctx := context.Background()
	h, err := host.New(host.Config{ConfigPath: settings, DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0"})
	if err != nil {
		panic(err)
	}
	if err := h.Start(ctx); err != nil {
		panic(err)
	}
	defer h.Close(ctx)
	if err := h.Ready(ctx); err != nil {
		panic(err)
	}
	answer, err := http.Get(h.URL() + "/healthz")
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	fmt.Println(answer.Status)
	// Output: 200 OK
}
