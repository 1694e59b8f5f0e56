package sampler_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Databases answer thousands of queries a second, and wait for a CPU before each: in
// pieces of some hundred microseconds, all of which have a culprit.
func TestContention_DatabasesBesideALoopWaitBehindIt(t *testing.T) {
	const windows, length = 8, time.Second
	for name, start := range map[string]func(*testing.T, int) (servers func() []int){
		"postgres": startPostgres,
		"mariadb":  startMariaDB,
	} {
		for _, nice := range []string{"0", "-15"} {
			t.Run(name+" beside a loop of nice "+nice, func(t *testing.T) {
				w := openWatch(t) // or skip
				cpu := allowedCPUs(t)[0]
				servers := start(t, cpu)
				hog := loop(t, fmt.Sprintf("-cpu=%d", cpu), "-nice="+nice)
				busy := map[int]*waits{}
				for _, pid := range servers() {
					busy[pid] = &waits{pid: pid}
				}
				sample(t, w.Sampler)
				w.windows(windows, length, func(s *sampler.Snapshot) {
					for _, v := range busy {
						v.add(s)
					}
				})
				shown := 0
				for _, v := range busy {
					// With less than this, a sample says little.
					if v.used.RunQueue < windows*length/20 {
						continue
					}
					shown++
					named := v.total.Others + v.total.Self + v.total.Idle + v.total.Throttled
					t.Logf("%d: run queue %v, %+v; behind the loop %v", v.pid, v.used.RunQueue, v.total, v.behind[hog])
					assert.GreaterOrEqual(t, ratio(named, v.used.RunQueue), 0.95)
					assert.Positive(t, v.behind[hog])
				}
				require.Positive(t, shown, "this test has shown nothing")
			})
		}
	}
}

// daemon runs a program as a user of its own, on one CPU, until the test ends.
func daemon(t *testing.T, as string, cpu int, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := command(t, as, "taskset", slices.Concat([]string{"-c", strconv.Itoa(cpu), name}, args)...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(unix.SIGQUIT) // at once, for both
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said.String())
		}
	})
	return cmd
}

// command is a program that dies with the test.
func command(t *testing.T, as, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	u, err := user.Lookup(as)
	require.NoError(t, err)
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	require.NoError(t, err)
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	require.NoError(t, err)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
		Pdeathsig:  unix.SIGKILL,
	}
	cmd.Dir = "/"
	return cmd
}

func run(t *testing.T, as, name string, args ...string) {
	t.Helper()
	out, err := command(t, as, name, args...).CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
}

// home is a directory that a user may write to.
func home(t *testing.T, of string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", of) // short: a socket will be in it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	run(t, "root", "chown", of, dir)
	return dir
}

// installed returns where a program is. Where tests must not be skipped, it must be
// there.
func installed(t *testing.T, patterns ...string) string {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		if len(found) > 0 {
			return found[len(found)-1]
		}
	}
	if os.Getenv("HOTSPOT_REQUIRE_KERNEL") == "1" && os.Getenv("HOTSPOT_EMULATED") == "" {
		t.Fatalf("no %v", patterns)
	}
	t.Skipf("no %v", patterns)
	return ""
}

// startPostgres starts a server on one CPU, and four clients on any, and returns how
// to find the processes that serve them.
func startPostgres(t *testing.T, cpu int) func() []int {
	bin := filepath.Dir(installed(t, "/usr/lib/postgresql/*/bin/postgres"))
	dir := home(t, "postgres")
	in := func(name string) string { return filepath.Join(bin, name) }
	run(t, "postgres", in("initdb"), "-D", dir+"/data", "-A", "trust", "--no-sync")
	server := daemon(t, "postgres", cpu, in("postgres"), "-D", dir+"/data", "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off")
	require.Eventually(t, func() bool {
		return command(t, "postgres", in("pg_isready"), "-q", "-h", dir).Run() == nil
	}, patience, 10*time.Millisecond)
	run(t, "postgres", in("pgbench"), "-h", dir, "-i", "-q", "-s", "2", "postgres")
	clients := command(t, "postgres", in("pgbench"), "-h", dir, "-S", "-c", "4", "-T", "60", "postgres")
	require.NoError(t, clients.Start())
	t.Cleanup(func() { _ = clients.Process.Kill(); _ = clients.Wait() })
	return func() (backends []int) {
		require.Eventually(t, func() bool {
			backends = nil
			children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", server.Process.Pid))
			require.NoError(t, err)
			for _, child := range strings.Fields(string(children)) {
				title, err := os.ReadFile("/proc/" + child + "/cmdline")
				if err == nil && strings.Contains(string(title), "[local]") {
					pid, err := strconv.Atoi(child)
					require.NoError(t, err)
					backends = append(backends, pid)
				}
			}
			return len(backends) == 4
		}, patience, 10*time.Millisecond)
		return backends
	}
}

// startMariaDB is the same of MariaDB, which has one process of many threads.
func startMariaDB(t *testing.T, cpu int) func() []int {
	mariadbd := installed(t, "/usr/sbin/mariadbd")
	dir := home(t, "mysql")
	run(t, "mysql", "mariadb-install-db", "--datadir="+dir+"/data", "--auth-root-authentication-method=normal", "--skip-test-db")
	server := daemon(t, "mysql", cpu, mariadbd, "--no-defaults", "--datadir="+dir+"/data", "--socket="+dir+"/s", "--skip-networking",
		"--pid-file="+dir+"/pid", "--innodb-flush-log-at-trx-commit=0")
	admin := []string{"--no-defaults", "--user=root", "--socket=" + dir + "/s"}
	require.Eventually(t, func() bool {
		return command(t, "mysql", "mariadb-admin", append(admin, "ping")...).Run() == nil
	}, patience, 10*time.Millisecond)
	clients := command(t, "mysql", "mariadb-slap", append(admin, "--concurrency=4", "--create-schema=mysql",
		"--query=SELECT name FROM help_topic WHERE help_topic_id=17", "--number-of-queries=100000000")...)
	require.NoError(t, clients.Start())
	t.Cleanup(func() { _ = clients.Process.Kill(); _ = clients.Wait() })
	return func() []int { return []int{server.Process.Pid} }
}
