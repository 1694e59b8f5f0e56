// Package timed is the contention program with clocks in it: they tell how long its
// looks back take, which are made with the lock of a run queue held.
package timed

import (
	"github.com/cilium/ebpf"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror -DTIMED" -type timing timed ../../contention.bpf.c

// Timing is how many looks back there were, and the ns they took: in all, and the
// longest.
type Timing = timedTiming

// Spec returns the programs. Their variable "timings" is a Timing.
func Spec() (*ebpf.CollectionSpec, error) { return loadTimed() }
