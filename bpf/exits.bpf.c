//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Exits: the last word on every process, and what its dead threads have used.
 * Runs once for each thread, when the kernel frees it: in an RCU callback, some
 * milliseconds after it was reaped. At sched_process_exit up to a tick of its
 * CPU time is not yet charged and the teardown is still to come: there it is
 * only counted, 0.1 us, to know how many are to be freed. Only a process takes
 * a record: the reader comes every interval, and is woken before that if many
 * exit. Threads are summed up.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

/* A process that is gone. Sums are of all its threads. */
struct exit {
	__u64 process_start; /* since boot, ns */
	__u64 run_delay; /* ns; of the leader only while threads are due */
	__u64 ran; /* ns on a CPU, up to the end: as run_delay */
	__u64 cpu; /* ns, each thread up to when it was reaped */
	__u32 pid; /* the kernel's tgid */
	__u32 parent;
	__u32 flags; /* PF_* */
	/* How many threads the sums of this process in dead_threads will be of
	 * when the last is freed; 0 if they are in this record. */
	__u32 threads_due;
	__u8 comm[TASK_COMM_LEN];
	__u64 user;
	__u64 system;
	__u64 minor_faults;
	__u64 major_faults;
	__u64 voluntary;
	__u64 involuntary;
	__u64 cgroup;
	__u64 cpu_cgroup;
	__u64 memory_cgroup;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20); /* user space has it mapped twice */
} exits SEC(".maps");

/*
 * A process as long as any of its threads is not freed: a signal_struct lives
 * that long, and is that of no other. The leader, which knows when the process
 * began, may be freed before others are.
 */
struct group {
	__u64 signal;
	__u32 pid;
	__u32 unused;
};

/* What the threads of a process used that are freed and were not its leader,
 * since the first of these. */
struct dead {
	__u64 process_start; /* since boot, ns */
	__u64 run_delay; /* ns; signal_struct has no sum of it */
	__u64 ran; /* ns on a CPU, up to the end of each */
	__u64 threads;
	__u64 exited; /* freed or not, the leader too */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* the loader makes it more */
	__type(key, struct group);
	__type(value, struct dead);
} dead_threads SEC(".maps");

/* What found no room. */
struct exit_loss {
	__u64 processes;
	__u64 cpu; /* of these, ns */
	__u64 threads; /* that were no leaders */
};

struct exit_loss exit_losses;

const struct exit *exit_type __attribute__((unused));
const struct group *group_type __attribute__((unused));
const struct dead *dead_type __attribute__((unused));
const struct exit_loss *exit_loss_type __attribute__((unused));

/* From how many bytes in the ring on the reader is woken: at 20 000 exits a second
 * every 50 ms. The rest is for when it is not given a CPU at once, and for all
 * that come together after a grace period that was held up: 1.1 s was seen. */
__u64 wake_at = 128 << 10;

static __always_inline struct group group_of(const struct task_struct *t)
{
	return (struct group){
		.signal = (__u64)t->signal,
		.pid = t->tgid,
	};
}

/* Counts a thread that exits, unless it is the only one there was. Its leader is
 * not freed before it is reaped. Where a program can be preempted some are missed
 * (0.5 % of 20 000 in a row on 7.2): then a thread may come that was not due. */
static __always_inline void count(const struct task_struct *t)
{
	struct group g = group_of(t);
	struct dead *d = bpf_map_lookup_elem(&dead_threads, &g);

	if (!d) {
		struct dead none = {
			.process_start = t->group_leader->start_boottime,
		};

		if (t->signal->nr_threads == 1)
			return;
		/* Fails if another CPU was faster, which is as good. */
		bpf_map_update_elem(&dead_threads, &g, &none, BPF_NOEXIST);
		d = bpf_map_lookup_elem(&dead_threads, &g);
	}
	if (d)
		__sync_fetch_and_add(&d->exited, 1);
}

static __always_inline void add_thread(const struct task_struct *t)
{
	struct group g = group_of(t);
	struct dead *d = bpf_map_lookup_elem(&dead_threads, &g);

	if (!d) {
		__sync_fetch_and_add(&exit_losses.threads, 1);
		return;
	}
	__sync_fetch_and_add(&d->run_delay, task_run_delay(t));
	__sync_fetch_and_add(&d->ran, t->se.sum_exec_runtime);
	__sync_fetch_and_add(&d->threads, 1);
}

/* Completes the record with what the other threads used, or says how many of them
 * are due. All have exited. */
static __always_inline void add_dead(struct exit *e,
				     const struct task_struct *leader)
{
	struct group g = group_of(leader);
	struct dead *d = bpf_map_lookup_elem(&dead_threads, &g);

	if (!d)
		return;
	if (d->threads + 1 < d->exited) {
		e->threads_due = d->exited - 1;
		return;
	}
	e->run_delay += d->run_delay;
	e->ran += d->ran;
	bpf_map_delete_elem(&dead_threads, &g);
}

static __always_inline void add_process(const struct task_struct *t)
{
	const struct signal_struct *s = t->signal;
	struct exit e = {
		.process_start = t->start_boottime,
		.run_delay = task_run_delay(t),
		.ran = t->se.sum_exec_runtime,
		.cpu = s->sum_sched_runtime,
		.pid = t->tgid,
		.parent = t->real_parent->tgid,
		.flags = t->flags,
		.user = s->utime,
		.system = s->stime,
		.minor_faults = s->min_flt,
		.major_faults = s->maj_flt,
		.voluntary = s->nvcsw,
		.involuntary = s->nivcsw,
		.cgroup = task_cgroup(t),
		.cpu_cgroup = css_cgroup(task_css(t, cpu_cgrp_id)),
		.memory_cgroup = css_cgroup(task_css(t, memory_cgrp_id)),
	};
	bool many = bpf_ringbuf_query(&exits, BPF_RB_AVAIL_DATA) >= wake_at;

	bpf_probe_read_kernel_str(e.comm, sizeof(e.comm), t->comm);
	add_dead(&e, t);
	if (bpf_ringbuf_output(&exits, &e, sizeof(e),
			       many ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP)) {
		__sync_fetch_and_add(&exit_losses.processes, 1);
		__sync_fetch_and_add(&exit_losses.cpu,
				     e.ran > e.cpu ? e.ran : e.cpu);
	}
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exiting, struct task_struct *task)
{
	count(task);
	return 0;
}

SEC("tp_btf/sched_process_free")
int BPF_PROG(exited, struct task_struct *task)
{
	if (task->pid == task->tgid)
		add_process(task);
	else
		add_thread(task);
	return 0;
}
