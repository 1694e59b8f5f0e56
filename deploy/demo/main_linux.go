// The demo runs the collector of this host with VictoriaMetrics and VictoriaLogs
// and prints where to look. Its data is in a temporary directory and goes with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/hotspot-otel/hotspot/testdata/backend"
)

// Paths are from the repository's root, where make runs this.
const (
	config     = "configs/victoriametrics.yaml"
	dashboards = "deploy/victoriametrics"

	metricsPage = "/vmui/?#/dashboards?g0.range_input=5m&g0.relative_time=last_5_minutes"
	logsPage    = "/select/vmui/?#/?query=hotspot.diagnosis:*&g0.range_input=5m&g0.relative_time=last_5_minutes"
)

func main() {
	metrics := flag.String("metrics", "127.0.0.1:8428", "where VictoriaMetrics listens")
	logs := flag.String("logs", "127.0.0.1:9428", "where VictoriaLogs listens")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := demo(ctx, *metrics, *logs); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// demo runs until the context ends or one of the programs does, which is an error.
func demo(ctx context.Context, metrics, logs string) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "hotspot-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	attr, err := unprivileged(dir)
	if err != nil {
		return err
	}
	vm := backend.VictoriaMetrics("_build/victoria-metrics", metrics, dir, "-vmui.customDashboardsPath="+dashboards)
	vl := backend.VictoriaLogs("_build/victoria-logs", logs, dir)
	for _, store := range []*backend.Server{vm, vl} {
		store.Cmd.SysProcAttr = &attr
		if err := store.Start(ctx); err != nil {
			return err
		}
		defer store.Stop()
	}

	collector := exec.CommandContext(ctx, "_build/otelcol-hotspot", "--config="+config, "--config=yaml:service::telemetry::logs::level: warn")
	collector.Env = append(os.Environ(), "VICTORIAMETRICS_URL="+vm.URL, "VICTORIALOGS_URL="+vl.URL)
	collector.Stdout, collector.Stderr = os.Stdout, os.Stderr
	collector.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	collector.Cancel = func() error { return collector.Process.Signal(syscall.SIGTERM) }
	collector.WaitDelay = 10 * time.Second
	if err := collector.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = collector.Wait() // its state says how it ended
	}()
	fmt.Printf("Watching this host. A window is 5 seconds; Ctrl-C stops all.\n\n  metrics    %s\n  diagnoses  %s\n\n", vm.URL+metricsPage, vl.URL+logsPage)

	select {
	case <-exited:
		err = fmt.Errorf("the collector has ended: %s", collector.ProcessState)
	case <-vm.Exited():
		err = fmt.Errorf("VictoriaMetrics has ended:\n%s", vm.Log())
	case <-vl.Exited():
		err = fmt.Errorf("VictoriaLogs has ended:\n%s", vl.Log())
	case <-ctx.Done():
	}
	cancel()
	<-exited
	return err
}

// unprivileged is how the stores run: as who called sudo, if anybody did, and
// the directory is theirs. A Ctrl-C is for the demo, which ends them in order.
func unprivileged(dir string) (syscall.SysProcAttr, error) {
	attr := syscall.SysProcAttr{Setpgid: true}
	uid, notUID := strconv.ParseUint(os.Getenv("SUDO_UID"), 10, 32)
	gid, notGID := strconv.ParseUint(os.Getenv("SUDO_GID"), 10, 32)
	if os.Geteuid() != 0 || notUID != nil || notGID != nil {
		return attr, nil
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, os.Chown(dir, int(uid), int(gid))
}
