package bpf

import (
	"bytes"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func bytesOf[T any](record T) []byte {
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&record)), unsafe.Sizeof(record)))
}

func threadBytes(pid, tid uint32, hasActivity, hasProcess uint16) []byte {
	return bytesOf(Thread{Pid: pid, Tid: tid, HasActivity: hasActivity, HasProcess: hasProcess})
}

func activityBytes(cpu uint64) []byte { return bytesOf(Activity{Cpu: cpu}) }

func processBytes(parent uint32) []byte { return bytesOf(Process{Parent: parent}) }

// seen is what a visit was told; a parent of 0 means without a process, a CPU time
// of 0 without an activity.
type seen struct {
	pid, tid uint32
	cpu      uint64
	parent   uint32
}

func decodeAll(b []byte) (int, []seen, error) {
	var all []seen
	done, err := decode(b, func(thread *Thread, activity *Activity, process *Process) {
		s := seen{pid: thread.Pid, tid: thread.Tid}
		if activity != nil {
			s.cpu = activity.Cpu
		}
		if process != nil {
			s.parent = process.Parent
		}
		all = append(all, s)
	})
	return done, all, err
}

func TestDecode(t *testing.T) {
	leader := slices.Concat(threadBytes(7, 7, 1, 1), activityBytes(9), processBytes(1))
	thread := slices.Concat(threadBytes(7, 8, 1, 0), activityBytes(5))
	both, bothSeen := slices.Concat(leader, thread), []seen{{7, 7, 9, 1}, {7, 8, 5, 0}}
	for _, test := range []struct {
		name  string
		input []byte
		done  int
		want  []seen
	}{
		{name: "nothing"},
		{
			name:  "a process and a further thread",
			input: both,
			done:  len(both),
			want:  bothSeen,
		},
		{
			name: "both asleep",
			input: slices.Concat(threadBytes(7, 7, 0, 1), processBytes(1),
				threadBytes(7, 8, 0, 0), threadBytes(9, 9, 0, 1), processBytes(2)),
			done: 3*threadSize + 2*processSize,
			want: []seen{{7, 7, 0, 1}, {7, 8, 0, 0}, {9, 9, 0, 2}},
		},
		{
			name:  "a thread cut short is left for the next call",
			input: slices.Concat(both, thread[:threadSize-1]),
			done:  len(both),
			want:  bothSeen,
		},
		{
			name:  "so is one whose activity is cut short",
			input: slices.Concat(both, thread[:len(thread)-1]),
			done:  len(both),
			want:  bothSeen,
		},
		{
			name:  "and one whose process is",
			input: slices.Concat(both, leader[:len(leader)-1]),
			done:  len(both),
			want:  bothSeen,
		},
		{
			name:  "or is missing",
			input: leader[:threadSize+activitySize],
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			done, got, err := decodeAll(test.input)
			require.NoError(t, err)
			require.Equal(t, test.done, done)
			require.Equal(t, test.want, got)
		})
	}
}

func TestDecodeStopsAtARecordOfNoKnownKind(t *testing.T) {
	for _, odd := range [][]byte{threadBytes(8, 8, 2, 0), threadBytes(8, 8, 0, 2)} {
		done, got, err := decodeAll(slices.Concat(threadBytes(7, 7, 0, 0), odd, threadBytes(9, 9, 0, 0)))
		require.ErrorIs(t, err, ErrRecord)
		require.Equal(t, threadSize, done)
		require.Equal(t, []seen{{pid: 7, tid: 7}}, got)
	}
}

// In whatever pieces the kernel's answer comes, the same records come out.
func FuzzDecode(f *testing.F) {
	process := slices.Concat(threadBytes(1, 1, 1, 1), activityBytes(3), processBytes(2))
	f.Add([]byte{}, uint16(1))
	f.Add(threadBytes(1, 1, 0, 0), uint16(8))
	f.Add(slices.Concat(process, threadBytes(1, 2, 0, 0)), uint16(200))
	f.Add(slices.Concat(threadBytes(1, 1, 0, 1), processBytes(2), process), uint16(100))
	f.Add(threadBytes(1, 1, 0, 2), uint16(1000))
	f.Add(process[:threadSize+activitySize+8], uint16(64))

	f.Fuzz(func(t *testing.T, input []byte, piece uint16) {
		whole := guarded(t, input)
		records := 0
		done, want, err := decodeAll(whole)
		require.LessOrEqual(t, done, len(whole))
		for at := 0; at < done; records++ {
			thread := (*Thread)(unsafe.Pointer(&whole[at]))
			at += threadSize + int(thread.HasActivity)*activitySize + int(thread.HasProcess)*processSize
		}
		require.Len(t, want, records)
		if err != nil {
			require.ErrorIs(t, err, ErrRecord)
			return
		}
		require.Less(t, len(whole)-done, threadSize+activitySize+processSize)

		var got []seen
		kept := make([]byte, 0, len(whole))
		for rest := whole; len(rest) > 0; {
			n := min(int(piece)+1, len(rest))
			kept, rest = append(kept, rest[:n]...), rest[n:]
			done, some, err := decodeAll(kept)
			require.NoError(t, err)
			got = append(got, some...)
			kept = kept[:copy(kept, kept[done:])]
		}
		require.Equal(t, want, got)
	})
}

// guarded returns a copy that ends, but for its alignment to 8 bytes, where
// memory ends: to read on is to crash.
func guarded(t *testing.T, b []byte) []byte {
	t.Helper()
	page := unix.Getpagesize()
	room := (len(b) + page - 1) / page * page
	memory, err := unix.Mmap(-1, 0, room+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(memory)) })
	require.NoError(t, unix.Mprotect(memory[room:], unix.PROT_NONE))
	start := (room - len(b)) &^ 7
	return memory[start : start+copy(memory[start:room], b)]
}

// buffers is the answer of a kernel with so many threads, a process of 20 after
// the other, in pieces of whole records as it hands them out.
func buffers(threads int) (all [][]byte) {
	const handedOut = 32 << 10
	var b []byte
	for n := range uint32(threads) {
		record := threadBytes(n/20*20+1, n+1, 0, 0)
		if n%20 == 0 {
			record = slices.Concat(threadBytes(n+1, n+1, 1, 1), activityBytes(1), processBytes(1))
		}
		if len(b)+len(record) > handedOut {
			all, b = append(all, b), nil
		}
		b = append(b, record...)
	}
	return append(all, b)
}

func decodeBuffers(t testing.TB, all [][]byte, visit func(*Thread, *Activity, *Process)) {
	t.Helper()
	for _, b := range all {
		if done, err := decode(b, visit); err != nil || done != len(b) {
			t.Fatal(done, err)
		}
	}
}

func TestDecodingAllocatesNothing(t *testing.T) {
	for _, threads := range []int{1000, 2000} {
		all, seen := buffers(threads), 0
		visit := func(*Thread, *Activity, *Process) { seen++ }
		require.Zero(t, testing.AllocsPerRun(10, func() { decodeBuffers(t, all, visit) }))
		require.Equal(t, 11*threads, seen, "AllocsPerRun runs once more")
	}
}

func BenchmarkDecode(b *testing.B) {
	all, seen := buffers(10_000), 0
	visit := func(*Thread, *Activity, *Process) { seen++ }
	b.ReportAllocs()
	for b.Loop() {
		decodeBuffers(b, all, visit)
	}
	require.Equal(b, b.N*10_000, seen)
}
