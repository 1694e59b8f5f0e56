package memory

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/identity"
)

// FuzzFill: whatever stands in the files of a control group, a process has no
// more left than it may use, and no more than all of the window stood still.
func FuzzFill(f *testing.F) {
	f.Add("/a", "max", "4096", "inactive_file 1\nactive_file 2\nworkingset_refault_anon 7", "some avg10=1.00 avg60=1.00 avg300=0.50 total=7")
	f.Add("/a/../../..", "1", "-1", "inactive_file\n\nactive_file 99999999999999999999", "some avg10=nan avg60=inf avg300=-1 total=18446744073709551615")
	f.Add("", "18446744073709551615", "0x10", "active_file 18446744073709551615\ninactive_file 1", "some avg10=-5 avg60=0 avg300=0 total=0")
	f.Add("/a\x00b", "0", "9223372036854775807", "\xff \xff", "full")
	f.Fuzz(func(t *testing.T, path, limit, used, stat, pressure string) {
		v2 := newTree(t)
		v2.write("a", "memory.max", limit)
		v2.write("a", "memory.current", used)
		v2.write("a", "memory.stat", stat)
		v2.write("a", "memory.pressure", pressure)
		v2.write("a", "io.pressure", pressure)
		r, w := newReader("", v2.root), growing()
		w.Used.MajorFaults = 1
		for pass := range time.Duration(3) {
			got := fill(r, pass*length, identity.Identity{UnifiedCgroup: path}, w)
			require.LessOrEqual(t, got.Headroom, got.Limit)
			require.LessOrEqual(t, got.Limit, w.Limit)
			for _, share := range []float64{got.MemoryStall, got.IOStall} {
				require.True(t, share >= 0 && share <= 1, "%v", share)
			}
		}
		for dir := range r.groups {
			require.Contains(t, dir, v2.root)
		}
	})
}
