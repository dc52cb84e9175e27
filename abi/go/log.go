package berth

import "github.com/berth-host/berth/abi/go/internal/wire"

// Debug writes a line to the host's log. The host keeps 8 KiB of a line,
// and drops lines of a plugin that writes too many.
func Debug(text string) { wire.Log(0, text) }

// Info writes a line to the host's log; see Debug.
func Info(text string) { wire.Log(1, text) }

// Warn writes a line to the host's log; see Debug.
func Warn(text string) { wire.Log(2, text) }

// Error writes a line to the host's log; see Debug.
func Error(text string) { wire.Log(3, text) }
