package workload

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ring passes a byte round between n processes as fast as it goes: one runs at a
// time, for some microseconds.
func ring(n int) error {
	if n < 2 {
		return fmt.Errorf("a ring of %d", n)
	}
	pipes := make([][2]int, n) // each member reads its own and writes to the next one's
	for i := range pipes {
		if err := unix.Pipe(pipes[i][:]); err != nil {
			return fmt.Errorf("make a pipe: %w", err)
		}
	}
	if err := ready(); err != nil {
		return err
	}
	for i := 1; i < n; i++ {
		pid, err := fork()
		if err != nil {
			return fmt.Errorf("fork: %w", err)
		}
		if pid == 0 {
			relay(pipes[i][0], pipes[(i+1)%n][1])
			exit()
		}
	}
	if _, err := unix.Write(pipes[1][1], []byte{0}); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	relay(pipes[0][0], pipes[1][1])
	return fmt.Errorf("the ring is broken")
}
