package workload

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// execThread uses the given CPU time in the thread group leader and twice as
// much in another thread, and stops itself. Once continued, that other thread
// executes the workload burn with the same CPU time, which stops itself too.
func execThread(cpu time.Duration) error {
	used, run := make(chan struct{}), make(chan struct{})
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		spin(unix.CLOCK_THREAD_CPUTIME_ID, 2*cpu.Nanoseconds())
		close(used)
		<-run
		self, err := os.Executable()
		if err == nil {
			env := append(os.Environ(), variable+"=burn")
			err = syscall.Exec(self, []string{self, "-comm=new", cpu.String()}, env)
		}
		failed <- err
	}()
	spin(unix.CLOCK_THREAD_CPUTIME_ID, cpu.Nanoseconds())
	<-used
	if err := ready(); err != nil {
		return err
	}
	if err := stop(); err != nil {
		return err
	}
	close(run)
	return <-failed
}
