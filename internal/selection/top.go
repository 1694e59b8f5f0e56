package selection

import (
	"cmp"
	"slices"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// ranked is a window, by one signal.
type ranked struct {
	value  float64
	id     sampler.ID
	window int
}

// compareRanked puts the greater first; of the same value the lower pid, and of
// the same pid who had it before.
func compareRanked(a, b ranked) int {
	if a.value != b.value {
		return cmp.Compare(b.value, a.value)
	}
	return compareIDs(a.id, b.id)
}

func compareIDs(a, b sampler.ID) int {
	if a.Pid != b.Pid {
		return cmp.Compare(a.Pid, b.Pid)
	}
	return cmp.Compare(a.Start, b.Start)
}

// top is the first few of what it is offered: a heap with the last of them at
// its root. One that is not among them costs one comparison.
type top struct {
	size int
	heap []ranked
}

func (t *top) offer(r ranked) {
	switch {
	case len(t.heap) < t.size:
		t.heap = append(t.heap, r)
		t.rise(len(t.heap) - 1)
	case t.size > 0 && compareRanked(r, t.heap[0]) < 0:
		t.heap[0] = r
		t.sink(0)
	}
}

// take returns them in order and begins anew; good until the next offer.
func (t *top) take() []ranked {
	all := t.heap
	slices.SortFunc(all, compareRanked)
	t.heap = t.heap[:0]
	return all
}

func (t *top) rise(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if compareRanked(t.heap[i], t.heap[parent]) <= 0 {
			return
		}
		t.heap[i], t.heap[parent] = t.heap[parent], t.heap[i]
		i = parent
	}
}

func (t *top) sink(i int) {
	for {
		last := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(t.heap); child++ {
			if compareRanked(t.heap[child], t.heap[last]) > 0 {
				last = child
			}
		}
		if last == i {
			return
		}
		t.heap[i], t.heap[last] = t.heap[last], t.heap[i]
		i = last
	}
}
