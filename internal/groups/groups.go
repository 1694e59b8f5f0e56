// Package groups sums up what processes do by the control group they are in.
package groups

import (
	"slices"
	"strings"
	"time"

	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Other is the path of what belongs to no group of its own: of groups that find
// no room, and of processes that were gone before anything told their group.
const Other = "other"

// patience is for how many windows a group without processes is kept: a service
// that is started anew goes on counting.
const patience = 12

// Identifier tells whose a process is.
type Identifier interface {
	Of(sampler.Process) identity.Identity
}

// Accounts are those of all groups. They are not safe for concurrent use.
type Accounts struct {
	max    int
	window uint64
	began  time.Time // when this window did
	groups map[string]*Group
	other  *Group         // nil until it is needed
	places map[ids]*place // what is known of processes' groups
	sorted []*Group
}

// ids are the kernfs ids of the groups a process is in. All processes with the
// same are in the same group: one of them is asked for its path.
type ids struct{ unified, cpu, memory uint64 }

func idsOf(p *sampler.Process) ids { return ids{p.Cgroup, p.CPUCgroup, p.MemoryCgroup} }

// place is what was learned of some ids.
type place struct {
	identity identity.Identity // without a path as long as nobody told it
	group    *Group            // nil: it is in Other
	asked    sampler.ID        // who was asked last
	askedIn  uint64            // the window in which that was, or that the group found no room
	seen     uint64            // the last window with such a process
}

// New returns accounts of at most so many groups, besides that of all others.
func New(most int) *Accounts {
	return &Accounts{max: most, groups: make(map[string]*Group), places: make(map[ids]*place)}
}

// Observe adds the next window and returns all groups in order of their paths,
// Other the last. What it returns is good until the next call.
func (a *Accounts) Observe(s *sampler.Snapshot, whose Identifier) []*Group {
	a.window++
	a.began = s.End.Add(-s.Length)
	for _, g := range a.groups {
		g.begin()
	}
	if a.other != nil {
		a.other.begin()
	}
	for i := range s.Windows {
		w := &s.Windows[i]
		g := a.groupOf(&w.Process, whose)
		g.seen = a.window
		g.add(w)
	}
	for _, p := range s.Pairs {
		if p.Wait <= 0 {
			break // they come sorted
		}
		victim, aggressor := a.groupOf(&p.Victim, whose), a.groupOf(&p.Aggressor, whose)
		if victim != aggressor {
			victim.seen = a.window
			victim.wait(aggressor.Path, p.Wait, a.began)
		}
	}
	a.forget()
	return a.all()
}

// groupOf returns the group a process is in. One that nothing was ever heard of
// but its pid is in none that is known.
func (a *Accounts) groupOf(p *sampler.Process, whose Identifier) *Group {
	of := idsOf(p)
	if of == (ids{}) {
		return a.others()
	}
	at := a.places[of]
	if at == nil {
		at = &place{}
		a.places[of] = at
	}
	at.seen = a.window
	if at.group == nil {
		a.locate(at, p, whose)
	}
	if at.group != nil {
		at.group.seen = a.window
		return at.group
	}
	return a.others()
}

func (a *Accounts) others() *Group {
	if a.other == nil {
		a.other = &Group{Path: Other, Since: a.began}
	}
	return a.other
}

// locate asks one process in each window for the path, another one than before,
// and makes room for its group if there is any.
func (a *Accounts) locate(at *place, p *sampler.Process, whose Identifier) {
	if at.askedIn == a.window {
		return
	}
	if at.identity.Cgroup == "" {
		if p.ID == at.asked {
			return
		}
		at.asked, at.askedIn = p.ID, a.window
		at.identity = whose.Of(*p)
		if at.identity.Cgroup == "" {
			return
		}
	}
	path := at.identity.Cgroup
	g := a.groups[path]
	if g == nil && len(a.groups) < a.max {
		g = &Group{Path: path, ContainerID: at.identity.ContainerID, PodUID: at.identity.PodUID, Since: a.began}
		a.groups[path] = g
	}
	at.group, at.askedIn = g, a.window
}

// forget drops what has had no process for long.
func (a *Accounts) forget() {
	gone := func(seen uint64) bool { return seen+patience < a.window }
	for path, g := range a.groups {
		if !gone(g.seen) {
			continue
		}
		delete(a.groups, path)
		for _, victim := range a.groups {
			victim.drop(path)
		}
		if a.other != nil {
			a.other.drop(path)
		}
	}
	for of, at := range a.places {
		if gone(at.seen) {
			delete(a.places, of)
		}
	}
}

// drop ends the series of waits behind a group that is forgotten.
func (g *Group) drop(aggressor string) {
	if i, found := g.find(aggressor); found {
		g.Waits = slices.Delete(g.Waits, i, i+1)
	}
}

func (a *Accounts) all() []*Group {
	a.sorted = a.sorted[:0]
	for _, g := range a.groups {
		a.sorted = append(a.sorted, g)
	}
	slices.SortFunc(a.sorted, func(x, y *Group) int { return strings.Compare(x.Path, y.Path) })
	// It may have been an aggressor only.
	if a.other != nil && a.other.seen > 0 {
		a.sorted = append(a.sorted, a.other)
	}
	return a.sorted
}
