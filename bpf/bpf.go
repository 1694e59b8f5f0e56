// Package bpf reads the kernel's accounts of every thread.
//
// The C programs beside the Go files are loaded from objects that are
// committed, so that users build with Go alone. Structs shared with Go are
// generated from the objects' BTF; their fields are described in the C source.
package bpf

// Both flavours of the compiler's name are pinned: the objects must come out
// the same on every machine.
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -type thread -type process -cflags "-O2 -mcpu=v3 -Wall -Wextra -Werror" census census.bpf.c
