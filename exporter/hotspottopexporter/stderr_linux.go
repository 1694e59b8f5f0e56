package hotspottopexporter

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// How many of the last lines are kept.
const maxAside = 1000

// aside is where standard error goes while there is a screen: into a pipe, since
// the collector's log, and whatever else is written, would tear the screen.
type aside struct {
	before *os.File // what standard error was
	kept   []string // the last lines
	done   chan struct{}
}

// setAside begins it, and calls each with every line. A crash is still written
// where it would have been.
func setAside(each func(line string)) (*aside, error) {
	fd, err := unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("keep standard error: %w", err)
	}
	a := &aside{before: os.NewFile(uintptr(fd), "stderr"), done: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, a.before.Close())
	}
	if err := unix.Dup3(int(w.Fd()), unix.Stderr, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("replace standard error: %w", err), a.before.Close(), r.Close(), w.Close())
	}
	// What is left of the writing end is standard error itself.
	_ = w.Close()
	_ = debug.SetCrashOutput(a.before, debug.CrashOptions{})
	go func() {
		defer close(a.done)
		defer r.Close()
		lines := bufio.NewReader(r)
		for {
			// A part of a line that is too long is taken for one: nobody may be kept from
			// writing.
			line, _, err := lines.ReadLine()
			if err != nil {
				return
			}
			a.kept = append(a.kept, string(line))
			if len(a.kept) > maxAside {
				a.kept = a.kept[1:]
			}
			each(string(line))
		}
	}()
	return a, nil
}

// restore ends it, and writes the last lines where they would have gone.
func (a *aside) restore() {
	if a == nil {
		return
	}
	_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
	_ = unix.Dup3(int(a.before.Fd()), unix.Stderr, 0)
	<-a.done
	for _, line := range a.kept {
		_, _ = fmt.Fprintln(a.before, line)
	}
	_ = a.before.Close()
}
