package hotspotreceiver

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// How many names of short-lived processes have a series of their own.
const maxShortLivedNames = 20

// otherNames is the series of those that found no room.
const otherNames = "other"

// shortLived sums the CPU time of processes that came and went between two
// readings, by name. A name that has a series keeps it.
type shortLived struct {
	named  map[string]time.Duration
	other  time.Duration
	window map[string]time.Duration // not yet closed
}

func (s *shortLived) add(w *sampler.Window) {
	if s.window == nil {
		s.window, s.named = make(map[string]time.Duration), make(map[string]time.Duration)
	}
	s.window[w.Name] += w.Used.CPU()
}

// each closes the window and calls visit with every series, in order of names.
// New names are taken in by the CPU time of the window they come in.
func (s *shortLived) each(visit func(name string, cpu time.Duration)) {
	names := slices.SortedFunc(maps.Keys(s.window), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.window[b], s.window[a]), cmp.Compare(a, b))
	})
	for _, name := range names {
		_, known := s.named[name]
		if name != otherNames && (known || len(s.named) < maxShortLivedNames) {
			s.named[name] += s.window[name]
		} else {
			s.other += s.window[name]
		}
	}
	clear(s.window)
	for _, name := range slices.Sorted(maps.Keys(s.named)) {
		visit(name, s.named[name])
	}
	visit(otherNames, s.other)
}
