package bpf

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// errFields says that fields which the programs read are not in the kernel as
// kernel.h has them; the message names each.
var errFields = errors.New("fields have changed")

// newCollection loads a collection if its fields are those of the running kernel.
func newCollection(spec *ebpf.CollectionSpec, o ebpf.CollectionOptions) (*ebpf.Collection, error) {
	if err := checkRunning(spec, &o); err != nil {
		return nil, err
	}
	return ebpf.NewCollectionWithOptions(spec, o)
}

// loadAndAssign does the same, and assigns what it loads to the fields of a struct.
func loadAndAssign(spec *ebpf.CollectionSpec, to any) error {
	var o ebpf.CollectionOptions
	if err := checkRunning(spec, &o); err != nil {
		return err
	}
	return spec.LoadAndAssign(to, &o)
}

// checkRunning checks the fields against the running kernel. Its types are read
// once, for the loader as well.
func checkRunning(spec *ebpf.CollectionSpec, o *ebpf.CollectionOptions) error {
	if o.Cache == nil {
		o.Cache = btf.NewCache()
	}
	kernel, err := o.Cache.Kernel()
	if err != nil {
		return fmt.Errorf("read the kernel's types: %w", err)
	}
	return checkFields(spec, kernel)
}

// checkFields compares what the programs read with the kernel's types. The loader
// moves each read to where the field is, whatever that is now: of a number that has
// become wider it reads a part, of a narrower one or a bit-field the neighbours too.
//
// A read fits if every member on its way is in the kernel what kernel.h says: a
// number of so many bytes, a pointer, a bit-field, a struct, an array of these. One
// that does not is an error, with two exceptions. What the kernel does not have is
// accepted where the object asks for it (bpf_core_field_exists,
// bpf_core_type_exists). A member that is something else is accepted where another
// flavour of its struct declares it and is read, and that fits: the accessor chooses.
//
// The error joins one for each field, and wraps errFields.
func checkFields(spec *ebpf.CollectionSpec, kernel *btf.Spec) error {
	accesses, err := accessesOf(spec)
	if err != nil {
		return err
	}
	absent := make(map[string]bool) // and asked for
	fitting := make(map[string]bool)
	var misfits []comparison
	for id, of := range accesses {
		local, err := spec.Types.TypeByID(id)
		if err != nil {
			return fmt.Errorf("find a type that the programs read: %w", err)
		}
		for i, c := range compareAll(local, of, kernel) {
			switch of[i].kind {
			case "field_exists", "type_exists":
				if c.have == nothing {
					absent[c.path()] = true
				}
			case "byte_off", "signed", "lshift_u64", "rshift_u64":
				if !c.fits() {
					misfits = append(misfits, c)
					continue
				}
				for ; len(c.way) > 0; c.way = c.way[:len(c.way)-1] {
					fitting[c.path()] = true
				}
			}
		}
	}
	var wrong []string
	for _, c := range misfits {
		mayLack := c.have == nothing && absent[c.path()]
		if !mayLack && !fitting[c.path()] {
			wrong = append(wrong, c.String())
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	var errs []error
	for _, w := range slices.Compact(wrong) {
		errs = append(errs, errors.New(w))
	}
	return fmt.Errorf("%w: %w", errFields, errors.Join(errs...))
}

// access is what a CO-RE relocation says that a program does with a type.
type access struct {
	kind string // bpf_core_relo_kind of linux/bpf.h, as cilium/ebpf abbreviates it
	path []int  // to a field, by members and elements; empty for the type itself
}

// All that cilium/ebpf exports of a relocation is this text.
var relocation = regexp.MustCompile(`^CORERelocation\((\w+), .*\[([\d:]+)\], local_id=(\d+)\)$`)

// accessesOf returns what the programs do with each of the object's types.
func accessesOf(spec *ebpf.CollectionSpec) (map[btf.TypeID][]access, error) {
	accesses := make(map[btf.TypeID][]access)
	seen := make(map[string]bool)
	for _, p := range spec.Programs {
		for i := range p.Instructions {
			r := btf.CORERelocationMetadata(&p.Instructions[i])
			if r == nil {
				continue
			}
			text := r.String()
			if seen[text] {
				continue
			}
			seen[text] = true
			parts := relocation.FindStringSubmatch(text)
			if parts == nil {
				return nil, fmt.Errorf("find what a program reads: unknown relocation %s", text)
			}
			a := access{kind: parts[1]}
			if strings.HasPrefix(a.kind, "enumval_") {
				continue
			}
			id, err := strconv.ParseUint(parts[3], 10, 32)
			for _, index := range strings.Split(parts[2], ":")[1:] { // the first is a pointer's
				n, e := strconv.Atoi(index)
				err = errors.Join(err, e)
				a.path = append(a.path, n)
			}
			if err != nil {
				return nil, fmt.Errorf("find what a program reads: relocation %s: %w", text, err)
			}
			accesses[btf.TypeID(id)] = append(accesses[btf.TypeID(id)], a)
		}
	}
	return accesses, nil
}

// comparison is what the kernel has of a type or of a field of it.
type comparison struct {
	way        []string // all names from the type on, up to the field or the first that differs
	field      string   // the last of these: struct.member
	want, have string   // its shapes
}

// path tells fields apart that are of the same struct in different places.
func (c comparison) path() string { return strings.Join(c.way, " ") }

func (c comparison) fits() bool { return c.want == c.have }

func (c comparison) String() string {
	return fmt.Sprintf("%s: expected %s, the kernel has %s", c.field, c.want, c.have)
}

// compareAll compares all accesses to a type with the kernel's type of that name. If
// it has several, with the one that most fit, which is the loader's choice too.
func compareAll(local btf.Type, accesses []access, kernel *btf.Spec) []comparison {
	candidates, _ := kernel.AnyTypesByName(essential(local.TypeName()))
	if len(candidates) == 0 {
		candidates = []btf.Type{&btf.Void{}}
	}
	var best []comparison
	most := -1
	for _, candidate := range candidates {
		all := make([]comparison, len(accesses))
		fit := 0
		for i, a := range accesses {
			all[i] = compare(local, candidate, a.path)
			if all[i].fits() {
				fit++
			}
		}
		if fit > most {
			best, most = all, fit
		}
	}
	return best
}

// compare follows a path through both types, up to where they differ.
func compare(local, kernel btf.Type, path []int) comparison {
	name := essential(local.TypeName())
	c := comparison{[]string{name}, name, shape(local), shape(kernel)}
	for _, index := range path {
		if !c.fits() {
			break
		}
		if array, ok := btf.As[*btf.Array](local); ok {
			of, _ := btf.As[*btf.Array](kernel)
			name = fmt.Sprintf("%s[%d]", name, index)
			local, kernel = array.Type, of.Type
			c = comparison{append(c.way, name), name, shape(local), shape(kernel)}
			if of.Nelems > 0 && index >= int(of.Nelems) {
				c.have = nothing
			}
			continue
		}
		if n := essential(local.TypeName()); n != "" {
			name = n
		}
		want := membersOf(local)[index]
		local = want.Type
		if want.Name == "" {
			continue // its members are the struct's own
		}
		name += "." + want.Name
		c = comparison{append(c.way, name), name, memberShape(want), nothing}
		if have, ok := find(kernel, want.Name); ok {
			kernel, c.have = have.Type, memberShape(have)
		}
	}
	return c
}

// find finds a member, also in the anonymous structs and unions of a struct.
func find(t btf.Type, name string) (btf.Member, bool) {
	for _, m := range membersOf(t) {
		if m.Name == name {
			return m, true
		}
		if m.Name == "" {
			if m, ok := find(m.Type, name); ok {
				return m, true
			}
		}
	}
	return btf.Member{}, false
}

func membersOf(t btf.Type) []btf.Member {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return t.Members
	case *btf.Union:
		return t.Members
	}
	return nil
}

// essential is the name of a type without its ___flavour.
func essential(name string) string {
	name, _, _ = strings.Cut(name, "___")
	return name
}

const nothing = "none"

// shape says of a type what must be the same for a read of it to be right.
func shape(t btf.Type) string {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Int:
		return size(t.Size)
	case *btf.Enum: // for the loader no number
		return "an enum of " + size(t.Size)
	case *btf.Pointer:
		return "a pointer"
	case *btf.Struct, *btf.Union:
		return "a struct"
	case *btf.Array:
		return "an array, each " + shape(t.Type)
	case *btf.Void, *btf.Fwd:
		return nothing
	default:
		return fmt.Sprintf("%v", t)
	}
}

func memberShape(m btf.Member) string {
	if m.BitfieldSize > 0 {
		return "a bit-field"
	}
	return shape(m.Type)
}

func size(bytes uint32) string {
	if bytes == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", bytes)
}
