package config

import (
	"context"
	"time"

	"github.com/berth-host/berth/host/config/file"
)

// Watch calls fn once when it has begun to watch, so that nothing is missed
// between a Load and a Watch, and then whenever the file's content has changed
// and nothing more has happened for debounce. It returns when ctx ends (nil) or
// the system refuses to watch (fault.Unavailable). See file.Watch.
func Watch(ctx context.Context, path string, debounce time.Duration, fn func()) error {
	return file.Watch(ctx, path, debounce, fn)
}
