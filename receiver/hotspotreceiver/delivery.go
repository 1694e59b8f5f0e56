package hotspotreceiver

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// How many batches wait for a pipeline that is slow. Sums are cumulative, so the
// metrics of a window that is dropped are in the next; a log record is not.
const (
	metricsWaiting = 1
	logsWaiting    = 64
)

// How many log records are held at most: on a crowded host one window has
// thousands, of some KiB each. One batch is held whatever its size.
const recordsHeld = 10_000

var errSlowPipeline = errors.New("the pipeline has not taken the batches before")

// delivery hands batches to one pipeline in their order and apart from the loop:
// one that is slow or blocks puts off no window. It ends when waiting is closed
// and empty.
type delivery struct {
	waiting chan batch
	held    atomic.Int64 // records of batches that wait or are on their way
	log     *zap.Logger  // names the signal
	dropped int          // since it was last said
	said    time.Time
}

type batch struct {
	records int // 0 for metrics
	send    func(context.Context)
}

func newDelivery(room int, log *zap.Logger) *delivery {
	return &delivery{waiting: make(chan batch, room), log: log}
}

func (d *delivery) run(ctx context.Context) {
	for b := range d.waiting {
		b.send(ctx)
		d.held.Add(int64(-b.records))
	}
}

// How often it is said at most that a pipeline is slow: it may be for hours.
const slowInterval = time.Minute

// offer leaves a batch to be sent, and tells whether there was room.
func (d *delivery) offer(records int, send func(context.Context)) bool {
	if held := d.held.Add(int64(records)); held == int64(records) || held <= recordsHeld {
		select {
		case d.waiting <- batch{records, send}:
			return true
		default:
		}
	}
	d.held.Add(int64(-records))
	d.dropped++
	if now := time.Now(); now.Sub(d.said) >= slowInterval {
		d.log.Warn("Batches are dropped: metrics are in later sums, log records are lost",
			zap.Int("dropped", d.dropped), zap.Error(errSlowPipeline))
		d.dropped, d.said = 0, now
	}
	return false
}
