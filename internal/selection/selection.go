// Package selection decides which processes are exported. All are classified;
// but of ten thousand, a backend need not keep the series of those of which
// there is nothing to say.
package selection

import (
	"cmp"
	"math"
	"slices"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

const (
	// maxShortLived is how many processes that came and went within a window are
	// exported, however large the top is: each is a series of one point.
	maxShortLived = 10
	// patience is for how many windows the end of a process that has no window is
	// awaited: as long as the sampler does.
	patience = 12
)

// Labels tells what a process is diagnosed with; the diagnosis engine does.
type Labels interface {
	Label(sampler.ID) diagnosis.Label
}

// Selector chooses window by window. It is not safe for concurrent use.
type Selector struct {
	config Config
	window uint64 // the one being chosen from
	// Of those that were exported in the last window they had.
	stays map[sampler.ID]stay

	// Of this window, kept for their memory.
	tops       [signals]top
	slots      []int // by window: its place among the candidates, from 1; 0: it is none
	candidates []candidate
	exported   []bool
}

// stay is what is remembered of an exported process.
type stay struct {
	seen     uint64 // the last window it had
	exported uint64 // the last it was exported in
	top      uint64 // the last it was in the top of; 0: none
	place    int    // in that
}

// candidate is a process there is a reason to export.
type candidate struct {
	window int
	id     sampler.ID
	label  diagnosis.Label
	place  int // in the tops together, from 0; nowhere if it is in none
	stay   stay
}

const nowhere = math.MaxInt

// New returns a selector that remembers nothing.
func New(config Config) *Selector {
	s := &Selector{config: config, stays: make(map[sampler.ID]stay)}
	for i := range s.tops {
		s.tops[i].size = config.TopK
	}
	return s
}

// Choose returns, for each window of the next snapshot, whether it is exported:
// of those that may be, the diagnosed, the top by each signal, and those that
// stay. If there are more than the maximum, they come in this order:
//
//   - the diagnosed, the most severe label first;
//   - by place in the tops: all firsts, all seconds, and so on;
//   - those that stay, the last in a top first;
//   - the lower pid first.
//
// What it returns is good until the next call.
func (s *Selector) Choose(windows []sampler.Window, of Labels, may func(*sampler.Window, diagnosis.Label) bool) []bool {
	s.window++
	s.candidates = s.candidates[:0]
	s.slots, s.exported = cleared(s.slots, len(windows)), cleared(s.exported, len(windows))
	for i := range windows {
		w := &windows[i]
		label := of.Label(w.ID)
		if !may(w, label) {
			continue
		}
		for signal, value := range signalsOf(w) {
			if value > 0 {
				s.tops[signal].offer(ranked{value, w.ID, i})
			}
		}
		if label != diagnosis.OK {
			s.candidate(i, w.ID).label = label
		}
		if before, ok := s.stays[w.ID]; ok {
			before.seen = s.window
			s.stays[w.ID] = before
			if s.holds(&before) || w.Exited {
				s.candidate(i, w.ID).stay = before
			}
		}
	}
	s.rank(windows)
	slices.SortFunc(s.candidates, compareCandidates)
	for i := range s.candidates[:min(len(s.candidates), s.config.Max)] {
		s.export(&s.candidates[i], windows)
	}
	s.forget()
	return s.exported
}

// holds tells whether a process that was in the top is exported still.
func (s *Selector) holds(before *stay) bool {
	return before.top > 0 && s.window-before.top <= uint64(s.config.Hold)
}

// rank gives a place to those in the tops. No two have the same: what counts is
// the better place, then the signal.
func (s *Selector) rank(windows []sampler.Window) {
	for signal := range s.tops {
		for i, r := range s.tops[signal].take() {
			if windows[r.window].ShortLived && i >= maxShortLived {
				continue
			}
			c := s.candidate(r.window, r.id)
			c.place = min(c.place, i*signals+signal)
		}
	}
}

// candidate returns the one of a window, made if there is none; good until the
// next is made.
func (s *Selector) candidate(window int, id sampler.ID) *candidate {
	if s.slots[window] == 0 {
		s.candidates = append(s.candidates, candidate{window: window, id: id, place: nowhere})
		s.slots[window] = len(s.candidates)
	}
	return &s.candidates[s.slots[window]-1]
}

func compareCandidates(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(b.label, a.label),
		cmp.Compare(a.place, b.place),
		cmp.Compare(b.stay.top, a.stay.top),
		cmp.Compare(a.stay.place, b.stay.place),
		compareIDs(a.id, b.id),
	)
}

func (s *Selector) export(c *candidate, windows []sampler.Window) {
	s.exported[c.window] = true
	if windows[c.window].Exited {
		delete(s.stays, c.id)
		return
	}
	now := stay{seen: s.window, exported: s.window, top: c.stay.top, place: c.stay.place}
	if c.place != nowhere {
		now.top, now.place = s.window, c.place
	}
	s.stays[c.id] = now
}

// forget drops those that were left out in this window, and those of whose end
// nothing is heard.
func (s *Selector) forget() {
	for id, before := range s.stays {
		leftOut := before.seen == s.window && before.exported != s.window
		if leftOut || before.seen+patience < s.window {
			delete(s.stays, id)
		}
	}
}

// cleared returns a slice of n zero values.
func cleared[T any](s []T, n int) []T {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}
