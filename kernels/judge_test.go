package main

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAKernelNewerThanTheLastKnownGoodFailsNothing(t *testing.T) {
	const good = "7.3.4-1~bpo13+1"
	for _, test := range []struct {
		kernel   kernel
		version  string
		forgiven bool
	}{
		{"newest-amd64", "7.3.5-1", true},
		{"newest-amd64", "7.3.10-1~bpo13+1", true},
		{"sid-amd64", "7.10.1-1", true},
		{"newest-amd64", "7.3.4-1~bpo13+1", false},
		{"newest-amd64", "7.3.4-2", false},
		{"newest-amd64", "7.2.13-1", false},
		{"newest-amd64", "", true},
		{"5.10-amd64", "", false},
		{"5.10-amd64", "5.10.262-1", false},
		{"host", "8.1.2", false},
	} {
		rows := []row{
			{kernel: "6.1-amd64", version: "6.1.192-2"},
			{kernel: test.kernel, version: test.version, err: errors.New("1 not right")},
		}
		var report strings.Builder
		newest, err := options{forgive: true}.judge(&report, rows, good)
		require.Equal(t, good, newest)
		if test.forgiven {
			require.NoError(t, err, "%v", test)
			require.Contains(t, report.String(), "!!! kernel "+string(test.kernel)+" "+test.version+" FAILS: 1 not right\n")
		} else {
			require.EqualError(t, err, string(test.kernel)+" "+test.version+": 1 not right", "%v", test)
			require.Empty(t, report.String())
		}
		_, err = options{}.judge(&report, rows, good)
		require.Error(t, err, "nothing is forgiven unless asked for")
	}
}

func TestTheNewestKernelThatIsRightIsKnownToBeGood(t *testing.T) {
	rows := []row{
		{kernel: "host", version: "9.1.2"},
		{kernel: "sid-amd64", version: "7.4.2-1"},
		{kernel: "backports-amd64", version: "7.3.10-1~bpo13+1"},
		{kernel: "newest-amd64", version: "7.5.1-1", err: errors.New("2 not right")},
	}
	newest, err := options{}.judge(io.Discard, rows, "7.3.4-1~bpo13+1")
	require.Equal(t, "7.4.2-1", newest)
	require.EqualError(t, err, "newest-amd64 7.5.1-1: 2 not right")
}
