package identity

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// users are those of a passwd file. It is read again when it has changed, and
// looked at once a pass at most.
type users struct {
	file     string
	look     bool
	modified time.Time
	size     int64
	names    map[uint64]string
}

// name returns the name of a user, or the id of one without.
func (u *users) name(id uint64) string {
	if u.look || u.names == nil {
		u.look = false
		u.read()
	}
	if name := u.names[id]; name != "" {
		return name
	}
	return strconv.FormatUint(id, 10)
}

// read reads the file if it has changed. Users of a host without one, or of a
// directory service, have no names.
func (u *users) read() {
	info, err := os.Stat(u.file)
	if err != nil || u.names != nil && info.ModTime().Equal(u.modified) && info.Size() == u.size {
		return
	}
	text, err := os.ReadFile(u.file)
	if err != nil {
		return
	}
	u.modified, u.size, u.names = info.ModTime(), info.Size(), make(map[uint64]string)
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(line, ":") // name:password:uid:...
		if len(fields) < 3 || strings.HasPrefix(line, "#") {
			continue
		}
		id, err := strconv.ParseUint(fields[2], 10, 32)
		if _, known := u.names[id]; err == nil && !known {
			u.names[id] = sampler.Printable(fields[0])
		}
	}
}
