package e2e

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal is one that a collector runs on.
type terminal struct {
	*collector
	master *os.File
	slave  *os.File // kept open, so that its settings can be read at the end
	mu     sync.Mutex
	screen *vt.Emulator
	title  string
}

// runOn starts the distribution on a terminal of this size.
func runOn(t *testing.T, path, config string, width, height int, environment ...string) *terminal {
	t.Helper()
	master, slave, err := pty.Open()
	require.NoError(t, err)
	tt := &terminal{master: master, slave: slave, screen: vt.NewEmulator(width, height)}
	tt.screen.SetCallbacks(vt.Callbacks{Title: func(title string) { tt.title = title }})
	tt.resizePty(t, width, height)

	c := &collector{output: &transcript{}, exited: make(chan struct{})}
	tt.collector = c
	ctx, cancel := context.WithCancel(context.Background())
	c.cmd = exec.CommandContext(ctx, path, "--config="+config)
	c.cmd.Env = append(os.Environ(), "TERM=xterm-256color", "NO_COLOR=")
	c.cmd.Env = append(c.cmd.Env, environment...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	c.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, c.cmd.Start())
	go func() {
		defer close(c.exited)
		_ = c.cmd.Wait()
		c.result = c.cmd.ProcessState
	}()
	// A terminal answers to what it is asked.
	var pumps sync.WaitGroup
	pumps.Go(func() { _, _ = io.Copy(master, tt.screen) })
	pumps.Go(func() { _, _ = io.Copy(tt, master) })
	t.Cleanup(func() {
		cancel()
		<-c.exited
		_ = slave.Close()
		_ = master.Close()
		_ = tt.screen.InputPipe().(io.Closer).Close()
		pumps.Wait()
		if t.Failed() {
			t.Log(tt.text())
		}
	})
	return tt
}

func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, _ = t.output.Write(p)
	return t.screen.Write(p)
}

func (t *terminal) resizePty(tt *testing.T, width, height int) {
	tt.Helper()
	require.NoError(tt, pty.Setsize(t.master, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)}))
}

// resize changes the size, as a user who pulls at the window.
func (t *terminal) resize(tt *testing.T, width, height int) {
	tt.Helper()
	t.mu.Lock()
	t.screen.Resize(width, height)
	t.mu.Unlock()
	t.resizePty(tt, width, height)
}

// press types keys.
func (t *terminal) press(tt *testing.T, keys string) {
	tt.Helper()
	_, err := t.master.WriteString(keys)
	require.NoError(tt, err)
}

// lines returns what is on the screen.
func (t *terminal) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(t.screen.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func (t *terminal) text() string { return strings.Join(t.lines(), "\n") }

// awaitScreen returns the screen when the condition holds of it, and it has been
// the same twice: it is not being drawn.
func (t *terminal) awaitScreen(tt *testing.T, what string, holds func(lines []string) bool) (lines []string) {
	tt.Helper()
	t.await(tt, what, func() bool {
		before := lines
		lines = t.lines()
		return slices.Equal(before, lines) && holds(lines)
	})
	return lines
}

// settings returns those of the terminal's driver.
func (t *terminal) settings(tt *testing.T) unix.Termios {
	tt.Helper()
	settings, err := unix.IoctlGetTermios(int(t.slave.Fd()), unix.TCGETS)
	require.NoError(tt, err)
	return *settings
}

// left waits until the collector has exited by itself, and returns what it wrote
// after the screen.
func (t *terminal) left(tt *testing.T) string {
	tt.Helper()
	select {
	case <-t.exited:
		require.Equal(tt, 0, t.result.ExitCode())
	case <-time.After(patience):
		require.Fail(tt, "it does not exit")
	}
	const leave = "\x1b[?1049l"
	var after []byte
	require.Eventually(tt, func() bool {
		_, rest, found := bytes.Cut([]byte(t.output.String()), []byte(leave))
		after = rest
		return found
	}, patience, pace, "it does not leave the screen")
	return string(after)
}
