package console

import (
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"

	"github.com/berth-host/berth/host/wire"
)

// Bar shows progress on a terminal, and nothing elsewhere.
type Bar struct{ bar *progressbar.ProgressBar }

// NewBar returns a bar on standard error. The caller must end it.
func (c *Console) NewBar() Bar {
	if !terminal(c.Err) {
		return Bar{}
	}
	return Bar{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(c.Err),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish())}
}

// NewCountBar is NewBar for a number of events.
func (c *Console) NewCountBar() Bar {
	if !terminal(c.Err) {
		return Bar{}
	}
	return Bar{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(c.Err),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("events"),
		progressbar.OptionSetWidth(30),
		progressbar.OptionClearOnFinish())}
}

// Show shows a step.
func (b Bar) Show(p wire.Progress) {
	if b.bar == nil {
		return
	}
	b.bar.Describe(Line(p.Step))
	if p.Done > 0 {
		if p.Total > 0 {
			b.bar.ChangeMax64(p.Total)
		}
		_ = b.bar.Set64(p.Done) // an error of the terminal does not fail the installation
	}
}

// End removes the bar.
func (b Bar) End() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}

// terminal reports whether a stream is a terminal.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	return err == nil
}
