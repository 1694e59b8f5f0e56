package bpf

import (
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"
)

var objects = map[string]func() (*ebpf.CollectionSpec, error){
	"census": loadCensus, "exits": loadExits, "contention": loadContention, "oom": loadOom,
}

func object(t testing.TB, name string) *ebpf.CollectionSpec {
	t.Helper()
	spec, err := objects[name]()
	require.NoError(t, err)
	return spec
}

// kernelTypes returns the running kernel's, for a test to change.
func kernelTypes(t testing.TB) *btf.Spec {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("needs the kernel's BTF: %v", err)
	}
	return kernel
}

// change changes a member, named struct.member; false if the kernel has none.
func change(kernel *btf.Spec, field string, to func(*btf.Member)) bool {
	name, member, _ := strings.Cut(field, ".")
	types, err := kernel.AnyTypesByName(name)
	if err != nil {
		return false
	}
	var in func(t btf.Type) bool
	in = func(t btf.Type) bool {
		members := membersOf(t)
		for i := range members {
			if members[i].Name == member {
				to(&members[i])
				return true
			}
			if members[i].Name == "" && in(members[i].Type) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(types, in)
}

func number(n uint32) func(*btf.Member) {
	return func(m *btf.Member) { m.Type = &btf.Int{Size: n} }
}

func removed(m *btf.Member) { m.Name += "_removed" }

func TestFields_OfTheRunningKernelFitEveryObject(t *testing.T) {
	for name := range objects {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, checkFields(object(t, name), kernelTypes(t)))
		})
	}
}

// What an object reads is found in the object here too, so that no field is left
// out of the check, one that is added later neither.
func TestFields_EachThatChangesIsNamed(t *testing.T) {
	for name := range objects {
		t.Run(name, func(t *testing.T) {
			spec := object(t, name)
			kernel := kernelTypes(t)
			accesses, err := accessesOf(spec)
			require.NoError(t, err)
			fields := make(map[string]bool)
			for id, of := range accesses {
				local, err := spec.Types.TypeByID(id)
				require.NoError(t, err)
				for _, c := range compareAll(local, of, kernel) {
					if c.fits() && len(c.way) > 1 {
						fields[c.field] = true
					}
				}
			}
			require.True(t, fields["task_struct.tgid"])
			for field := range fields {
				var before btf.Member
				require.True(t, change(kernel, field, func(m *btf.Member) {
					before = *m
					m.Type, m.BitfieldSize = &btf.Int{Size: 3}, 0
				}), field)
				err := checkFields(spec, kernel)
				require.ErrorIs(t, err, errFields, field)
				require.ErrorContains(t, err, field+": expected ")
				require.ErrorContains(t, err, ", the kernel has 3 bytes")
				change(kernel, field, func(m *btf.Member) { *m = before })
			}
			require.NoError(t, checkFields(spec, kernel))
		})
	}
}

func TestFields(t *testing.T) {
	for _, test := range []struct {
		name    string
		object  string
		changes map[string]func(*btf.Member)
		want    []string // none: it fits
	}{
		{
			name: "a number is narrower", object: "contention",
			changes: map[string]func(*btf.Member){"sched_info.pcount": number(4)},
			want:    []string{"sched_info.pcount: expected 8 bytes, the kernel has 4 bytes"},
		},
		{
			name: "a number is wider", object: "exits",
			changes: map[string]func(*btf.Member){"task_struct.pid": number(8)},
			want:    []string{"task_struct.pid: expected 4 bytes, the kernel has 8 bytes"},
		},
		{
			name: "a typedef is no change", object: "exits",
			changes: map[string]func(*btf.Member){"task_struct.pid": func(m *btf.Member) {
				m.Type = &btf.Const{Type: &btf.Typedef{Name: "id", Type: &btf.Volatile{Type: &btf.Int{Size: 4}}}}
			}},
		},
		{
			name: "a member moves into an anonymous union", object: "exits",
			changes: map[string]func(*btf.Member){"task_struct.pid": func(m *btf.Member) {
				m.Type = &btf.Union{Size: 4, Members: []btf.Member{{Name: "pid", Type: m.Type}}}
				m.Name = ""
			}},
		},
		{
			name: "a member is a bit-field", object: "census",
			changes: map[string]func(*btf.Member){"task_struct.flags": func(m *btf.Member) { m.BitfieldSize = 30 }},
			want:    []string{"task_struct.flags: expected 4 bytes, the kernel has a bit-field"},
		},
		{
			name: "a pointer is a number", object: "oom",
			changes: map[string]func(*btf.Member){"task_struct.mm": number(8)},
			want:    []string{"task_struct.mm: expected a pointer, the kernel has 8 bytes"},
		},
		{
			name: "elements of an array are wider", object: "census",
			changes: map[string]func(*btf.Member){"task_struct.comm": func(m *btf.Member) {
				m.Type = &btf.Array{Type: &btf.Int{Size: 2}, Nelems: 16}
			}},
			want: []string{"task_struct.comm: expected an array, each 1 byte, the kernel has an array, each 2 bytes"},
		},
		{
			name: "an array is shorter than what is read of it", object: "oom",
			changes: map[string]func(*btf.Member){"mm_struct.rss_stat": func(m *btf.Member) {
				m.Type = &btf.Array{Type: &btf.Struct{Members: []btf.Member{{Name: "count", Type: &btf.Int{Size: 8}}}}, Nelems: 3}
			}},
			want: []string{"mm_struct.rss_stat[3]: expected a struct, the kernel has none"},
		},
		{
			name: "a field is gone", object: "exits",
			changes: map[string]func(*btf.Member){"signal_struct.min_flt": removed},
			want:    []string{"signal_struct.min_flt: expected 8 bytes, the kernel has none"},
		},
		{
			name: "several are named", object: "contention",
			changes: map[string]func(*btf.Member){"rq.nr_running": number(2), "task_struct.tgid": removed},
			want: []string{
				"rq.nr_running: expected 4 bytes, the kernel has 2 bytes",
				"task_struct.tgid: expected 4 bytes, the kernel has none",
			},
		},
		{
			name: "a field that may be absent is", object: "census",
			changes: map[string]func(*btf.Member){
				"sched_info.run_delay": removed, "sched_info.last_queued": removed, "task_struct.self_exec_id": removed,
				"sched_entity.cfs_rq": removed, "cfs_rq.rq": removed, "task_group.cfs_bandwidth": removed,
			},
		},
		{
			name: "the same of the contention programs", object: "contention",
			changes: map[string]func(*btf.Member){
				"sched_entity.sched_delayed": removed, "cfs_rq.h_nr_queued": removed, "cfs_rq.h_nr_runnable": removed,
			},
		},
		{
			name: "one that may be absent has to fit where it is not", object: "census",
			changes: map[string]func(*btf.Member){"task_struct.self_exec_id": number(4)},
			want:    []string{"task_struct.self_exec_id: expected 8 bytes, the kernel has 4 bytes"},
		},
		{
			name: "what one object asks for is mandatory in another that does not", object: "contention",
			changes: map[string]func(*btf.Member){"sched_info.run_delay": removed},
			want:    []string{"sched_info.run_delay: expected 8 bytes, the kernel has none"},
		},
		{
			name: "on_rq as before 7.2", object: "contention",
			changes: map[string]func(*btf.Member){"task_struct.on_rq": number(4)},
		},
		{
			name: "on_rq as since 7.2", object: "contention",
			changes: map[string]func(*btf.Member){"task_struct.on_rq": number(1)},
		},
		{
			name: "no flavour fits", object: "census",
			changes: map[string]func(*btf.Member){"task_struct.on_rq": number(2)},
			want: []string{
				"task_struct.on_rq: expected 1 byte, the kernel has 2 bytes",
				"task_struct.on_rq: expected 4 bytes, the kernel has 2 bytes",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			kernel := kernelTypes(t)
			for field, to := range test.changes {
				change(kernel, field, to)
			}
			err := checkFields(object(t, test.object), kernel)
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, errFields)
			require.EqualError(t, err, errFields.Error()+": "+strings.Join(test.want, "\n"))
		})
	}

	t.Run("a struct that may be absent is", func(t *testing.T) {
		kernel := kernelTypes(t)
		var group *btf.Struct
		require.NoError(t, kernel.TypeByName("task_group", &group))
		group.Name = "another"
		change(kernel, "task_struct.sched_task_group", removed)
		require.NoError(t, checkFields(object(t, "census"), kernel))
	})
	t.Run("a struct that must be there is not", func(t *testing.T) {
		kernel := kernelTypes(t)
		var sets *btf.Struct
		require.NoError(t, kernel.TypeByName("css_set", &sets))
		sets.Name = "another"
		require.EqualError(t, checkFields(object(t, "exits"), kernel),
			errFields.Error()+": css_set: expected a struct, the kernel has none")
	})
}

// By types of the object that are not the running kernel's, since those are given.
func TestFields_AreCheckedBeforeLoading(t *testing.T) {
	kernelTypes(t)
	for name, load := range map[string]func(*ebpf.CollectionSpec) error{
		"loadAndAssign": func(spec *ebpf.CollectionSpec) error { return loadAndAssign(spec, &struct{}{}) },
		"newCollection": func(spec *ebpf.CollectionSpec) error {
			_, err := newCollection(spec, ebpf.CollectionOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			spec := object(t, "exits")
			require.True(t, change(spec.Types, "task_struct.tgid", number(2)))
			require.EqualError(t, load(spec), errFields.Error()+": task_struct.tgid: expected 2 bytes, the kernel has 4 bytes")
		})
	}
}

func TestContentionGoesWithoutMigrationsWhoseFieldsHaveChanged(t *testing.T) {
	open(t) // or skips
	types := btf.NewCache()
	kernel, err := types.Kernel()
	require.NoError(t, err)
	load := func() (*Contention, error) {
		spec := object(t, "contention")
		spec.Maps["pairs"].MaxEntries, spec.Maps["victims"].MaxEntries = 1, 1
		c := &Contention{}
		err := c.load(spec, ebpf.CollectionOptions{Cache: types})
		if err == nil {
			t.Cleanup(func() { _ = c.Close() })
		}
		return c, err
	}
	require.True(t, change(kernel, "rq.cpu", number(2)))
	c, err := load()
	require.NoError(t, err)
	require.Nil(t, c.objects.Migration)
	require.ErrorIs(t, c.unmoved, errFields)
	require.ErrorContains(t, c.unmoved, "rq.cpu: expected 4 bytes, the kernel has 2 bytes")

	require.True(t, change(kernel, "rq.nr_running", number(2)))
	_, err = load()
	require.ErrorIs(t, err, errFields)
	require.ErrorContains(t, err, "rq.nr_running: expected 4 bytes, the kernel has 2 bytes")
	require.NotContains(t, err.Error(), "rq.cpu")
}

func BenchmarkCheckFields(b *testing.B) {
	kernel := kernelTypes(b)
	var specs []*ebpf.CollectionSpec
	for name := range objects {
		specs = append(specs, object(b, name))
	}
	for b.Loop() {
		for _, spec := range specs {
			if err := checkFields(spec, kernel); err != nil {
				b.Fatal(err)
			}
		}
	}
}
