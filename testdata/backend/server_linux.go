// Package backend runs what the collector sends to: VictoriaMetrics, VictoriaLogs
// and Prometheus, for tests and for the demo.
package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// grace is how long a server may take to end, and pace how often one that starts
// is asked whether it is ready.
const (
	grace = 10 * time.Second
	pace  = 100 * time.Millisecond
)

// Server is a program that answers over HTTP.
type Server struct {
	// URL is where it answers, without a path.
	URL string
	// Cmd is how it is started. It may be changed before.
	Cmd *exec.Cmd

	address string
	ready   string // path that answers with 200 once it does its work
	log     string // file of what it says
	exited  chan struct{}
}

// newServer is of a program that is to listen at this address. What it writes is
// in a file of its name in dir.
func newServer(program, address, ready, dir string, args ...string) *Server {
	return &Server{
		URL: "http://" + address, Cmd: exec.Command(program, args...),
		address: address, ready: ready, log: filepath.Join(dir, filepath.Base(program)+".log"), exited: make(chan struct{}),
	}
}

// Start returns when the server answers. An error says why it does not, with
// what the server wrote; then it has ended. It does not outlive this process.
func (s *Server) Start(ctx context.Context) error {
	if err := s.start(); err != nil {
		return fmt.Errorf("start %s: %w", filepath.Base(s.Cmd.Path), err)
	}
	for !s.answers(ctx) {
		select {
		case <-time.After(pace):
			continue
		case <-s.exited:
		case <-ctx.Done():
			s.Stop()
		}
		return fmt.Errorf("%s did not get ready: %w\n%s", filepath.Base(s.Cmd.Path), errors.Join(ctx.Err(), errors.New(s.Cmd.ProcessState.String())), s.Log())
	}
	return nil
}

func (s *Server) start() error {
	// A server of somebody else would answer in its place.
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	if err := listener.Close(); err != nil {
		return err
	}
	log, err := os.Create(s.log)
	if err != nil {
		return err
	}
	defer log.Close()
	s.Cmd.Stdout, s.Cmd.Stderr = log, log
	if s.Cmd.SysProcAttr == nil {
		s.Cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	s.Cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := s.Cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(s.exited)
		_ = s.Cmd.Wait() // its state says how it ended
	}()
	return nil
}

func (s *Server) answers(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+s.ready, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// Exited is closed when the server has ended.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Log returns what the server has written.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Stop ends a server that was started and returns when it is gone.
func (s *Server) Stop() {
	_ = s.Cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.exited:
	case <-time.After(grace):
		_ = s.Cmd.Process.Kill()
		<-s.exited
	}
}
