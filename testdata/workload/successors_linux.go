package workload

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// successors runs one thread after the other, each for so much CPU time, without end.
func successors(each time.Duration) error {
	if err := ready(); err != nil {
		return err
	}
	for {
		done := make(chan struct{})
		go func() {
			runtime.LockOSThread() // not unlocked: the thread exits with the goroutine
			spin(unix.CLOCK_THREAD_CPUTIME_ID, each.Nanoseconds())
			close(done)
		}()
		<-done
	}
}
