// Package bpf reads the kernel's accounts of every thread.
//
// The C programs beside the Go files are loaded from objects that are
// committed, so that users build with Go alone. Structs shared with Go are
// generated from the objects' BTF; their fields are described in the C source.
package bpf

// The compiler is pinned: the objects must come out the same on every machine.
//go:generate -command compile go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror"
//go:generate compile -type thread -type activity -type process -type pass -type mark census census.bpf.c
//go:generate compile -type pair -type victim -type cpu -type level -type slice -type loss -type room contention contention.bpf.c
//go:generate compile -type exit -type group -type dead -type exit_loss exits exits.bpf.c
//go:generate compile -type oom_kill oom oom.bpf.c
