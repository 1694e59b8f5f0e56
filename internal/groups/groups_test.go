package groups

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// paths is the path of each control group, by its id where the cpu controller
// has it, and who was asked for one.
type paths struct {
	of    map[uint64]string
	gone  map[uint32]bool // cannot be read any more
	asked []uint32
}

func (p *paths) Of(of sampler.Process) identity.Identity {
	p.asked = append(p.asked, of.Pid)
	if p.gone[of.Pid] {
		return identity.Identity{}
	}
	path := p.of[of.CPUCgroup]
	return identity.Identity{Cgroup: path, ContainerID: "id of " + path, PodUID: "pod of " + path}
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const length = 5 * time.Second

// host is accounts of groups 10 (/a), 20 (/b) and 30 (/c).
type host struct {
	t       *testing.T
	windows int
	paths   paths
	*Accounts
}

func newHost(t *testing.T, most int) *host {
	return &host{t: t, paths: paths{of: map[uint64]string{10: "/a", 20: "/b", 30: "/c"}}, Accounts: New(most)}
}

// window adds the next window and returns the groups by path.
func (h *host) window(windows []sampler.Window, pairs ...*sampler.Pair) map[string]Group {
	h.t.Helper()
	h.windows++
	s := &sampler.Snapshot{
		End: start.Add(time.Duration(h.windows) * length), Length: length, CPUs: 2, Windows: windows, Pairs: pairs,
	}
	all, last := map[string]Group{}, ""
	for _, g := range h.Observe(s, &h.paths) {
		require.Greater(h.t, g.Path, last, "in order")
		last = g.Path
		all[g.Path] = *g
	}
	return all
}

func in(pid uint32, cgroup uint64, edits ...func(*sampler.Window)) sampler.Window {
	w := sampler.Window{Process: sampler.Process{ID: sampler.ID{Pid: pid, Start: 1}, Cgroup: 1, CPUCgroup: cgroup, MemoryCgroup: cgroup}}
	for _, edit := range edits {
		edit(&w)
	}
	return w
}

func ran(user, system time.Duration) func(*sampler.Window) {
	return func(w *sampler.Window) { w.Used.User, w.Used.System = user, system }
}

func exited(w *sampler.Window) { w.Exited, w.RSS = true, 0 }

func behind(victim, aggressor sampler.Window, wait time.Duration) *sampler.Pair {
	return &sampler.Pair{Victim: victim.Process, Aggressor: aggressor.Process, Wait: wait, Total: time.Hour}
}

func all(windows ...sampler.Window) []sampler.Window { return windows }

func TestAGroupIsTheSumOfItsProcesses(t *testing.T) {
	h := newHost(t, 10)
	did := func(rss uint64) func(*sampler.Window) {
		return func(w *sampler.Window) {
			w.Used = sampler.Usage{User: 3, System: 4, RunQueue: 5, MinorFaults: 6, MajorFaults: 7}
			w.RSS = rss
		}
	}
	h.window(all(in(1, 10, did(100)), in(2, 10, did(20)), in(3, 20, did(1))))
	got := h.window(all(in(1, 10, did(100)), in(2, 10, did(0), exited), in(3, 20, did(2)),
		in(4, 10, did(0), exited, func(w *sampler.Window) { w.ShortLived = true })))
	require.Len(t, got, 2)
	a, b := got["/a"], got["/b"]
	require.Equal(t, []any{
		"id of /a", "pod of /a", start, time.Duration(15), time.Duration(20), time.Duration(25), uint64(30), uint64(35), uint64(100),
	}, []any{a.ContainerID, a.PodUID, a.Since, a.User, a.System, a.RunQueue, a.MinorFaults, a.MajorFaults, a.RSS})
	require.Equal(t, []any{time.Duration(6), time.Duration(10), uint64(2)}, []any{b.User, b.RunQueue, b.RSS})
	require.Equal(t, []uint32{1, 3}, h.paths.asked, "one process a group is asked, and once")
}

func TestAGroupCountsSinceTheWindowItWasFirstSeenIn(t *testing.T) {
	h := newHost(t, 10)
	h.window(all(in(1, 10, ran(1, 0))))
	got := h.window(all(in(1, 10, ran(1, 0)), in(2, 20, ran(1, 0))))
	require.Equal(t, start, got["/a"].Since)
	require.Equal(t, start.Add(length), got["/b"].Since)
}

func TestAProcessThatMovesCountsWhereItIsAtTheEnd(t *testing.T) {
	h := newHost(t, 10)
	h.window(all(in(1, 10, ran(1, 0)), in(2, 20)))
	got := h.window(all(in(1, 20, ran(10, 0)), in(2, 20)))
	require.EqualValues(t, 1, got["/a"].User)
	require.EqualValues(t, 10, got["/b"].User)
}

func TestWaitsAreThoseBehindOtherGroups(t *testing.T) {
	h := newHost(t, 10)
	one, two, three, four := in(1, 10), in(2, 10), in(3, 20), in(4, 30)
	windows := all(one, two, three, four)
	h.window(windows, behind(one, three, 4*time.Second), behind(one, two, 3*time.Second),
		behind(two, three, 2*time.Second), behind(three, one, time.Second), behind(four, one, 0))
	got := h.window(windows, behind(one, four, 5*time.Second), behind(two, three, time.Second))
	require.Equal(t, []Wait{{"/b", start, 7 * time.Second}, {"/c", start.Add(length), 5 * time.Second}}, got["/a"].Waits)
	require.Equal(t, []Wait{{"/a", start, time.Second}}, got["/b"].Waits)
	require.Empty(t, got["/c"].Waits)

	t.Run("behind one of which only the pid is known", func(t *testing.T) {
		asked := len(h.paths.asked)
		unknown := sampler.Window{Process: sampler.Process{ID: sampler.ID{Pid: 99}}}
		got := h.window(windows, behind(one, unknown, time.Second))
		require.Equal(t, Wait{Other, start.Add(2 * length), time.Second}, got["/a"].Waits[2])
		require.NotContains(t, got, Other, "nothing was used by it")
		require.Len(t, h.paths.asked, asked, "the pid may be another's by now")
	})
}

func TestAfterSomeAggressorsTheRestIsOther(t *testing.T) {
	h := newHost(t, 100)
	victim := in(1, 10)
	windows, pairs := all(victim), []*sampler.Pair{}
	for i := range uint64(30) {
		h.paths.of[100+i] = fmt.Sprintf("/g%02d", i)
		w := in(uint32(100+i), 100+i)
		windows = append(windows, w)
		pairs = append(pairs, behind(victim, w, time.Duration(30-i)*time.Second))
	}
	h.window(windows, pairs...)
	got := h.window(windows, pairs...)["/a"]
	require.Len(t, got.Waits, maxAggressors+1)
	require.Equal(t, Wait{"/g00", start, time.Minute}, got.Waits[0])
	require.Equal(t, Wait{Other, start, 2 * 55 * time.Second}, got.Waits[maxAggressors], "1 to 10, twice")
}

func TestThrottledTimeIsTheGroupsOwn(t *testing.T) {
	throttled := func(total time.Duration, quota float64) func(*sampler.Window) {
		return func(w *sampler.Window) { w.TotalThrottled, w.Quota = total, quota }
	}
	h := newHost(t, 10)
	got := h.window(all(in(1, 10, throttled(time.Minute, 1)), in(2, 10, throttled(time.Minute, 1)), in(3, 20)))
	require.Zero(t, got["/a"].Throttled, "what was before it was seen is not of the watch")
	require.True(t, got["/a"].Quota)
	require.False(t, got["/b"].Quota)
	h.window(all(in(1, 10, throttled(61*time.Second, 1)), in(2, 10, throttled(61*time.Second, 1))))
	// All its processes are others, and one has exited: it is told nothing.
	got = h.window(all(in(4, 10, throttled(63*time.Second, 1)), in(2, 10, exited)))
	require.Equal(t, 3*time.Second, got["/a"].Throttled, "the same for all its processes")

	h.paths.of[11] = "/a" // made again
	h.window(all(in(5, 11, throttled(time.Second, 1))))
	got = h.window(all(in(5, 11, throttled(3*time.Second, 0))))
	require.Equal(t, 5*time.Second, got["/a"].Throttled)
	require.True(t, got["/a"].Quota)
}

func TestTheLimitIsTheSmallest(t *testing.T) {
	limited := func(to uint64) func(*sampler.Window) { return func(w *sampler.Window) { w.GroupLimit = to } }
	h := newHost(t, 10)
	got := h.window(all(in(1, 10, limited(50)), in(2, 10, limited(40)), in(3, 10), in(4, 20)))
	require.EqualValues(t, 40, got["/a"].Limit)
	require.Zero(t, got["/b"].Limit)
	require.Zero(t, h.window(all(in(1, 10)))["/a"].Limit, "it is lifted")
}

func TestAGroupThatIsGoneIsForgotten(t *testing.T) {
	h := newHost(t, 10)
	stays, goes := in(1, 10, ran(1, 0)), in(2, 20, ran(1, 0))
	h.window(all(stays, goes), behind(stays, goes, time.Second))
	for range patience {
		got := h.window(all(stays))
		require.Contains(t, got, "/b")
		require.Zero(t, got["/b"].RSS)
		require.Len(t, got["/a"].Waits, 1)
	}
	got := h.window(all(stays))
	require.NotContains(t, got, "/b")
	require.Empty(t, got["/a"].Waits)
	require.Len(t, h.places, 1)

	at := start.Add(time.Duration(h.windows) * length)
	got = h.window(all(stays, goes), behind(stays, goes, time.Second))
	require.Equal(t, at, got["/b"].Since, "later than it was")
	require.EqualValues(t, 1, got["/b"].User)
	require.Equal(t, []Wait{{"/b", at, time.Second}}, got["/a"].Waits)
}

func TestWhatFindsNoRoomIsInOther(t *testing.T) {
	h := newHost(t, 2)
	windows := all(in(1, 10, ran(1, 0)), in(2, 20, ran(2, 0)), in(3, 30, ran(4, 0)))
	for n := range 3 {
		got := h.window(windows)
		require.Len(t, got, 3)
		require.EqualValues(t, 4*(n+1), got[Other].User)
		require.Equal(t, start, got[Other].Since)
		require.Empty(t, got[Other].ContainerID)
	}
	require.Equal(t, []uint32{1, 2, 3}, h.paths.asked)
	for range patience { // until /b is forgotten
		h.window(all(windows[0], windows[2]))
	}
	got := h.window(all(windows[0], windows[2]))
	require.NotContains(t, got, "/b")
	before := got[Other].User
	got = h.window(all(windows[0], windows[2]))
	require.EqualValues(t, 4, got["/c"].User, "there is room now")
	require.Equal(t, before, got[Other].User)
}

func TestWhoIsGoneCannotTellItsGroup(t *testing.T) {
	h := newHost(t, 10)
	h.paths.gone = map[uint32]bool{1: true, 2: true}
	one, two, three := in(1, 10, ran(1, 0), exited), in(2, 10, ran(2, 0)), in(3, 10, ran(4, 0))
	require.EqualValues(t, 3, h.window(all(one, two))[Other].User)
	require.Equal(t, []uint32{1}, h.paths.asked, "one in each window")
	require.EqualValues(t, 3+3, h.window(all(one, two))[Other].User)
	require.Equal(t, []uint32{1, 2}, h.paths.asked, "another one")
	got := h.window(all(two, three))
	require.EqualValues(t, 3+3+2, got[Other].User, "what was counted there stays there")
	require.EqualValues(t, 4, got["/a"].User)
	require.Equal(t, start.Add(2*length), got["/a"].Since)
}

// Ten thousand processes of five hundred groups are five hundred questions.
func TestOneProcessAGroupIsAsked(t *testing.T) {
	h := newHost(t, 1000)
	windows := crowd(h)
	require.Len(t, h.window(windows), 500)
	require.Len(t, h.window(windows), 500)
	require.Len(t, h.paths.asked, 500)
}

func crowd(h *host) (windows []sampler.Window) {
	for pid := range uint32(10_000) {
		id := uint64(100 + pid%500)
		h.paths.of[id] = fmt.Sprint("/kubepods/pod", id)
		windows = append(windows, in(1+pid, id, ran(1, 1)))
	}
	return windows
}

func BenchmarkObserve(b *testing.B) {
	h := newHost(nil, 1000)
	s := &sampler.Snapshot{End: start, Length: length, Windows: crowd(h)}
	b.ReportAllocs()
	for b.Loop() {
		h.Observe(s, &h.paths)
	}
}
