package hotspottopexporter

import (
	"context"
	"os"
	"time"

	"github.com/charmbracelet/x/term"
	"go.opentelemetry.io/collector/component"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/screen"
)

// display shows frames.
type display interface {
	show(screen.Show)
	// pulse is how often a frame is shown in which nothing is new but the time;
	// 0 is never.
	pulse() time.Duration
	close()
}

// display returns a screen if the output can show one.
func (i *instance) display(host component.Host) display {
	out := i.shared.out
	if i.config.Plain || !term.IsTerminal(out.Fd()) || dumb(os.Getenv("TERM")) {
		return &plain{out: out, rows: i.config.Rows, log: i.log}
	}
	return newTerminal(out, i.log, host)
}

// dumb tells whether a terminal of this type cannot place its cursor.
func dumb(terminal string) bool { return terminal == "" || terminal == "dumb" }

// run draws until ctx ends: what came, a refresh interval after the first of it.
func (i *instance) run(ctx context.Context, d display) {
	defer d.close()
	own := newOwn()
	show := func() {
		now := time.Now()
		i.reading.Lock()
		f := i.reader.Frame(now)
		i.reading.Unlock()
		d.show(screen.Show{Frame: f, Own: own.at(now)})
	}
	var pulse <-chan time.Time
	if every := d.pulse(); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		pulse = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			select {
			case <-i.changed:
				show()
			default:
			}
			return
		case <-pulse:
		case <-i.changed:
			select {
			case <-ctx.Done():
			case <-time.After(i.config.RefreshInterval):
			}
			// What came meanwhile is in the frame.
			select {
			case <-i.changed:
			default:
			}
		}
		show()
	}
}
