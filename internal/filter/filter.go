// Package filter decides which processes are exported. All are watched and
// diagnosed, whatever it says.
package filter

import (
	"errors"
	"regexp"
	"slices"

	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Identifier tells whose a process is; package identity has it. It is asked only
// for what a block has entries of.
type Identifier interface {
	Of(sampler.Process) identity.Identity
	CommandLine(sampler.Process) string
	Owner(sampler.Process) string
}

// Filter remembers what it decided, and decides anew when a process runs another
// program, is renamed or moves. It is not safe for concurrent use.
type Filter struct {
	include, exclude *block
	whose            Identifier
	decided          map[sampler.ID]*decision
	pass             uint64
}

type decision struct {
	of       sampler.Process
	exported bool
	pass     uint64 // the last that asked
}

// New returns a filter; an error if a regular expression is none.
func New(include, exclude Config, whose Identifier) (*Filter, error) {
	f := &Filter{whose: whose, decided: make(map[sampler.ID]*decision)}
	var errs [2]error
	f.include, errs[0] = newBlock(&include)
	f.exclude, errs[1] = newBlock(&exclude)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	return f, nil
}

// Exported tells whether a process is to be exported: it matches include, unless
// that is empty, and does not match exclude.
func (f *Filter) Exported(p sampler.Process) bool {
	if f.include == nil && f.exclude == nil {
		return true
	}
	d := f.decided[p.ID]
	if d == nil {
		d = &decision{}
		f.decided[p.ID] = d
	}
	if d.of != p {
		d.of = p
		d.exported = (f.include == nil || f.include.matches(p, f.whose)) &&
			(f.exclude == nil || !f.exclude.matches(p, f.whose))
	}
	d.pass = f.pass
	return d.exported
}

// EndPass forgets the processes nobody has asked for since the last call.
func (f *Filter) EndPass() {
	for id, d := range f.decided {
		if d.pass < f.pass {
			delete(f.decided, id)
		}
	}
	f.pass++
}

// block is a compiled configuration; nil has no entries. The kinds are in the
// order of what they cost.
type block struct {
	pids                             []int64
	names, cgroups, owners, commands *entries
}

func newBlock(c *Config) (*block, error) {
	b := &block{pids: c.Pids}
	var errs [4]error
	b.names, errs[0] = newEntries(c.MatchType, cut(c.MatchType, c.ExecutableNames))
	b.cgroups, errs[1] = newEntries(c.MatchType, c.Cgroups)
	b.owners, errs[2] = newEntries(c.MatchType, c.Owners)
	b.commands, errs[3] = newEntries(c.MatchType, c.Commands)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	if len(b.pids) == 0 && b.names == nil && b.cgroups == nil && b.owners == nil && b.commands == nil {
		return nil, nil
	}
	return b, nil
}

// maxName is how many bytes of a name the kernel keeps.
const maxName = 15

// cut returns names as the kernel cuts them.
func cut(as MatchType, names []string) []string {
	if as == Regexp {
		return names
	}
	short := make([]string, 0, len(names))
	for _, name := range names {
		short = append(short, sampler.Printable(name[:min(len(name), maxName)]))
	}
	return short
}

func (b *block) matches(p sampler.Process, whose Identifier) bool {
	return (len(b.pids) == 0 || slices.Contains(b.pids, int64(p.Pid))) &&
		(b.names == nil || b.names.match(p.Name)) &&
		(b.cgroups == nil || b.cgroups.match(whose.Of(p).Cgroup)) &&
		(b.owners == nil || b.owners.match(whose.Owner(p))) &&
		(b.commands == nil || b.commands.match(whose.CommandLine(p)))
}

// entries are those of one kind; nil if there are none.
type entries struct {
	strict  map[string]bool
	regexps []*regexp.Regexp
}

func newEntries(as MatchType, texts []string) (*entries, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	e := &entries{strict: make(map[string]bool)}
	for _, text := range texts {
		if as != Regexp {
			e.strict[text] = true
			continue
		}
		r, err := regexp.Compile(text)
		if err != nil {
			return nil, err
		}
		e.regexps = append(e.regexps, r)
	}
	return e, nil
}

// match tells whether some entry matches. What is not known matches none.
func (e *entries) match(text string) bool {
	if text == "" {
		return false
	}
	return e.strict[text] || slices.ContainsFunc(e.regexps, func(r *regexp.Regexp) bool { return r.MatchString(text) })
}
