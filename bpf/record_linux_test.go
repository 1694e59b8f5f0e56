package bpf

import (
	"bytes"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func threadBytes(pid, tid, hasProcess uint32) []byte {
	thread := Thread{Pid: pid, Tid: tid, HasProcess: hasProcess}
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&thread)), threadSize))
}

func processBytes(parent uint32) []byte {
	process := Process{Parent: parent}
	return bytes.Clone(unsafe.Slice((*byte)(unsafe.Pointer(&process)), processSize))
}

// seen is what a visit was told; a parent of 0 means without a process.
type seen struct{ pid, tid, parent uint32 }

func decodeAll(b []byte) (int, []seen, error) {
	var all []seen
	done, err := decode(b, func(thread *Thread, process *Process) {
		s := seen{pid: thread.Pid, tid: thread.Tid}
		if process != nil {
			s.parent = process.Parent
		}
		all = append(all, s)
	})
	return done, all, err
}

func TestDecode(t *testing.T) {
	leader := slices.Concat(threadBytes(7, 7, 1), processBytes(1))
	thread := threadBytes(7, 8, 0)
	sevenAndEight := []seen{{7, 7, 1}, {7, 8, 0}}
	for _, test := range []struct {
		name  string
		input []byte
		done  int
		want  []seen
	}{
		{name: "nothing"},
		{
			name:  "a process and a further thread",
			input: slices.Concat(leader, thread),
			done:  len(leader) + threadSize,
			want:  sevenAndEight,
		},
		{
			name:  "a thread cut short is left for the next call",
			input: slices.Concat(leader, thread, thread[:threadSize-1]),
			done:  len(leader) + threadSize,
			want:  sevenAndEight,
		},
		{
			name:  "so is one whose process is cut short",
			input: slices.Concat(leader, thread, leader[:len(leader)-1]),
			done:  len(leader) + threadSize,
			want:  sevenAndEight,
		},
		{
			name:  "and one whose process is missing",
			input: leader[:threadSize],
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
	done, got, err := decodeAll(slices.Concat(threadBytes(7, 7, 0), threadBytes(8, 8, 2), threadBytes(9, 9, 0)))
	require.ErrorIs(t, err, ErrRecord)
	require.Equal(t, threadSize, done)
	require.Equal(t, []seen{{7, 7, 0}}, got)
}

// In whatever pieces the kernel's answer comes, the same records come out.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{}, uint16(1))
	f.Add(threadBytes(1, 1, 0), uint16(8))
	f.Add(slices.Concat(threadBytes(1, 1, 1), processBytes(2), threadBytes(1, 2, 0)), uint16(200))
	f.Add(threadBytes(1, 1, 2), uint16(1000))
	f.Add(slices.Concat(threadBytes(1, 1, 1), processBytes(2))[:threadSize+8], uint16(64))

	f.Fuzz(func(t *testing.T, input []byte, piece uint16) {
		whole := guarded(t, input)
		records := 0
		done, want, err := decodeAll(whole)
		require.LessOrEqual(t, done, len(whole))
		for at := 0; at < done; records++ {
			at += threadSize
			if (*Thread)(unsafe.Pointer(&whole[at-threadSize])).HasProcess == 1 {
				at += processSize
			}
		}
		require.Len(t, want, records)
		if err != nil {
			require.ErrorIs(t, err, ErrRecord)
			return
		}
		require.Less(t, len(whole)-done, threadSize+processSize)

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
		record := threadBytes(n/20*20+1, n+1, 0)
		if n%20 == 0 {
			record = slices.Concat(threadBytes(n+1, n+1, 1), processBytes(1))
		}
		if len(b)+len(record) > handedOut {
			all, b = append(all, b), nil
		}
		b = append(b, record...)
	}
	return append(all, b)
}

func decodeBuffers(t testing.TB, all [][]byte, visit func(*Thread, *Process)) {
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
		visit := func(*Thread, *Process) { seen++ }
		require.Zero(t, testing.AllocsPerRun(10, func() { decodeBuffers(t, all, visit) }))
		require.Equal(t, 11*threads, seen, "AllocsPerRun runs once more")
	}
}

func BenchmarkDecode(b *testing.B) {
	all, seen := buffers(10_000), 0
	visit := func(*Thread, *Process) { seen++ }
	b.ReportAllocs()
	for b.Loop() {
		decodeBuffers(b, all, visit)
	}
	require.Equal(b, b.N*10_000, seen)
}
