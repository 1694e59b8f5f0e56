package workload

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// count runs one thread without end and keeps the number of its rounds, a
// uint64, at the beginning of a file of at least 8 bytes.
func count(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	memory, err := unix.Mmap(int(file.Fd()), 0, 8, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	rounds := (*atomic.Uint64)(unsafe.Pointer(&memory[0]))
	if err := ready(); err != nil {
		return err
	}
	for {
		for range 1000 {
			continue
		}
		rounds.Add(1)
	}
}
