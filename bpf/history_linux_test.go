package bpf

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// ran is a slice of a history: up to end, by these in turns, as long as ns says.
type ran struct {
	end uint64
	by  []uint32
	ns  []uint64

	begin   uint64 // 0: where the one before ended
	various uint64
}

func (r ran) slice() *contentionSlice {
	s := &contentionSlice{End: r.end, Used: uint32(len(r.by)), Various: r.various}
	copy(s.Pid[:], r.by)
	copy(s.Ns[:], r.ns)
	return s
}

// historyOf has the slices of each level, the newest level first and in each the
// oldest slice first; the newest is the open one. Each begins where the one before
// ended, but for those that say when; the first had just begun.
func historyOf(levels ...[]ran) *contentionCpu {
	h := new(contentionCpu)
	begin := uint64(0)
	for n := len(levels) - 1; n >= 0; n-- {
		l := &h.Levels[n]
		l.Head = 1000 // somewhere
		for i, r := range levels[n] {
			s := r.slice()
			switch {
			case r.begin != 0:
				s.Begin = r.begin
			case begin == 0:
				s.Begin = s.End
			default:
				s.Begin = begin
			}
			begin = s.End
			if n == 0 && i == len(levels[0])-1 {
				h.Open = *s
				continue
			}
			l.Head++
			*l.back(0) = *s
		}
	}
	return h
}

// charges returns what a wait is charged to, while 9 has the CPU.
func (h *contentionCpu) charges(queued, now uint64) map[uint32]uint64 {
	return h.chargesOf(&Waiting{Since: queued, Now: now, Running: 9})
}

func (h *contentionCpu) chargesOf(w *Waiting) map[uint32]uint64 {
	got := map[uint32]uint64{}
	h.lookBack(w, func(by uint32, ns uint64) { got[by] += ns })
	return got
}

func one(end uint64, pid uint32) ran { return ran{end: end, by: []uint32{pid}} }

func TestLookBack(t *testing.T) {
	plain := []ran{one(100, 1), one(200, 2), one(300, 3), one(400, 2)}
	for _, test := range []struct {
		name        string
		history     *contentionCpu
		queued, now uint64
		want        map[uint32]uint64
	}{
		{
			name:    "an empty history knows who runs now",
			history: historyOf(),
			queued:  100, now: 150,
			want: map[uint32]uint64{9: 50},
		},
		{
			name:    "a wait that began after the last switch is behind who runs now",
			history: historyOf(plain),
			queued:  450, now: 500,
			want: map[uint32]uint64{9: 50},
		},
		{
			name:    "one that began with it, too",
			history: historyOf(plain),
			queued:  400, now: 500,
			want: map[uint32]uint64{9: 100},
		},
		{
			name:    "a longer one is behind those before, the first in part",
			history: historyOf(plain),
			queued:  150, now: 500,
			want: map[uint32]uint64{9: 100, 2: 150, 3: 100},
		},
		{
			name:    "it may begin with a slice",
			history: historyOf(plain),
			queued:  200, now: 500,
			want: map[uint32]uint64{9: 100, 2: 100, 3: 100},
		},
		{
			name:    "when the first slice began nobody knows",
			history: historyOf(plain),
			queued:  50, now: 500,
			want: map[uint32]uint64{9: 100, 2: 200, 3: 100},
		},
		{
			name:    "what was written after the wait was read is not part of it",
			history: historyOf(plain),
			queued:  150, now: 250,
			want: map[uint32]uint64{2: 50, 3: 50},
		},
		{
			name:    "not even a whole history of it",
			history: historyOf(plain),
			queued:  20, now: 90,
			want: map[uint32]uint64{},
		},
		{
			name: "who took turns shares the slice by how long each ran",
			history: historyOf([]ran{one(100, 1),
				{end: 200, by: []uint32{2, 3, 4}, ns: []uint64{50, 30, 20}}}),
			queued: 100, now: 200,
			want: map[uint32]uint64{2: 50, 3: 30, 4: 20},
		},
		{
			name: "and a part of it alike",
			history: historyOf([]ran{one(100, 1),
				{end: 200, by: []uint32{2, 3, 4}, ns: []uint64{50, 30, 20}}}),
			queued: 150, now: 200,
			want: map[uint32]uint64{2: 25, 3: 15, 4: 10},
		},
		{
			name: "a full level goes on in the next",
			history: historyOf(
				append(fullLevel(9990, 10, 1), one(10_000, 1)),
				[]ran{one(9000, 5), one(9830, 6)}),
			queued: 9700, now: 10_000,
			want: map[uint32]uint64{1: 170, 6: 130},
		},
		{
			name: "and in the last",
			history: historyOf(
				append(fullLevel(9990, 10, 1), one(10_000, 1)),
				fullLevel(9830, 10, 2), fullLevel(9670, 10, 3), fullLevel(9510, 10, 4), fullLevel(9350, 10, 5),
				[]ran{one(8000, 7), one(9190, 8)}),
			queued: 9100, now: 10_000,
			want: map[uint32]uint64{1: 170, 2: 160, 3: 160, 4: 160, 5: 160, 8: 90},
		},
		{
			name: "beyond which nothing is known",
			history: historyOf(
				append(fullLevel(9990, 10, 1), one(10_000, 1)), fullLevel(9830, 10, 2), fullLevel(9670, 10, 3)),
			queued: 1000, now: 10_000,
			want: map[uint32]uint64{1: 170, 2: 160, 3: 150},
		},
		{
			name: "who found no slot is told as one",
			history: historyOf([]ran{one(100, 1),
				{end: 200, by: []uint32{2, 3}, ns: []uint64{40, 30}, various: 30}}),
			queued: 150, now: 200,
			want: map[uint32]uint64{2: 20, 3: 15, Various: 15},
		},
		{
			name: "so is who found none beside one process",
			history: historyOf([]ran{one(100, 1),
				{end: 200, by: []uint32{2}, ns: []uint64{60}, various: 40}}),
			queued: 100, now: 200,
			want: map[uint32]uint64{2: 60, Various: 40},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, test.history.charges(test.queued, test.now))
		})
	}
}

func TestWhatIsNotInTheHistoryNobodyWaitedFor(t *testing.T) {
	h := historyOf([]ran{one(100, 1), one(200, 2)})
	for _, test := range []struct {
		name string
		wait Waiting
		want map[uint32]uint64
	}{
		{
			name: "who has the CPU since the last slice is to blame from then on",
			wait: Waiting{Since: 150, Now: 500, Running: 9, RunningSince: 200},
			want: map[uint32]uint64{9: 300, 2: 50},
		},
		{
			name: "who came later is from then on",
			wait: Waiting{Since: 150, Now: 500, Running: 9, RunningSince: 400},
			want: map[uint32]uint64{9: 100, 0: 200, 2: 50},
		},
		{
			name: "who came before the wait began is from then on",
			wait: Waiting{Since: 450, Now: 500, Running: 9, RunningSince: 400},
			want: map[uint32]uint64{9: 50},
		},
		{
			name: "the idle task is told as 0",
			wait: Waiting{Since: 150, Now: 500},
			want: map[uint32]uint64{0: 300, 2: 50},
		},
		{
			name: "who came after the wait was read is not part of it",
			wait: Waiting{Since: 150, Now: 500, Running: 9, RunningSince: 600},
			want: map[uint32]uint64{0: 300, 2: 50},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, h.chargesOf(&test.wait))
		})
	}
}

// fullLevel has slices of one process up to end; its first is 15 lengths before,
// since when the oldest began is what the next level says.
func fullLevel(end, length uint64, pid uint32) (all []ran) {
	const slices = 16
	for i := range uint64(slices) {
		all = append(all, one(end-(slices-1-i)*length, pid))
	}
	return all
}

// The kernel writes while it is read: slices need not make sense.
func TestATornHistoryChargesNothingTwice(t *testing.T) {
	t.Run("a slice that ends before it began ends the look back", func(t *testing.T) {
		h := historyOf([]ran{one(100, 1), one(300, 2), one(250, 3)})
		require.Equal(t, map[uint32]uint64{9: 50}, h.charges(50, 300))
	})
	t.Run("more processes than there are slots are those in the slots", func(t *testing.T) {
		h := historyOf([]ran{one(100, 1), {end: 200, by: []uint32{2, 3}, ns: []uint64{50, 50}}})
		h.Open.Used = 1 << 31
		require.NotPanics(t, func() {
			require.LessOrEqual(t, h.charges(100, 200)[2], uint64(50))
		})
	})
	t.Run("a slice without processes is the one in its first slot", func(t *testing.T) {
		h := historyOf([]ran{one(100, 1), {end: 200}})
		require.Equal(t, map[uint32]uint64{0: 100}, h.charges(100, 200))
	})
	t.Run("an open slice that was closed meanwhile counts once", func(t *testing.T) {
		h := historyOf([]ran{one(100, 1), one(200, 2), one(300, 3)})
		h.Levels[0].Head++
		*h.Levels[0].back(0) = h.Open
		require.Equal(t, map[uint32]uint64{2: 50, 3: 100}, h.charges(150, 300))
	})
	t.Run("whatever is there, a wait is charged to one process at a time", func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		for range 20_000 {
			h := &contentionCpu{}
			h.Open = contentionSlice{Begin: random.Uint64N(1 << 20), End: random.Uint64N(1 << 20), Used: 1, Pid: [8]uint32{5}}
			clock := uint64(0)
			for n := range h.Levels {
				h.Levels[n].Head = random.Uint64()
				for i := range h.Levels[n].Slices {
					clock = random.Uint64N(1 << 20)
					if random.IntN(4) > 0 {
						clock = 1<<20 - uint64(n*16+i)*100
					}
					*h.Levels[n].back(i) = contentionSlice{Begin: random.Uint64N(clock + 1), End: clock, Used: 1, Pid: [8]uint32{random.Uint32N(5)}}
				}
			}
			queued := random.Uint64N(1 << 20)
			now := queued + random.Uint64N(1<<20)
			var sum uint64
			w := &Waiting{Since: queued, Now: now, Running: 9, RunningSince: random.Uint64N(1 << 20)}
			for _, ns := range h.chargesOf(w) {
				sum += ns
			}
			require.LessOrEqual(t, sum, now-queued)
		}
	})
}

func TestTally_KeepsThoseWhoRanLongest(t *testing.T) {
	var many tally
	want := map[uint32]uint64{}
	for pid := range uint32(32) { // as many as there is room for
		many.add(pid+1000, 10)
		many.add(pid+1000, 5)
		want[pid+1000] = 15
	}
	settled := func() map[uint32]uint64 {
		got := map[uint32]uint64{}
		many.settle(func(by uint32, ns uint64) { got[by] += ns })
		return got
	}
	require.Equal(t, want, settled())
	many.add(5000, 14) // less than any
	want[Various] = 14
	require.Equal(t, want, settled())
	many.add(5000, 16) // more, and takes the place of one of its set
	got := settled()
	require.EqualValues(t, 16, got[5000])
	require.EqualValues(t, 14+15, got[Various])
	require.Len(t, got, 33)
}

// FuzzLookBack: the kernel goes on writing while a history is read. Whatever stands
// there, no time is charged to anybody that was not waited.
func FuzzLookBack(f *testing.F) {
	f.Add([]byte{}, uint64(0), uint64(0), uint64(0))
	f.Add(bytes.Repeat([]byte{0xff}, 4096), uint64(1), uint64(math.MaxUint64), uint64(5))
	f.Add(bytes.Repeat([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 4096), uint64(0), uint64(1<<40), uint64(1<<20))
	f.Fuzz(func(t *testing.T, history []byte, queued, now, came uint64) {
		var h contentionCpu
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Sizeof(h)), history)
		h.lookBack(&Waiting{Since: queued, Now: now, Running: 9, RunningSince: came}, func(_ uint32, ns uint64) {
			require.LessOrEqual(t, ns, now-queued)
		})
	})
}
