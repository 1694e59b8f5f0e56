package sampler

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/host"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// What makes a test binary the sampler that is held up.
const heldUpVariable = "HOTSPOT_TEST_HELD_UP"

// A pass that took this long has lost its CPU: one over these hosts takes 10 ms.
const longPass = 25 * time.Millisecond

// heldUp is what that sampler has seen.
type heldUp struct {
	Passes, Long int
	// Threads that are said to have run and waited for longer than their span and a
	// tick, late as that may be; the worst, and by how much.
	Impossible int
	Worst      string
	Excess     time.Duration
	// The same by the host's window.
	ImpossibleByHost int
}

// MainHeldUp returns at once unless this process was started to be held up: then
// it makes passes, and says after each what it has seen so far.
func MainHeldUp() {
	if os.Getenv(heldUpVariable) == "" {
		return
	}
	fmt.Fprintln(os.Stderr, mainHeldUp())
	os.Exit(1)
}

func mainHeldUp() error {
	census, err := bpf.OpenCensus()
	if err != nil {
		return err
	}
	h, err := host.Open("/proc", "/sys")
	if err != nil {
		return err
	}
	// The coarse clock goes forward with every tick. A tick itself comes late where
	// interrupts are off or the host is busy: of one in 4 ms up to 0.4 ms were seen.
	var res unix.Timespec
	if err := unix.ClockGetres(unix.CLOCK_MONOTONIC_COARSE, &res); err != nil {
		return err
	}
	s, seen, report := New(Sources{Census: census, Host: h}, 2), heldUp{}, json.NewEncoder(os.Stdout)
	for {
		began := time.Now()
		snapshot, err := s.Sample()
		if err != nil {
			return err
		}
		seen.pass(s, snapshot, time.Since(began), time.Duration(res.Nano())*5/4)
		if err := report.Encode(seen); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (seen *heldUp) pass(s *Sampler, snapshot *Snapshot, took, tick time.Duration) {
	if seen.Passes++; took >= longPass {
		seen.Long++
	}
	if snapshot.Length == 0 {
		return
	}
	for _, th := range s.threads {
		if th.pass != s.pass {
			continue
		}
		wanted := since(th.now.cpu, th.before.cpu) + since(th.now.runQueue, th.before.runQueue)
		if wanted > snapshot.Length+tick {
			seen.ImpossibleByHost++
		}
		excess := wanted - (th.at - th.before.at)
		if excess > tick {
			seen.Impossible++
		}
		if excess > seen.Excess {
			seen.Excess = excess
			seen.Worst = fmt.Sprintf("pass %d: thread %d of %q ran %v, waited %v in %v of a window of %v", s.pass, th.tid, th.of.Name,
				since(th.now.cpu, th.before.cpu), since(th.now.runQueue, th.before.runQueue), th.at-th.before.at, snapshot.Length)
		}
	}
}

// The collector is stopped and continued in the middle of passes, or kept from its
// CPU by others, beside threads that always run or wait.
func TestNoThreadRanLongerThanThereWas(t *testing.T) {
	census, err := bpf.OpenCensus()
	if errors.Is(err, bpf.ErrRequirement) && os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "1" {
		t.Skip("needs the kernel:", err)
	}
	require.NoError(t, err)
	require.NoError(t, census.Close())
	const passes, long, patience = 60, 15, 2 * time.Minute
	workload.Start(t, "sleepers", "1000") // so that a pass takes some time
	workload.Start(t, "crowd", strconv.Itoa(2*runtime.NumCPU()))

	for _, test := range []struct {
		name string
		nice int
	}{
		{name: "though it is stopped"},
		{name: "though it is stopped and starved", nice: 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), heldUpVariable+"=1")
			cmd.Stderr = os.Stderr
			cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			output, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			pid := cmd.Process.Pid
			t.Cleanup(func() {
				require.NoError(t, cmd.Process.Kill())
				_ = cmd.Wait() // says that it was killed
			})
			require.NoError(t, unix.Setpriority(unix.PRIO_PROCESS, pid, test.nice))

			told, reports := make(chan heldUp), json.NewDecoder(output)
			go func() {
				defer close(told)
				for seen := (heldUp{}); reports.Decode(&seen) == nil; {
					told <- seen
				}
			}()
			seen, going := <-told // it has begun
			stop := time.After(0)
			for begin := time.Now(); going && (seen.Passes < passes || seen.Long < long) && time.Since(begin) < patience; {
				select {
				case seen, going = <-told:
				case <-stop:
					require.NoError(t, unix.Kill(pid, unix.SIGSTOP))
					time.Sleep(longPass + rand.N(50*time.Millisecond))
					require.NoError(t, unix.Kill(pid, unix.SIGCONT))
					stop = time.After(rand.N(40 * time.Millisecond))
				}
			}
			t.Logf("%+v", seen)
			require.True(t, going, "it has failed")
			if os.Getenv("HOTSPOT_EMULATED") != "" {
				// The host stops an emulated CPU as it likes, and its tick comes late: what
				// the kernel counts by it is older than a tick now and then.
				require.Less(t, seen.Impossible, seen.ImpossibleByHost/2, seen.Worst)
			} else {
				require.Zero(t, seen.Impossible, seen.Worst)
			}
			require.GreaterOrEqual(t, seen.Passes, passes)
			require.GreaterOrEqual(t, seen.Long, long, "few stops fell into a pass: this has shown nothing")
			require.Positive(t, seen.ImpossibleByHost, "the records were of one moment: this has shown nothing")
		})
	}
}
