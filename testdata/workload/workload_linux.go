// Package workload holds programs of known behaviour for tests to measure.
//
// A test runs them by executing its own binary again, so they need no Go
// toolchain, no C and no files: they go wherever the test binary goes. TestMain
// calls [Main] first; a test calls [Start].
//
// Every workload ends with its parent, and by itself after [DefaultLife].
package workload

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
)

// DefaultLife is how long a workload lives at most; -life sets another.
const DefaultLife = 120 * time.Second

// What turns a test binary into a workload: the name of one.
const variable = "HOTSPOT_TEST_WORKLOAD"

func init() {
	// A goroutine locked during initialisation stays on the main thread, which
	// is the thread group leader: the one a workload's process is known by.
	if os.Getenv(variable) != "" {
		runtime.LockOSThread()
	}
}

// Main returns at once unless this process was started as a workload: then it
// runs it and exits. To be called before anything else in TestMain.
func Main() {
	name := os.Getenv(variable)
	if name == "" {
		return
	}
	if err := run(name, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "workload %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run runs a workload with its command line: options, then arguments.
func run(name string, args []string) error {
	var o options
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.IntVar(&o.nice, "nice", 0, "nice value of the main thread")
	flags.IntVar(&o.cpu, "cpu", -1, "the only CPU it may run on")
	flags.IntVar(&o.fifo, "fifo", 0, "real-time priority (SCHED_FIFO) of the main thread; 0 is none")
	flags.StringVar(&o.comm, "comm", name, "name of the main thread")
	flags.DurationVar(&o.life, "life", DefaultLife, "killed after this time")
	exit := flags.Bool("exit", false, "account: exit instead of stopping")
	children := flags.Int("count", 0, "spawn, exits, churn: how many children or threads; 0 is without end")
	one := flags.Bool("one", false, "pingpong: one process, of two threads")
	pinned := flags.Bool("pinned", false, "crowd: each thread stays on one CPU")
	base := flags.Int("base", 0, "leak: bytes to have before it begins, when continued")
	collect := flags.Duration("collect", 0, "leak: gives back a part this often; 0 is never")
	each := flags.Int("threads", 1, "sleepers: how many each process has")
	wake := flags.Int("wake", 0, "sleepers: one thread in so many wakes up now and then; 0 is none")
	leaderless := flags.Bool("leaderless", false, "threads: the thread group leader exits")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := o.apply(); err != nil {
		return err
	}
	a := arguments{rest: flags.Args()}
	work := func() error { return fmt.Errorf("no such workload") }
	switch name {
	case "busy":
		work = busy
	case "crowd":
		n := a.number("threads")
		work = func() error { return crowd(n, *pinned) }
	case "hot":
		n := a.number("sleeping-threads")
		work = func() error { return hot(n) }
	case "ticker":
		run, every := a.duration("run"), a.duration("every")
		work = func() error { return ticker(run, every) }
	case "exec":
		cpu := a.duration("cpu-time")
		work = func() error { return execThread(cpu) }
	case "successors":
		cpu := a.duration("cpu-each")
		work = func() error { return successors(cpu) }
	case "burn":
		cpu := a.duration("cpu-time")
		work = func() error { return burn(cpu) }
	case "count":
		file := a.next("file")
		work = func() error { return count(file) }
	case "account":
		cpu, pages, switches := a.duration("cpu-time"), a.number("pages"), a.number("switches")
		work = func() error { return account(cpu, pages, switches, *exit) }
	case "threads":
		live, gone := a.number("live"), a.number("gone")
		work = func() error { return threads(live, gone, *leaderless) }
	case "sleepers":
		n := a.number("processes")
		work = func() error { return sleepers(n, *each, *wake) }
	case "spawn":
		rate, cpu := a.number("per-second"), a.duration("cpu-each")
		work = func() error { return spawn(rate, cpu, *children) }
	case "exits":
		rate := a.number("per-second")
		work = func() error { return exits(rate, *children) }
	case "churn":
		cpu := a.duration("cpu-each")
		work = func() error { return churn(cpu, *children) }
	case "pingpong":
		work = func() error { return ring(2) }
		if *one {
			work = pingpong
		}
	case "ring":
		n := a.number("processes")
		work = func() error { return ring(n) }
	case "leak":
		rate := a.number("bytes-per-second")
		work = func() error { return leak(*base, rate, *collect) }
	case "heap":
		pages, fill, rate := a.number("pages"), a.duration("fill-time"), a.number("faults-per-second")
		work = func() error { return heap(pages, fill, rate) }
	case "reread":
		file, size := a.next("file"), a.number("bytes")
		work = func() error { return reread(file, size) }
	case "refault":
		pages := a.number("pages")
		work = func() error { return refault(pages) }
	}
	if a.err != nil {
		return a.err
	}
	return work()
}

// ready tells [Start] that the workload has begun what it is for.
func ready() error {
	_, err := os.Stdout.WriteString(readyLine)
	return err
}

// arguments takes what follows the options, one at a time; err is the first
// that was missing or malformed.
type arguments struct {
	rest []string
	err  error
}

func (a *arguments) next(what string) string {
	if len(a.rest) == 0 {
		if a.err == nil {
			a.err = fmt.Errorf("%s is missing", what)
		}
		return ""
	}
	arg := a.rest[0]
	a.rest = a.rest[1:]
	return arg
}

func (a *arguments) number(what string) int {
	n, err := strconv.Atoi(a.next(what))
	if a.err == nil && err != nil {
		a.err = fmt.Errorf("%s: %w", what, err)
	}
	return n
}

func (a *arguments) duration(what string) time.Duration {
	d, err := time.ParseDuration(a.next(what))
	if a.err == nil && err != nil {
		a.err = fmt.Errorf("%s: %w", what, err)
	}
	return d
}
