// Package diagnosis says why a process is slow. Rules are pure functions of one
// window; the engine remembers what has been said of whom.
package diagnosis

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// rule tells whether a window matches, with the evidence. It must not keep the
// window, and must allocate nothing for one that does not match.
type rule func(*sampler.Window, *scene) (Finding, bool)

// course is how a diagnosis starts, ends and is repeated.
type course struct {
	matches    int
	clearAfter int
	repeat     time.Duration
}

// Engine turns snapshots into diagnoses. It is not safe for concurrent use.
type Engine struct {
	config  Config
	rules   []rule
	courses [labels]course
	scene   *scene
	cases   map[sampler.ID]*patient
	passes  uint64
}

// patient is a process that matches a rule, or did not long ago.
type patient struct {
	process sampler.Process
	pass    uint64 // the last that saw it
	exited  bool

	hits   [labels]int // windows in a row that matched, by label
	onset  [labels]time.Time
	misses int // windows in a row without the active label

	active  Label // OK: none
	said    time.Time
	finding Finding       // of the last window that matched the active label
	window  time.Duration // its length
}

// New returns an engine with the rules that are enabled.
func New(config Config) *Engine {
	e := &Engine{config: config, scene: newScene(), cases: make(map[sampler.ID]*patient)}
	c := &e.config
	e.add(OOMRisk, &c.OOMRisk.RuleConfig, c.OOMRisk.match)
	e.add(MemThrashing, &c.MemThrashing.RuleConfig, c.MemThrashing.match)
	e.add(Starved, &c.Starved.RuleConfig, c.Starved.match)
	e.add(NoisyNeighbor, &c.NoisyNeighbor.RuleConfig, c.NoisyNeighbor.match)
	e.add(CPUThrottled, &c.CPUThrottled.RuleConfig, c.CPUThrottled.match)
	e.add(ForkStorm, &c.ForkStorm.RuleConfig, c.ForkStorm.match)
	e.add(CPUBound, &c.CPUBound.RuleConfig, c.CPUBound.match)
	return e
}

func (e *Engine) add(label Label, c *RuleConfig, match rule) {
	if !c.Enabled {
		return
	}
	e.rules = append(e.rules, match)
	e.courses[label] = course{
		matches:    cmp.Or(deref(c.For), e.config.For),
		clearAfter: cmp.Or(deref(c.ClearAfter), e.config.ClearAfter),
		repeat:     e.config.RepeatInterval,
	}
	if c.RepeatInterval != nil {
		e.courses[label].repeat = *c.RepeatInterval // 0 says never
	}
}

func deref(p *int) int {
	if p == nil {
		return 0
	}
	return *p
}

// Label returns what the process is diagnosed with, OK if nothing.
func (e *Engine) Label(id sampler.ID) Label {
	if p := e.cases[id]; p != nil {
		return p.active
	}
	return OK
}

// Watches tells whether there is a rule for the label.
func (e *Engine) Watches(l Label) bool { return e.courses[l].matches > 0 }

// Count returns how many processes carry each label.
func (e *Engine) Count() (n [labels]int) {
	for _, p := range e.cases {
		n[p.active]++
	}
	return n
}

// Observe takes in the next window and returns what there is to say: in the
// order of the snapshot's windows, then of the processes that are gone, by id.
// An end comes before the start that takes its place. A snapshot without length
// says nothing.
func (e *Engine) Observe(s *sampler.Snapshot) []Event {
	if s.Length <= 0 {
		return nil
	}
	e.passes++
	e.scene.set(s, &e.config.Starved, &e.config.NoisyNeighbor)
	var events []Event
	for i := range s.Windows {
		w := &s.Windows[i]
		p := e.cases[w.ID]
		if w.Exited {
			if p != nil {
				p.exited = true
			}
			continue
		}
		findings := e.match(w)
		if p == nil {
			if len(findings) == 0 {
				continue
			}
			p = &patient{}
			e.cases[w.ID] = p
		}
		p.process, p.pass = w.Process, e.passes
		events = e.update(p, findings, w, s, events)
		if p.active == OK && len(findings) == 0 {
			delete(e.cases, w.ID)
		}
	}
	return append(events, e.bury(s)...)
}

// match returns the findings of all rules, the most severe first. A window without
// length has none.
func (e *Engine) match(w *sampler.Window) []Finding {
	if w.Length <= 0 {
		return nil
	}
	var findings []Finding
	for _, match := range e.rules {
		if f, ok := match(w, e.scene); ok {
			findings = append(findings, f)
		}
	}
	slices.SortFunc(findings, func(a, b Finding) int { return cmp.Compare(b.Label, a.Label) })
	return findings
}

// update carries one process into the next window. A diagnosis gives way to a
// more severe one at once, and to a lesser one when it ends itself.
func (e *Engine) update(p *patient, findings []Finding, w *sampler.Window, s *sampler.Snapshot, events []Event) []Event {
	var matched [labels]*Finding
	for i := range findings {
		matched[findings[i].Label] = &findings[i]
	}
	for l := range matched {
		if matched[l] == nil {
			p.hits[l] = 0
			if Label(l) != p.active {
				p.onset[l] = time.Time{}
			}
			continue
		}
		p.hits[l]++
		if p.onset[l].IsZero() {
			p.onset[l] = s.End.Add(-s.Length)
		}
	}

	if p.active != OK {
		if matched[p.active] != nil {
			p.misses = 0
			p.keep(p.active, findings, w.Length)
		} else {
			p.misses++
		}
	}
	next := OK
	for _, f := range findings {
		if p.hits[f.Label] >= e.courses[f.Label].matches {
			next = f.Label
			break
		}
	}
	switch {
	case p.active != OK && (next > p.active || p.misses >= e.courses[p.active].clearAfter):
		events = append(events, p.end(s.End, named(p.process)+" "+descriptions[p.active].over))
		if next != OK {
			events = append(events, p.start(next, findings, w, s))
		}
	case p.active == OK && next != OK:
		events = append(events, p.start(next, findings, w, s))
	case p.active != OK && matched[p.active] != nil && e.courses[p.active].repeat > 0 &&
		s.End.Sub(p.said) >= e.courses[p.active].repeat:
		p.said = s.End
		events = append(events, p.event(Ongoing, s.End, p.finding.Sentence))
	}
	return events
}

func (p *patient) start(label Label, findings []Finding, w *sampler.Window, s *sampler.Snapshot) Event {
	p.active, p.misses, p.said = label, 0, s.End
	p.keep(label, findings, w.Length)
	return p.event(Started, s.End, p.finding.Sentence)
}

// keep holds on to the finding of one label, with the evidence of all.
func (p *patient) keep(label Label, findings []Finding, length time.Duration) {
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Label == label })
	p.finding, p.window = findings[i], length
	p.finding.Evidence = gather(findings)
}

func (p *patient) end(at time.Time, sentence string) Event {
	e := p.event(Ended, at, sentence)
	e.Sentence += fmt.Sprintf("; it lasted %s", e.Duration.Round(100*time.Millisecond))
	p.active, p.misses, p.onset[e.Label] = OK, 0, time.Time{}
	return e
}

func (p *patient) event(state State, at time.Time, sentence string) Event {
	e := Event{
		Finding:  p.finding,
		Process:  p.process,
		State:    state,
		Duration: max(at.Sub(p.onset[p.active]), 0),
		Window:   p.window,
	}
	e.Sentence = sentence
	return e
}

// bury ends the diagnoses of processes that are gone: said to have exited, or
// not seen twice. Once is not enough, since an exec can hide a process from a
// census.
func (e *Engine) bury(s *sampler.Snapshot) []Event {
	var events []Event
	for id, p := range e.cases {
		if p.pass == e.passes || !p.exited && p.pass+1 == e.passes {
			continue
		}
		delete(e.cases, id)
		if p.active != OK {
			events = append(events, p.end(s.End, fmt.Sprintf("%s has exited and %s",
				named(p.process), descriptions[p.active].over)))
		}
	}
	slices.SortFunc(events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Process.Pid, b.Process.Pid), cmp.Compare(a.Process.Start, b.Process.Start))
	})
	return events
}

// gather returns the evidence of all findings, each signal once and sound.
func gather(findings []Finding) []Evidence {
	var all []Evidence
	for _, f := range findings {
		for _, e := range f.Evidence {
			if !slices.ContainsFunc(all, func(have Evidence) bool { return have.Name == e.Name }) {
				e.Value = sound(e.Value)
				all = append(all, e)
			}
		}
	}
	return all
}

// sound returns v as it may leave: backends refuse NaN and infinities, and no
// signal is negative, whatever a kernel counts.
func sound(v float64) float64 {
	if !(v > 0) {
		return 0
	}
	return min(v, math.MaxFloat64)
}
