package workload

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// reread maps a file and reads its pages in no order, without end. In a control
// group with less memory than that, most are gone when they are wanted again: a
// major fault each. It makes the file, unless it is there. It stops itself before
// it reads the first page, with none of them in memory, and again when it has read
// each of them once: from then on none is new to it.
func reread(name string, size int) error {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	block := bytes.Repeat([]byte("hotspot\n"), 1<<17)
	for written := info.Size(); written < int64(size); written += int64(len(block)) {
		if _, err := file.WriteAt(block, written); err != nil {
			return err
		}
	}
	// Whoever brings a page into memory pays for it.
	if err := errors.Join(file.Sync(), unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		return fmt.Errorf("drop %s from memory: %w", name, err)
	}
	memory, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", name, err)
	}
	if err := ready(); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	page := uint64(unix.Getpagesize())
	count := uint64(len(memory)) / page
	for i := range count {
		seen += memory[i*page]
	}
	// One page a fault: no reading ahead.
	if err := unix.Madvise(memory, unix.MADV_RANDOM); err != nil {
		return fmt.Errorf("read no pages ahead: %w", err)
	}
	if err := stop(); err != nil {
		return err
	}
	// Knuth's MMIX; its upper bits are the random ones.
	for at := uint64(1); ; at = at*6364136223846793005 + 1442695040888963407 {
		seen += memory[(at>>33)%count*page]
	}
}

// seen keeps the compiler from leaving out what is read.
var seen byte
