package diagnosis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

func TestNoisyNeighbor(t *testing.T) {
	type neighbours struct {
		victim, noisy, third sampler.Window
		pairs                []*sampler.Pair
	}
	// most lets the victim wait so long behind the process looked at.
	most := func(wait time.Duration) func(*neighbours) {
		return func(n *neighbours) { n.pairs = []*sampler.Pair{pair(n.victim, n.noisy, wait)} }
	}
	for name, tt := range map[string]struct {
		change  func(*neighbours)
		matches bool
	}{
		"who keeps another from the CPU matches": {
			change:  func(*neighbours) {},
			matches: true,
		},
		"nobody is noisy whose victim is not starved": {
			change: func(n *neighbours) { n.victim.Used.User = length },
		},
		"nobody is noisy without a victim": {
			change: func(n *neighbours) { n.pairs = nil },
		},
		"a thread of the kernel is nobody's victim": {
			change: func(n *neighbours) { n.victim.Kernel = true },
		},
		"just under min_cores is not enough": {
			change: func(n *neighbours) { n.noisy.Used.User = 1500*time.Millisecond - 1 },
		},
		"min_cores is enough": {
			change:  func(n *neighbours) { n.noisy.Used.User = 1500 * time.Millisecond },
			matches: true,
		},
		"just over min_cores is enough": {
			change:  func(n *neighbours) { n.noisy.Used.User = 1500*time.Millisecond + 1 },
			matches: true,
		},
		"just under min_victim_share is not enough": {
			change: most(2250*time.Millisecond - 1),
		},
		"min_victim_share is enough": {
			change:  most(2250 * time.Millisecond),
			matches: true,
		},
		"just over min_victim_share is enough": {
			change:  most(2250*time.Millisecond + 1),
			matches: true,
		},
		"another that takes more is to blame": {
			change: func(n *neighbours) {
				n.pairs = []*sampler.Pair{
					pair(n.victim, n.third, 2300*time.Millisecond),
					pair(n.victim, n.noisy, 2250*time.Millisecond),
				}
			},
		},
		"just under max_own_wait_share is no victim itself": {
			change:  func(n *neighbours) { n.noisy.Waited.Others = length - 1 },
			matches: true,
		},
		"max_own_wait_share is no victim itself": {
			change:  func(n *neighbours) { n.noisy.Waited.Others = length },
			matches: true,
		},
		"just over max_own_wait_share is a victim itself": {
			change: func(n *neighbours) { n.noisy.Waited.Others = length + 1 },
		},
		"whose threads wait for each other just more is no victim itself": {
			change:  func(n *neighbours) { n.noisy.Waited.Others, n.noisy.Waited.Self = 3*length, 2*length+1 },
			matches: true,
		},
		"whose threads wait for each other so long that the share is max_own_wait_share is no victim itself": {
			change:  func(n *neighbours) { n.noisy.Waited.Others, n.noisy.Waited.Self = 3*length, 2*length },
			matches: true,
		},
		"whose threads wait for each other just less is a victim itself": {
			change: func(n *neighbours) { n.noisy.Waited.Others, n.noisy.Waited.Self = 3*length, 2*length-1 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig()
			n := neighbours{victim: kept(812, "postgres"), noisy: busy(900, "stress-ng"), third: busy(901, "backup")}
			most(4500 * time.Millisecond)(&n)
			tt.change(&n)
			s := snapshot(1, n.victim, n.noisy, n.third)
			s.Pairs = n.pairs
			finding, matches := config.NoisyNeighbor.match(&n.noisy, sceneOf(s))
			require.Equal(t, tt.matches, matches)
			if matches {
				require.Equal(t, NoisyNeighbor, finding.Label)
			}
		})
	}
}

func TestNoisyNeighborIsHeldUpLessThanItsVictim(t *testing.T) {
	for own, want := range map[time.Duration]bool{
		44999 * time.Millisecond: true,
		45 * time.Second:         false,
		45001 * time.Millisecond: false,
	} {
		config := DefaultConfig().NoisyNeighbor
		config.MaxOwnWaitShare = 1
		victim, noisy := kept(812, "postgres"), busy(900, "stress-ng")
		noisy.Waited.Others = own // as a share of that and five seconds
		s := snapshot(1, victim, noisy)
		s.Pairs = []*sampler.Pair{pair(victim, noisy, 4*time.Second)}
		_, matches := config.match(&noisy, sceneOf(s))
		require.Equal(t, want, matches, "%v", own)
	}
}

// Of five equal loops on one CPU each is kept from it by the four others.
func TestEqualsThatCrowdACPUAreNobodysNoisyNeighbours(t *testing.T) {
	const equals = 5
	var windows []sampler.Window
	for pid := range uint32(equals) {
		w := kept(pid+1, "make")
		w.Used.User, w.Waited.Others = length/equals, length-length/equals
		windows = append(windows, w)
	}
	s := snapshot(1, windows...)
	for _, victim := range windows {
		for _, aggressor := range windows {
			if victim.ID != aggressor.ID {
				s.Pairs = append(s.Pairs, pair(victim, aggressor, length/equals))
			}
		}
	}
	for _, ev := range New(DefaultConfig()).Observe(s) {
		require.Equal(t, Starved, ev.Label)
		require.Len(t, ev.Aggressors, maxParties)
	}

	// Nor are two, each of which waits behind the other and gets half.
	a, b := kept(1, "a"), kept(2, "b")
	for _, w := range []*sampler.Window{&a, &b} {
		w.Used.User, w.Waited.Others = length/2, length/2
	}
	s = snapshot(1, a, b)
	s.Pairs = []*sampler.Pair{pair(a, b, length/2), pair(b, a, length/2)}
	for _, ev := range New(DefaultConfig()).Observe(s) {
		require.Equal(t, CPUBound, ev.Label)
	}
}

func TestNoisyNeighborNamesItsVictims(t *testing.T) {
	config := DefaultConfig()
	noisy, third := busy(900, "stress-ng"), busy(901, "backup")
	noisy.Caused = 14 * time.Second
	victims := []sampler.Window{kept(5, "e"), kept(3, "c"), kept(2, "b"), kept(1, "a"), kept(4, "d")}
	waits := []time.Duration{4 * time.Second, 3500 * time.Millisecond, 3 * time.Second, 3 * time.Second, 2500 * time.Millisecond}
	s := snapshot(1, append([]sampler.Window{noisy, third}, victims...)...)
	s.Pairs = append(s.Pairs, pair(noisy, third, 5*time.Second)) // who is not starved is no victim
	for i, v := range victims {
		s.Pairs = append(s.Pairs, pair(v, noisy, waits[i]))
	}
	finding, matches := config.NoisyNeighbor.match(&noisy, sceneOf(s))
	require.True(t, matches)
	require.Equal(t, "stress-ng (900) takes the CPU from e (5), which waited 4.0 s of the last 5.0 s behind it;"+
		" it starves 4 more", finding.Sentence)
	require.Equal(t, []Party{
		{victims[0].Process, waits[0]},
		{victims[1].Process, waits[1]},
		{victims[3].Process, waits[3]}, // of equal waits the lower id
	}, finding.Victims)
	require.Empty(t, finding.Aggressors)
	require.Equal(t, []Evidence{
		held("cpu_cores", 1, 0.3),
		held("victim_share", 4/4.5, 0.5),
		held("own_wait_share", 0, 0.5),
		fact("victim_wait_share", 0.9),
		fact("victims", 5),
		fact("caused_wait_seconds", 14),
	}, finding.Evidence)
}

func TestVictimAndAggressorNameEachOther(t *testing.T) {
	victim, noisy := kept(812, "postgres"), busy(900, "stress-ng")
	s := snapshot(1, victim, noisy)
	s.Pairs = []*sampler.Pair{pair(victim, noisy, 4*time.Second)}
	events := New(DefaultConfig()).Observe(s)
	require.Len(t, events, 2)
	require.Equal(t, Starved, events[0].Label)
	require.Equal(t, []Party{{noisy.Process, 4 * time.Second}}, events[0].Aggressors)
	require.Equal(t, NoisyNeighbor, events[1].Label)
	require.Equal(t, []Party{{victim.Process, 4 * time.Second}}, events[1].Victims)
}
