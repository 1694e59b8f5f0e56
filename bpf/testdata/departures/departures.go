// Package departures tests departure.h, which the contention program includes.
package departures

import "github.com/cilium/ebpf"

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror" -type departure departures departures.bpf.c

// Departure is an entry: struct departure of departure.h.
type Departure = departuresDeparture

// Spec returns the program that is asked.
func Spec() (*ebpf.CollectionSpec, error) { return loadDepartures() }
