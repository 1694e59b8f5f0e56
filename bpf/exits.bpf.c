//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Exits: the last word on every thread and process.
 * Runs once for each thread, when the kernel frees it: in an RCU callback, some
 * milliseconds after it was reaped. Not at sched_process_exit, where up to a
 * tick of its CPU time is not yet charged and the teardown is still to come.
 * Only here are the sums final. The reader comes every interval, and is woken
 * before that only if the ring fills up.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

/*
 * A thread that is gone. If it was the leader its process is gone too and the
 * sums are the process's; else only run_delay is set, which no one else keeps.
 */
struct exit {
	__u64 process_start; /* since boot, ns */
	__u64 run_delay; /* this thread's own, ns */
	__u32 pid; /* the kernel's tgid */
	__u32 tid;
	__u32 parent;
	__u32 flags; /* PF_* */
	__u8 comm[TASK_COMM_LEN];
	__u64 cpu; /* all threads, ns */
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
	__uint(max_entries, 1 << 20); /* user space has it mapped twice */
} exits SEC(".maps");

/* Exits the ring had no room for. */
struct exit_loss {
	__u64 processes;
	__u64 cpu; /* of these, ns */
	__u64 threads; /* that were no leaders */
};

struct exit_loss exit_losses;

const struct exit *exit_type __attribute__((unused));
const struct exit_loss *exit_loss_type __attribute__((unused));

/* From how many bytes in the ring on the reader is woken. */
__u64 wake_at = 512 << 10;

static __always_inline void submit(struct exit *e)
{
	bool full = bpf_ringbuf_query(&exits, BPF_RB_AVAIL_DATA) >= wake_at;

	bpf_ringbuf_submit(e, full ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* What is kept of a thread that was not the leader: up to comm. */
#define THREAD_SIZE __builtin_offsetof(struct exit, comm)

static __always_inline void say_thread(const struct task_struct *t)
{
	struct exit *e = bpf_ringbuf_reserve(&exits, THREAD_SIZE, 0);

	if (!e) {
		__sync_fetch_and_add(&exit_losses.threads, 1);
		return;
	}
	e->process_start = t->group_leader->start_boottime;
	e->run_delay = task_run_delay(t);
	e->pid = t->tgid;
	e->tid = t->pid;
	e->parent = 0;
	e->flags = t->flags;
	submit(e);
}

static __always_inline void say_process(const struct task_struct *t)
{
	const struct signal_struct *s = t->signal;
	struct exit *e = bpf_ringbuf_reserve(&exits, sizeof(*e), 0);

	if (!e) {
		__sync_fetch_and_add(&exit_losses.processes, 1);
		__sync_fetch_and_add(&exit_losses.cpu, s->sum_sched_runtime);
		return;
	}
	e->process_start = t->start_boottime;
	e->run_delay = task_run_delay(t);
	e->pid = t->tgid;
	e->tid = t->pid;
	e->parent = t->real_parent->tgid;
	e->flags = t->flags;
	e->comm[0] = 0;
	bpf_probe_read_kernel_str(e->comm, sizeof(e->comm), t->comm);
	e->cpu = s->sum_sched_runtime;
	e->user = s->utime;
	e->system = s->stime;
	e->minor_faults = s->min_flt;
	e->major_faults = s->maj_flt;
	e->voluntary = s->nvcsw;
	e->involuntary = s->nivcsw;
	e->cgroup = task_cgroup(t);
	e->cpu_cgroup = css_cgroup(task_css(t, cpu_cgrp_id));
	e->memory_cgroup = css_cgroup(task_css(t, memory_cgrp_id));
	submit(e);
}

SEC("tp_btf/sched_process_free")
int BPF_PROG(exited, struct task_struct *task)
{
	if (task->pid == task->tgid)
		say_process(task);
	else
		say_thread(task);
	return 0;
}
