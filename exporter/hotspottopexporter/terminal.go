package hotspottopexporter

import (
	"errors"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/term"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/screen"
)

// terminal is a screen that answers to keys.
type terminal struct {
	program *tea.Program
	aside   *aside // nil: standard error goes elsewhere
	done    chan struct{}
}

func newTerminal(out *os.File, log *zap.Logger, host component.Host) *terminal {
	// Signals are the collector's.
	options := []tea.ProgramOption{tea.WithOutput(out), tea.WithoutSignalHandler()}
	if !term.IsTerminal(os.Stdin.Fd()) {
		options = append(options, tea.WithInput(nil))
	}
	t := &terminal{
		program: tea.NewProgram(screen.New(newOwn().at(time.Now()), func() { quit(host) }), options...),
		done:    make(chan struct{}),
	}
	if term.IsTerminal(os.Stderr.Fd()) {
		var err error
		if t.aside, err = setAside(func(line string) { t.program.Send(screen.Log(line)) }); err != nil {
			log.Warn("What the collector logs may disturb the screen", zap.Error(err))
		}
	}
	go func() {
		defer close(t.done)
		_, err := t.program.Run()
		t.aside.restore()
		if err != nil {
			log.Error("The screen cannot be drawn any more", zap.Error(err))
		}
	}()
	return t
}

func (t *terminal) show(s screen.Show) { t.program.Send(s) }

// The screen tells how long ago things were.
func (t *terminal) pulse() time.Duration { return time.Second }

func (t *terminal) close() {
	t.program.Quit()
	<-t.done
}

// quit stops the collector as Ctrl-C does where no screen is, or where there are
// no such signals by what is left.
func quit(host component.Host) {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(os.Interrupt)
	}
	if err != nil {
		go componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(errors.New("the user quits")))
	}
}
