// Command kernels runs the tests of the BPF programs and two scenarios on
// other kernels than this one: Debian's, booted in an emulator. It prints a table
// and, with -o, writes it into a page between two markers.
//
//	kernels -o docs/kernels.md host 5.10-amd64 6.1-arm64
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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The newest release of Debian's on which all was right.
const knownGood = "kernels/known-good"

type options struct {
	limit                 time.Duration
	short, again, forgive bool
	page                  string
}

func main() {
	var o options
	flag.StringVar(&o.page, "o", "", "the page to write the table into; "+knownGood+" is written too")
	flag.DurationVar(&o.limit, "limit", 20*time.Minute, "how long a guest may take")
	flag.BoolVar(&o.short, "short", false, "leave out what takes long")
	flag.BoolVar(&o.again, "again", false, "test a kernel once more that fails")
	flag.BoolVar(&o.forgive, "forgive", false, "report a kernel newer than that in "+knownGood+" that fails, but do not fail")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.matrix(ctx, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "kernels:", err)
		os.Exit(1)
	}
}

func (o options) matrix(ctx context.Context, names []string) error {
	text, err := os.ReadFile(knownGood)
	if err != nil {
		return err
	}
	good := strings.TrimSpace(string(text))
	into, err := filepath.Abs("_build/kernels")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(into, 0o755); err != nil {
		return err
	}
	guests := map[string]string{} // by architecture
	for _, name := range names {
		arch := kernel(name).arch()
		if guests[arch] != "" {
			continue
		}
		if guests[arch], err = os.MkdirTemp(into, "guest."); err != nil {
			return err
		}
		defer os.RemoveAll(guests[arch])
		if err := pack(ctx, guests[arch], arch, o.short); err != nil {
			return err
		}
	}
	var rows []row
	for _, name := range names {
		k := kernel(name)
		r := k.test(ctx, into, guests[k.arch()], o)
		if r.err != nil && o.again && ctx.Err() == nil {
			fmt.Printf("=== kernel %s failed: %v; once more\n", k, r.err)
			r = k.test(ctx, into, guests[k.arch()], o)
			r.again = true
		}
		rows = append(rows, r)
	}
	table := table(rows)
	fmt.Print("\n", table)
	newest, err := o.judge(os.Stdout, rows, good)
	if o.page != "" && ctx.Err() == nil {
		err = errors.Join(err, write(o.page, table), os.WriteFile(knownGood, []byte(newest+"\n"), 0o644))
	}
	return err
}

// judge tells what failed, and returns the newest version on which all was right.
func (o options) judge(report io.Writer, rows []row, good string) (newest string, err error) {
	newest = good
	for _, r := range rows {
		switch {
		case r.err == nil:
			if r.kernel != host && newer(r.version, newest) {
				newest = r.version
				fmt.Fprintf(report, "\nAll is right on %s, newer than the %s of %s.\n", newest, good, knownGood)
			}
		case o.forgive && r.isNews(good):
			fmt.Fprintf(report, "\n!!! kernel %s %s FAILS: %v\n!!! The last known good one is %s: this is reported, and fails nothing.\n",
				r.kernel, r.version, r.err, good)
		default:
			err = errors.Join(err, fmt.Errorf("%s %s: %w", r.kernel, r.version, r.err))
		}
	}
	return newest, err
}

// kernel is the name of one, as kernels/fetch has it: "6.12-amd64", or "host" for
// the one that runs.
type kernel string

const host kernel = "host"

func (k kernel) arch() string {
	if k == host {
		return runtime.GOARCH
	}
	return string(k)[strings.LastIndex(string(k), "-")+1:]
}

// fetch returns Debian's version of a kernel and what it calls itself, as far as
// they are known if there is an error.
func (k kernel) fetch(ctx context.Context, into string) (version, release string, err error) {
	if k == host {
		version, err = ownVersion()
		return version, version, err
	}
	text, err := exec.CommandContext(ctx, "kernels/fetch", string(k), into).Output()
	if err != nil {
		err = fmt.Errorf("cannot be fetched: %w%s", err, said(err))
	}
	version, release, _ = strings.Cut(strings.TrimSpace(string(text)), " ")
	return version, release, err
}

// test runs the parts on a kernel.
func (k kernel) test(ctx context.Context, into, guest string, o options) row {
	r := row{kernel: k}
	var release string
	if r.version, release, r.err = k.fetch(ctx, into); r.err != nil {
		return r
	}
	fmt.Printf("=== kernel %s: %s, %s\n", k, r.version, release)
	run := exec.CommandContext(ctx, "sh", "./run")
	run.Dir = guest
	if k != host {
		run = exec.CommandContext(ctx, "kernels/boot", string(k), into, guest)
		run.Env = append(os.Environ(), fmt.Sprintf("LIMIT=%.0f", o.limit.Seconds()))
	}
	var log bytes.Buffer
	run.Stdout = io.MultiWriter(os.Stdout, &log)
	run.Stderr = os.Stderr
	// No guest is left behind, nor a test.
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGTERM) }
	began := time.Now()
	ended := run.Run()
	r.took = time.Since(began)
	if r.results, r.err = parse(ctx, &log); r.err != nil {
		return r
	}
	if o.short {
		r.err = r.leaveOutLong()
	}
	r.err = errors.Join(r.err, why(ended), r.wrong())
	return r
}

var (
	errSlow = errors.New("the guest took too long")
	errDied = errors.New("the guest died")
)

// why says in words what the exit code of boot means.
func why(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		switch exit.ExitCode() {
		case 124:
			return errSlow
		case 125:
			return errDied
		}
	}
	return err
}

// said returns the last line that a command had to say to its error.
func said(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		lines := strings.Split(strings.TrimSpace(string(exit.Stderr)), "\n")
		return ": " + lines[len(lines)-1]
	}
	return ""
}

// ownVersion returns that of this kernel, without what its builder calls it.
func ownVersion() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	version, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-")
	return version, err
}

// isNews tells whether a kernel is newer than one that is known to be good, or
// named for being the newest and not to be had at all.
func (r row) isNews(good string) bool {
	if r.version == "" {
		return strings.HasPrefix(string(r.kernel), "newest-")
	}
	return r.kernel != host && newer(r.version, good)
}

// newer compares versions as Linux counts them: not what Debian adds.
func newer(a, b string) bool { return slices.Compare(numbers(a), numbers(b)) > 0 }

func numbers(version string) (all []int) {
	if i := strings.IndexAny(version, "-~+"); i >= 0 {
		version = version[:i]
	}
	for number := range strings.SplitSeq(version, ".") {
		n, _ := strconv.Atoi(number)
		all = append(all, n)
	}
	return all
}
