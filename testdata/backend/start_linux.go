package backend

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a server may take to get ready.
const patience = 60 * time.Second

// StartVictoriaMetrics runs one until the end of the test.
func StartVictoriaMetrics(t testing.TB, flags ...string) *Server {
	t.Helper()
	return start(t, VictoriaMetrics(program(t, "victoria-metrics"), freeAddress(t), t.TempDir(), flags...))
}

// StartVictoriaLogs runs one until the end of the test.
func StartVictoriaLogs(t testing.TB, flags ...string) *Server {
	t.Helper()
	return start(t, VictoriaLogs(program(t, "victoria-logs"), freeAddress(t), t.TempDir(), flags...))
}

// StartPrometheus runs one that scrapes a target until the end of the test.
func StartPrometheus(t testing.TB, target string) *Server {
	t.Helper()
	s, err := Prometheus(program(t, "prometheus"), freeAddress(t), t.TempDir(), target)
	require.NoError(t, err)
	return start(t, s)
}

func start(t testing.TB, s *Server) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.Start(ctx))
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Log(s.Log())
		}
	})
	return s
}

// program is where make puts it, beside the distribution under test.
func program(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(filepath.Dir(os.Getenv("HOTSPOT_BINARY")), name)
	require.FileExists(t, path, "run make e2e")
	return path
}

// freeAddress returns a loopback address nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}
