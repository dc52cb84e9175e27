package run

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/berth-host/berth/host/bus"
	"github.com/berth-host/berth/host/event"
	"github.com/berth-host/berth/host/plugin"
	"github.com/berth-host/berth/host/wire"
)

// TestRefusedPluginKeepsThePositionOfOtherHosts: another host may have started the plugin, and given
// it its position, while this one found out that it cannot.
func TestRefusedPluginKeepsThePositionOfOtherHosts(t *testing.T) {
	log := bus.NewMemory(bus.MemoryConfig{})
	defer log.Close() //nolint:errcheck // it is memory
	position := event.Cursor{Name: event.HandlerCursors("h").Position, Seq: 7}
	refused := errors.New("refused here")
	for _, shared := range []bool{true, false} {
		if err := log.ForgetHandler(t.Context(), "h"); err != nil {
			t.Fatal(err)
		}
		p := Installed{State: log, Shared: shared, Manager: func() *plugin.Manager { return new(plugin.Manager) }, Logger: slog.New(slog.DiscardHandler)}
		_, err := p.start(t.Context(), "h", func() (wire.Plugin, error) {
			return wire.Plugin{}, errors.Join(refused, log.SetCursor(t.Context(), position))
		})
		if !errors.Is(err, refused) {
			t.Fatal(err)
		}
		if seq, found, err := log.Cursor(t.Context(), position.Name); found != shared || found && seq != 7 || err != nil {
			t.Errorf("shared %v: the position is %d, %v: %v", shared, seq, found, err)
		}
	}
}
