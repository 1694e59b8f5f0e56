// Command kernels runs the tests of the BPF programs and two scenarios on
// other kernels than this one: Debian's, booted in an emulator. It prints a table
// and, with -o, writes it into a page between two markers.
//
//	kernels -o docs/kernels.md host 6.12-amd64 6.1-arm64
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	page := flag.String("o", "", "the page to write the table into")
	limit := flag.Duration("limit", 20*time.Minute, "how long a guest may take")
	short := flag.Bool("short", false, "leave out what takes long")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := matrix(ctx, flag.Args(), *limit, *short, *page); err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

func matrix(ctx context.Context, names []string, limit time.Duration, short bool, page string) error {
	into, err := filepath.Abs("_build/kernels")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	var rows []row
	var errs []error
	for _, name := range names {
		r, err := kernel(name).test(ctx, into, limit, short)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		rows = append(rows, r)
	}
	text := table(rows)
	fmt.Print("\n", text)
	if page != "" {
		errs = append(errs, write(page, text))
	}
	return errors.Join(errs...)
}

// kernel is the name of one: "6.12-amd64", or "host" for the one that runs.
type kernel string

const host kernel = "host"

func (k kernel) parts() (series, arch string) {
	if k == host {
		return "", runtime.GOARCH
	}
	series, arch, _ = strings.Cut(string(k), "-")
	return series, arch
}

// test runs the parts on a kernel. What failed is an error; the row is there
// whatever came of it.
func (k kernel) test(ctx context.Context, into string, limit time.Duration, short bool) (row, error) {
	series, arch := k.parts()
	r := row{kernel: k, arch: arch}
	guest, err := os.MkdirTemp(into, "guest.")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(guest)
	if err := pack(ctx, guest, arch, short); err != nil {
		return r, err
	}
	run := exec.CommandContext(ctx, "sh", "./run")
	run.Dir = guest
	if k != host {
		fetched, err := exec.CommandContext(ctx, "kernels/fetch", series, arch, into).Output()
		if err != nil {
			return r, fmt.Errorf("fetch: %w%s", err, said(err))
		}
		r.release = strings.TrimPrefix(strings.TrimSpace(string(fetched)), "linux-image-")
		run = exec.CommandContext(ctx, "kernels/boot", series, arch, into, guest)
		run.Env = append(os.Environ(), fmt.Sprintf("LIMIT=%.0f", limit.Seconds()))
	} else if r.release, err = release(); err != nil {
		return r, err
	}
	fmt.Printf("=== kernel %s\n", r.release)
	var log bytes.Buffer
	run.Stdout = io.MultiWriter(os.Stdout, &log)
	run.Stderr = os.Stderr
	// No guest is left behind, nor a test.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGTERM) }
	began := time.Now()
	ended := run.Run()
	r.took = time.Since(began)
	if r.results, err = parse(ctx, &log); err != nil {
		return r, err
	}
	if short {
		err = r.leaveOutLong()
	}
	return r, errors.Join(err, why(ended), r.wrong())
}

// why says in words what the exit code of boot means.
func why(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		switch exit.ExitCode() {
		case 124:
			return errors.New("the guest took too long")
		case 125:
			return errors.New("the guest died")
		}
	}
	return err
}

func said(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "\n" + string(exit.Stderr)
	}
	return ""
}

// release returns the version of this kernel, without what its builder calls it.
func release() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	version, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return version, err
}
