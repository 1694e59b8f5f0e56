//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Switches: every context switch of one CPU, for tests.
 * Runs at every context switch and writes it down as it is. What is to be
 * learned from that is left to the reader, so that it has nothing in common
 * with the program it is the measure of.
 */
#include "../../kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct switched {
	__u64 clock; /* the run queue's, ns */
	__u64 queued; /* since when the next task waited, 0 if it did not */
	__u32 from; /* pids */
	__u32 to;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 20);
} switches SEC(".maps");

__u64 lost;
const volatile __u32 cpu;

const struct switched *switched_type __attribute__((unused));

SEC("tp_btf/sched_switch")
int BPF_PROG(trace, bool preempt, struct task_struct *prev,
	     struct task_struct *next)
{
	struct switched *s;

	if (bpf_get_smp_processor_id() != cpu)
		return 0;
	s = bpf_ringbuf_reserve(&switches, sizeof(*s), 0);
	if (!s) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	s->clock = next->se.cfs_rq->rq->clock;
	s->queued = next->sched_info.last_queued;
	s->from = prev->tgid;
	s->to = next->tgid;
	/* A wakeup would take the lock of a run queue, which is held. */
	bpf_ringbuf_submit(s, BPF_RB_NO_WAKEUP);
	return 0;
}
