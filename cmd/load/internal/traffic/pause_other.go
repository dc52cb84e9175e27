//go:build !linux

package traffic

import "time"

func pause(d time.Duration) { time.Sleep(d) }
