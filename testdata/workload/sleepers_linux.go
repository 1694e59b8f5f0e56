package workload

import "fmt"

// sleepers makes processes that sleep, about 10 000 a second, and sleeps.
func sleepers(n int) error {
	for i := range n {
		pid, err := fork()
		if err != nil {
			return fmt.Errorf("fork process %d of %d: %w", i+1, n, err)
		}
		if pid == 0 {
			pause()
		}
	}
	if err := ready(); err != nil {
		return err
	}
	pause()
	return nil
}
