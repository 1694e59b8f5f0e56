package bpf

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestReasonsNameWhatLacksAndTheRemedy(t *testing.T) {
	bits := func(capabilities ...int) (all uint64) {
		for _, c := range capabilities {
			all |= 1 << c
		}
		return all
	}
	const remedy = ": run as root, or grant CAP_BPF and CAP_PERFMON" +
		" (systemd: AmbientCapabilities=; containers: capabilities.add)"
	for _, test := range []struct {
		name  string
		facts facts
		want  []string
	}{
		{
			name:  "nothing lacks",
			facts: facts{btf: true, capabilities: bits(unix.CAP_BPF, unix.CAP_PERFMON)},
		},
		{
			name:  "CAP_SYS_ADMIN stands for both",
			facts: facts{btf: true, capabilities: bits(unix.CAP_SYS_ADMIN)},
		},
		{
			name:  "no privileges at all",
			facts: facts{btf: true},
			want:  []string{"missing CAP_BPF and CAP_PERFMON" + remedy},
		},
		{
			name:  "CAP_PERFMON alone",
			facts: facts{btf: true, capabilities: bits(unix.CAP_PERFMON)},
			want:  []string{"missing CAP_BPF" + remedy},
		},
		{
			name:  "CAP_BPF alone",
			facts: facts{btf: true, capabilities: bits(unix.CAP_BPF, unix.CAP_NET_ADMIN)},
			want:  []string{"missing CAP_PERFMON" + remedy},
		},
		{
			name:  "nobody knows the capabilities, so none is missed",
			facts: facts{btf: true, capabilitiesErr: errors.New("no")},
		},
		{
			name:  "an old kernel",
			facts: facts{btf: true, capabilities: bits(unix.CAP_SYS_ADMIN), release: "5.4.0-42", unsupported: true},
			want:  []string{"kernel 5.4.0-42 does not support task iterators: needs Linux 5.10 or later"},
		},
		{
			name:  "no type information, which may be all that is wrong",
			facts: facts{capabilities: bits(unix.CAP_SYS_ADMIN), release: "5.10.0", unsupported: true},
			want: []string{"no type information at /sys/kernel/btf/vmlinux: needs a kernel built with CONFIG_DEBUG_INFO_BTF=y" +
				" (those of Debian 11 and later are), and /sys mounted"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, test.facts.reasons())
		})
	}

	t.Run("everything that lacks is named at once", func(t *testing.T) {
		reasons := facts{}.reasons()
		require.Len(t, reasons, 2)
		require.True(t, strings.HasPrefix(reasons[0], "missing "))
		require.True(t, strings.HasPrefix(reasons[1], "no type information "))
	})
}

func TestExplainPresentsChangedFieldsPlainly(t *testing.T) {
	changed := fmt.Errorf("load the OOM program: %w: task_struct.tgid: expected 4 bytes, the kernel has 2 bytes", errFields)
	err := explain(OOMProgram, changed)
	require.ErrorIs(t, err, errFields)
	require.Regexp(t, `^kernel \S+ has changed what the program reads; please report this: `, err.Error())
	require.ErrorContains(t, err, "task_struct.tgid: expected 4 bytes, the kernel has 2 bytes")
	require.NotContains(t, err.Error(), "verifier")
}
