package hotspottopexporter

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/charmbracelet/x/term"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// How often the collector is asked to stop: while it starts it does not listen.
const askInterval = 250 * time.Millisecond

// stopOn stops the collector when the user asks for it, when a signal does, or
// when the terminal is gone. Until the collector listens to signals they would
// end it at once, with the terminal as the screen needs it.
func stopOn(quit, done <-chan struct{}, out *os.File, host component.Host) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	for asked := false; !asked; {
		select {
		case <-done:
			return
		case <-quit:
			asked = true
		case s := <-signals:
			// To the collector a hang-up says that its configuration has changed.
			asked = s != syscall.SIGHUP || !term.IsTerminal(out.Fd())
		}
	}
	for {
		if err := interrupt(); err != nil {
			// There are no such signals. The other way is an error.
			componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(errors.New("the user quits")))
			return
		}
		select {
		case <-done:
			return
		case <-time.After(askInterval):
		}
	}
}

// interrupt does what Ctrl-C does where there is no screen.
func interrupt() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return self.Signal(os.Interrupt)
}
