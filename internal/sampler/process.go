package sampler

import (
	"bytes"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hotspot-otel/hotspot/bpf"
)

// thread is what the last passes said of one thread.
type thread struct {
	of     *process
	tid    uint32
	start  uint64
	now    use
	at     time.Duration // when that was, see Sampler.at
	before scheduled     // when the window began: not the last pass if that failed
	pass   uint64        // the last that saw it
	// The wait in progress, and up to when it is charged, in the clock of the run
	// queue; 0 if there was none.
	queued, charged uint64
}

// use is what a thread, or all of a process, has used since its start; times in ns.
type use struct {
	cpu, user, system        uint64
	runQueue                 uint64 // the wait in progress included
	minorFaults, majorFaults uint64
	voluntary, involuntary   uint64
}

// useOf returns what the census says, or what it said before: without a word of
// what the thread has done it has done nothing.
func useOf(a *bpf.Activity, th *thread) use {
	if a == nil {
		return th.now
	}
	return use{
		cpu:         a.Cpu,
		user:        a.User,
		system:      a.System,
		runQueue:    a.RunDelay + a.Waiting,
		minorFaults: a.MinorFaults,
		majorFaults: a.MajorFaults,
		voluntary:   a.Voluntary,
		involuntary: a.Involuntary,
	}
}

func (u *use) add(other use) {
	u.cpu += other.cpu
	u.user += other.user
	u.system += other.system
	u.runQueue += other.runQueue
	u.minorFaults += other.minorFaults
	u.majorFaults += other.majorFaults
	u.voluntary += other.voluntary
	u.involuntary += other.involuntary
}

// runs returns how often the thread has left a CPU.
func (u *use) runs() uint64 { return u.voluntary + u.involuntary }

// scheduled is the part of it that is told of one thread, and when it was so.
type scheduled struct {
	cpu, runQueue, runs uint64
	at                  time.Duration
}

func (u *use) scheduled(at time.Duration) scheduled {
	return scheduled{u.cpu, u.runQueue, u.runs(), at}
}

// tick is the longest there is (CONFIG_HZ=100): by as much the counters of a thread
// may be behind.
const tick = 10 * time.Millisecond

// canBecome tells whether one thread can have used so much more after this time.
// The kernel's clocks may differ by 500 ppm, as far as NTP slews one of them.
func (u *use) canBecome(now use, elapsed time.Duration) bool {
	return now.cpu >= u.cpu && now.runQueue >= u.runQueue &&
		time.Duration(now.cpu-u.cpu+now.runQueue-u.runQueue) <= elapsed+elapsed/1000+tick
}

// process is one process over its life.
type process struct {
	Process
	comm   [16]uint8     // what Name was made of
	pass   uint64        // the last whose census saw it, 0 if none has
	closed uint64        // the last of these that did not fail, 0 if there was none
	execed uint64        // the last that found it running another program
	window int           // its place in the snapshot of that, -1 if it has none
	looked time.Duration // when that pass first looked at a thread of it, see Sampler.at

	sums         sums   // of this pass
	deadRunQueue uint64 // ns, of threads that have exited

	group      bpf.Group     // what the kernel keeps dead by
	dead       bpf.Dead      // as last read: its threads that are gone
	tail       uint64        // ns, what these ran that the kernel's own sum leaves out
	ended      bool          // its exit has been read
	endedAt    time.Duration // when that was, since boot
	threadsDue uint64        // how many threads dead is of when all are freed; 0 if it is in the exit
	missedAt   time.Duration // when a census did not see it, since boot

	// After the closed pass.
	total       Usage
	common      common
	throttledIn uint64   // the cgroup that common.throttled is of
	rss         []uint64 // the last readings, oldest first, bytes

	waited      waited
	caused      time.Duration // in the window that ends with causedIn
	causedIn    uint64
	totalCaused time.Duration
}

// common is what the threads of a process have in common.
type common struct {
	rss, swap uint64 // bytes
	throttled uint64 // ns, of the cgroup and those above
	quota     float64
}

// sums gathers the records of one process in one pass.
type sums struct {
	use
	threads          int
	busiest, delayed Thread
	maxThreadCPU     time.Duration
	// When the window of the first of its threads began, and when this pass looked
	// at the first and at the last.
	began, first, last time.Duration
	common
	deadCPU  uint64 // ns, each dead thread up to when it was reaped; in cpu, too
	ran      uint64 // ns, of an exit: each thread up to its end
	complete bool   // the record of the process was among them
}

// addThread takes in a thread whose window began then and ended now.
func (s *sums) addThread(u *use, began, now time.Duration) {
	s.add(*u)
	if s.threads == 0 {
		s.began, s.first = began, now
	}
	s.began, s.last = min(s.began, began), now
	s.threads++
}

// addProcess takes in what threads share. A process whose leader is dead brings
// it more than once, and the memory only with the threads that live.
func (s *sums) addProcess(p *bpf.Process, pageSize uint64) {
	s.rss = max(s.rss, (p.FilePages+p.AnonPages+p.ShmemPages)*pageSize)
	s.swap = max(s.swap, p.SwapEntries*pageSize)
	s.throttled = p.Throttled
	if p.CpuPeriod > 0 {
		s.quota = float64(p.CpuQuota) / float64(p.CpuPeriod)
	}
	if s.complete {
		return
	}
	s.add(use{
		cpu:         p.DeadCpu,
		user:        p.DeadUser,
		system:      p.DeadSystem,
		minorFaults: p.DeadMinorFaults,
		majorFaults: p.DeadMajorFaults,
		voluntary:   p.DeadVoluntary,
		involuntary: p.DeadInvoluntary,
	})
	s.deadCPU, s.complete = p.DeadCpu, true
}

// addTail counts what threads ran after they were reaped, and what of their time
// was not yet charged to them then: the kernel adds up what it has charged, and a
// thread that lives for less than a tick can end before it is charged for any. What
// all that are freed have run is a part of what all that are reaped have: the tail
// comes out too small while some are neither, and never too large.
func (p *process) addTail() {
	if p.sums.complete {
		p.tail = max(p.tail, p.dead.Ran-min(p.dead.Ran, p.sums.deadCPU))
		p.sums.cpu += p.tail
	}
}

// advance returns the usage after this pass. No sum ever goes back: a thread
// that exits while the census passes may be in neither its own record nor its
// process's, and is in the latter the next time. A pass that did not bring the
// process's own record advances nothing for the same reason.
func (s *sums) advance(last Usage, deadRunQueue uint64) Usage {
	next := last
	next.RunQueue = max(last.RunQueue, time.Duration(s.runQueue+deadRunQueue))
	if !s.complete {
		return next
	}
	next.User, next.System = split(max(last.CPU(), time.Duration(s.cpu)), s.user, s.system, last)
	next.MinorFaults = max(last.MinorFaults, s.minorFaults)
	next.MajorFaults = max(last.MajorFaults, s.majorFaults)
	next.Voluntary = max(last.Voluntary, s.voluntary)
	next.Involuntary = max(last.Involuntary, s.involuntary)
	return next
}

// exit takes in the final sums of a process.
func (s *sums) exit(e *bpf.Exit) {
	*s = sums{
		use: use{
			cpu:         e.Cpu,
			user:        e.User,
			system:      e.System,
			runQueue:    e.RunDelay,
			minorFaults: e.MinorFaults,
			majorFaults: e.MajorFaults,
			voluntary:   e.Voluntary,
			involuntary: e.Involuntary,
		},
		ran:      e.Ran,
		complete: true,
	}
}

// split divides the exact CPU time in the ratio of what the tick found in user
// and in system mode, neither going back: as the kernel does for /proc
// (cputime_adjust of kernel/sched/cputime.c).
func split(cpu time.Duration, user, system uint64, last Usage) (time.Duration, time.Duration) {
	var s time.Duration
	switch {
	case system == 0:
	case user == 0:
		s = cpu
	default:
		s = time.Duration(float64(cpu) * (float64(system) / float64(user+system)))
	}
	s = min(max(s, last.System), cpu-last.User)
	return cpu - s, s
}

func (u Usage) since(before Usage) Usage {
	return Usage{
		User:        u.User - before.User,
		System:      u.System - before.System,
		RunQueue:    u.RunQueue - before.RunQueue,
		MinorFaults: u.MinorFaults - before.MinorFaults,
		MajorFaults: u.MajorFaults - before.MajorFaults,
		Voluntary:   u.Voluntary - before.Voluntary,
		Involuntary: u.Involuntary - before.Involuntary,
	}
}

// rename takes over the leader's comm. It copies only when that has changed.
func (p *process) rename(comm [16]uint8) {
	if comm == p.comm && p.Name != "" {
		return
	}
	p.comm = comm
	name, _, _ := bytes.Cut(comm[:], []byte{0})
	p.Name = Printable(string(name))
}

// Printable returns text that a process chose with what does not print, or is
// not UTF-8, replaced: it could forge a line of a log or move a cursor.
func Printable(text string) string { return strings.Map(printable, text) }

// printable is called with utf8.RuneError for bytes that are not UTF-8.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return utf8.RuneError
}
