/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
#ifndef HOTSPOT_DEPARTURE_H
#define HOTSPOT_DEPARTURE_H

/*
 * What is kept of a task when it loses the CPU or moves: what its waits were
 * before. A later task can take the entry.
 */
struct departure {
	__u64 run_delay;
	__u64 throttled; /* task_throttled() */
	__u32 tid;
	__u32 runs; /* how often it had run: it has not since. The low half. */
};

/* Whether it is of this task, which has run as often since it began and not again.
 * A count that is kept in half is compared in half: a thread that switches ten
 * thousand times a second has run 2^32 times in five days. */
static __always_inline bool departed(const struct departure *d, __u32 tid,
				     __u64 runs)
{
	return d->tid == tid && d->runs == (__u32)runs;
}

#endif
