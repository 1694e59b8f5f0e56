package hotspottopexporter

import (
	"os"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/term"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/screen"
)

// terminal is a screen that answers to keys.
type terminal struct {
	program *tea.Program
	aside   *aside // nil: standard error goes elsewhere
	done    chan struct{}
	running sync.WaitGroup
}

func newTerminal(out *os.File, log *zap.Logger, host component.Host) *terminal {
	// Signals are the collector's.
	options := []tea.ProgramOption{tea.WithOutput(out), tea.WithoutSignalHandler()}
	if !term.IsTerminal(os.Stdin.Fd()) {
		options = append(options, tea.WithInput(nil))
	}
	quit := make(chan struct{}, 1)
	ask := func() {
		select {
		case quit <- struct{}{}:
		default:
		}
	}
	t := &terminal{
		program: tea.NewProgram(screen.New(newOwn().at(time.Now()), ask), options...),
		done:    make(chan struct{}),
	}
	if term.IsTerminal(os.Stderr.Fd()) {
		var err error
		if t.aside, err = setAside(func(line string) { t.program.Send(screen.Log(line)) }); err != nil {
			log.Warn("What the collector logs may disturb the screen", zap.Error(err))
		}
	}
	t.running.Go(func() { stopOn(quit, t.done, out, host) })
	t.running.Go(func() {
		_, err := t.program.Run()
		t.aside.restore()
		if err != nil {
			log.Error("The screen cannot be drawn any more", zap.Error(err))
		}
	})
	return t
}

func (t *terminal) show(s screen.Show) { t.program.Send(s) }

// The screen tells how long ago things were.
func (t *terminal) pulse() time.Duration { return time.Second }

func (t *terminal) close() {
	t.program.Quit()
	close(t.done)
	t.running.Wait()
}
