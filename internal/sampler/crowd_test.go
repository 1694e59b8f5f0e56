package sampler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
)

// crowd is a kernel of many threads, so many in a process, of which one in twenty
// runs between two passes, waits and grows.
type crowd struct {
	records []record
	pass    uint64
}

func newCrowd(threads, each int) *crowd {
	c := &crowd{}
	for n := range uint32(threads) {
		leader := n - n%uint32(each) + 1
		r := record{Thread: bpf.Thread{Tid: n + 1, Pid: leader, Start: 1e9, ProcessStart: 1e9}}
		r.Cpu, r.User = 1e6, 1e6
		if r.Tid == leader {
			r.process = &bpf.Process{Parent: 1, AnonPages: 1000, Threads: uint32(each), ExecId: 1}
			copy(r.process.Comm[:], "crowd")
		}
		c.records = append(c.records, r)
	}
	return c
}

func (c *crowd) Read(visit func(*bpf.Thread, *bpf.Activity, *bpf.Process)) error {
	c.pass++
	for i := range c.records {
		r := &c.records[i]
		r.asleep = i%20 != 0 && c.pass > 1
		if i%20 == 0 {
			r.Cpu, r.User, r.RunDelay, r.Voluntary = r.Cpu+1e6, r.User+1e6, r.RunDelay+1e5, r.Voluntary+1
			if r.process != nil {
				r.process.AnonPages++
			}
		}
		r.show(visit)
	}
	return nil
}

func (c *crowd) Whole() {}

// watchCrowd returns what makes a pass, five seconds after the last.
func watchCrowd(t testing.TB, threads, each int) (pass func()) {
	t.Helper()
	host := &fakeHost{sinceBoot: 90 * time.Second}
	s := New(Sources{Census: newCrowd(threads, each), Host: host}, 4)
	pass = func() {
		host.sinceBoot += 5 * time.Second
		snapshot, err := s.Sample()
		if err != nil || snapshot.Threads != threads {
			t.Fatal(err, snapshot)
		}
	}
	for range 6 { // readings of the resident set and scratch memory grow to their size
		pass()
	}
	return pass
}

func TestADiffAllocatesNothingPerThread(t *testing.T) {
	for _, each := range []int{1, 20} {
		t.Run(fmt.Sprintf("%d a process", each), func(t *testing.T) {
			few := testing.AllocsPerRun(10, watchCrowd(t, 1000, each))
			many := testing.AllocsPerRun(10, watchCrowd(t, 2000, each))
			require.Equal(t, few, many)
		})
	}
}

func BenchmarkDiff(b *testing.B) {
	for _, each := range []int{1, 20} {
		b.Run(fmt.Sprintf("threads=10000/each=%d", each), func(b *testing.B) {
			pass := watchCrowd(b, 10_000, each)
			b.ReportAllocs()
			for b.Loop() {
				pass()
			}
		})
	}
}

// BenchmarkPairs is a window in which most of as many pairs as the kernel keeps
// have not waited, as after a host was crowded for a moment.
func BenchmarkPairs(b *testing.B) {
	const pairs, processes = 16_384, 2000
	host := &fakeHost{sinceBoot: 90 * time.Second}
	contention := &fakeContention{pairs: map[bpf.Pair]uint64{}}
	for n := range uint32(pairs) {
		contention.pairs[bpf.Pair{Victim: n%processes + 1, Aggressor: (n+n/processes+1)%processes + 1}] = uint64(n) * 1000
	}
	s := New(Sources{Census: newCrowd(processes, 1), Contention: contention, Host: host}, 4, WithPairExpiry(100_000*time.Hour))
	b.ReportAllocs()
	for b.Loop() {
		host.sinceBoot += 5 * time.Second
		if _, err := s.Sample(); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTheRoomOfAStormIsGivenBack(t *testing.T) {
	r := newRig(t)
	storm := []record{}
	for pid := range uint32(1000) {
		storm = append(storm, leader(pid+1, 0))
	}
	for i := range 9 {
		if i == 4 {
			storm = storm[:10]
		}
		r.pass(time.Duration(100+5*i)*second, storm...)
	}
	require.Len(t, r.snapshot.Windows, 10)
	require.Less(t, cap(r.snapshot.Windows), 200)
}
