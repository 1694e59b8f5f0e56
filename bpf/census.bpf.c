//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Census: one record of every thread, read from the kernel's own books.
 * Runs once an interval, in the reader's context, with the thread held by the
 * iterator; 0.1 to 0.8 us a thread. May run twice for the same thread (the
 * kernel calls it again when its buffer was full), so what it leaves behind, the
 * record and the mark of a wait, is only ever replaced.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define QUOTA_LEVELS 8 /* of control groups that are looked at for a quota */
#define NSEC_PER_USEC 1000

/* One thread, and what of it follows: struct activity, then struct process. */
struct thread {
	__u64 start; /* since boot, ns */
	__u64 process_start; /* the thread group leader's */
	__u32 tid;
	__u32 pid; /* the process: the kernel's tgid */
	__u32 flags; /* PF_* */
	__u16 has_activity;
	__u16 has_process;
};

/*
 * What a thread has done. Follows if it may have changed since the last pass:
 * most threads of most hosts sleep through a window. Times in ns, all sums since
 * the thread began. Unlike everything else, run_delay dies with the thread:
 * signal_struct has no sum of it.
 */
struct activity {
	__u64 cpu; /* on a CPU; up to one tick behind while it runs */
	__u64 user; /* user and system: by the tick, only their */
	__u64 system; /* ratio is of use */
	__u64 run_delay; /* runnable but not running, waits that are over */
	__u64 waiting; /* and the one in progress */
	__u64 queued; /* when that began, in the clock of cpu_id's run queue */
	__u64 running_since; /* when the one that has its CPU came there, 0: unknown */
	__u64 minor_faults;
	__u64 major_faults;
	__u64 voluntary; /* context switches */
	__u64 involuntary;
	__u32 cpu_id; /* where it runs or waits */
	__u32 marked; /* the wait in progress is the reader's to charge */
	__u32 running; /* the process that has its CPU meanwhile, 0: idle */
	__u32 held; /* it could not run anyway: throttled */
	__u64 at; /* when that was true of it, CLOCK_BOOTTIME, ns */
};

/*
 * What the threads of a process share. Follows the leader's record. Once the
 * leader is dead it has let go of the memory: then it follows every thread
 * that still holds it as well. It also follows a thread that comes before the
 * leader, at least the first, so that nobody dies into sums that are yet to be
 * read: its own record and these would count it twice.
 */
struct process {
	__u64 dead_cpu; /* dead_*: of threads that are gone, ns */
	__u64 dead_user;
	__u64 dead_system;
	__u64 dead_minor_faults;
	__u64 dead_major_faults;
	__u64 dead_voluntary;
	__u64 dead_involuntary;
	__u64 file_pages; /* resident, by kind */
	__u64 anon_pages;
	__u64 shmem_pages;
	__u64 swap_entries; /* pages swapped out */
	__u64 cgroup; /* kernfs ids: v2 hierarchy, */
	__u64 cpu_cgroup; /* where the cpu controller has it, */
	__u64 memory_cgroup; /* where the memory controller has it */
	__u64 cpu_quota; /* ns in each period, 0 if there is no limit */
	__u64 cpu_period; /* ns */
	__u64 throttled; /* by the quotas of its cpu cgroup and above, ns */
	__u64 exec_id; /* changes with every exec */
	__u32 parent;
	__u32 threads;
	__u8 comm[TASK_COMM_LEN]; /* of the thread it follows; ends with a NUL */
};

/* The pass that is being made, as the reader says. */
struct pass {
	__u64 number; /* goes up */
	__u64 began; /* CLOCK_MONOTONIC, ns */
	__u64 whole; /* every thread is to bring its activity */
};

struct pass this_pass = {};

/*
 * A moment before a pass began, by the clock in which a CPU's tasks are told how
 * long they ran: of this pass, and of the one before.
 */
struct moment {
	__u64 pass;
	__u64 now;
	__u64 before;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* the loader makes it one a CPU */
	__type(key, __u32);
	__type(value, struct moment);
} moments SEC(".maps");

/* By how much a moment is put earlier: a task that leaves its CPU is still being
 * counted a little after its time is, and two clocks are compared. */
#define MARGIN 10000000 /* ns */

/*
 * Up to when the wait in progress of a thread is charged: by the reader, who has
 * the record. The contention program charges the rest when the wait is over.
 */
struct mark {
	__u64 queued; /* which wait this is about */
	__u64 until; /* both in the clock of the run queue */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32); /* thread id */
	__type(value, struct mark);
} marks SEC(".maps");

/* The shortest wait in progress that is marked, ns: none without the contention
 * program. */
__u64 mark_wait = ~0ULL;

/* Types reach Go through BTF, which holds only what a symbol refers to. */
const struct thread *thread_type __attribute__((unused));
const struct activity *activity_type __attribute__((unused));
const struct process *process_type __attribute__((unused));

/*
 * Whether the thread sleeps and has since before the last pass began. What a task
 * uses is charged up to when it leaves the CPU, exec_start; the clock that is in
 * may be anywhere behind this program's, but on one CPU it only goes forward.
 */
static __always_inline bool sleeps_on(const struct task_struct *t)
{
	const struct rq *rq = task_rq(t);
	struct moment *m;
	__u64 passed;
	__u32 cpu;

	if (!rq || task_on_rq(t))
		return false;
	cpu = rq->cpu;
	m = bpf_map_lookup_elem(&moments, &cpu);
	if (!m)
		return false;
	if (m->pass != this_pass.number) {
		passed = bpf_ktime_get_ns() - this_pass.began + MARGIN;
		m->pass = this_pass.number;
		m->before = m->now;
		m->now = rq->clock_task > passed ? rq->clock_task - passed : 0;
	}
	/* 0: it has not run yet. */
	return !this_pass.whole && t->se.exec_start &&
	       t->se.exec_start < m->before;
}

static __always_inline void read_thread(struct thread *r,
					const struct task_struct *t)
{
	r->start = t->start_boottime;
	r->process_start = t->group_leader->start_boottime;
	r->tid = t->pid;
	r->pid = t->tgid;
	r->flags = t->flags;
}

/* How often the clock and what it stamps are read again, if they do not agree. */
#define READINGS 4

/*
 * When the thread had used this much. Nobody keeps the thread from running on, or
 * this program from losing its CPU for seconds in between: the clock is good if
 * what was read before it is still so after it.
 */
static __always_inline void read_times(struct activity *r,
				       const struct task_struct *t)
{
	int i;

	for (i = 0; i < READINGS; i++) {
		r->cpu = t->se.sum_exec_runtime;
		r->run_delay = task_run_delay(t);
		r->waiting = task_waiting(t);
		r->queued = r->waiting ? task_queued(t) : 0;
		r->at = bpf_ktime_get_boot_ns();
		if (r->cpu == t->se.sum_exec_runtime &&
		    r->run_delay == task_run_delay(t) &&
		    r->waiting == task_waiting(t))
			return;
	}
}

static __always_inline void read_activity(struct activity *r,
					  const struct task_struct *t)
{
	read_times(r, t);
	r->user = t->utime;
	r->system = t->stime;
	r->cpu_id = task_cpu(t);
	r->minor_faults = t->min_flt;
	r->major_faults = t->maj_flt;
	r->voluntary = t->nvcsw;
	r->involuntary = t->nivcsw;
}

/*
 * Whether a quota leaves fewer CPUs than the tightest so far. Quotas are set in
 * us and are at most 2^44 of them, since 5.8; periods are at most a second. In ns
 * the product of the two would overflow with quotas of three minutes.
 */
static __always_inline bool tighter(__u64 quota, __u64 period,
				    const struct process *than)
{
	return quota / NSEC_PER_USEC * (than->cpu_period / NSEC_PER_USEC) <
	       than->cpu_quota / NSEC_PER_USEC * (period / NSEC_PER_USEC);
}

/* A quota holds for the cgroup and all below: what throttles the task is the
 * sum, what it may use the tightest. */
static __always_inline void read_quota(struct process *r,
				       const struct task_struct *t)
{
	const struct task_group *group;
	__u64 quota, period;
	int i;

	if (!bpf_core_field_exists(t->sched_task_group) ||
	    !bpf_core_field_exists(struct task_group, cfs_bandwidth))
		return;
	group = t->sched_task_group;
	for (i = 0; i < QUOTA_LEVELS && group; i++, group = group->parent) {
		quota = group->cfs_bandwidth.quota;
		period = group->cfs_bandwidth.period;
		r->throttled += group->cfs_bandwidth.throttled_time;
		if (quota == CFS_QUOTA_NONE)
			continue;
		if (r->cpu_period && !tighter(quota, period, r))
			continue;
		r->cpu_quota = quota;
		r->cpu_period = period;
	}
}

static __always_inline void read_process(struct process *r,
					 const struct task_struct *t)
{
	const struct signal_struct *s = t->signal;
	const struct mm_struct *mm = t->mm;

	r->dead_cpu = s->sum_sched_runtime;
	r->dead_user = s->utime;
	r->dead_system = s->stime;
	r->dead_minor_faults = s->min_flt;
	r->dead_major_faults = s->maj_flt;
	r->dead_voluntary = s->nvcsw;
	r->dead_involuntary = s->nivcsw;
	r->threads = s->nr_threads;
	r->parent = t->real_parent->tgid;
	r->exec_id = task_exec_id(t);
	if (mm && !(t->flags & PF_KTHREAD)) {
		r->file_pages = mm_pages(mm, MM_FILEPAGES);
		r->anon_pages = mm_pages(mm, MM_ANONPAGES);
		r->shmem_pages = mm_pages(mm, MM_SHMEMPAGES);
		r->swap_entries = mm_pages(mm, MM_SWAPENTS);
	}
	r->cgroup = task_cgroup(t);
	r->cpu_cgroup = css_cgroup(task_css(t, cpu_cgrp_id));
	r->memory_cgroup = css_cgroup(task_css(t, memory_cgrp_id));
	read_quota(r, t);
	bpf_probe_read_kernel_str(r->comm, sizeof(r->comm), t->comm);
}

/* Tells the contention program what of the wait is charged. Without room it
 * will charge all of it again: the mark says so in the record. */
static __always_inline void mark(struct activity *r, __u32 tid)
{
	struct mark m = {
		.queued = r->queued,
		.until = r->queued + r->waiting,
	};

	if (r->waiting < mark_wait)
		return;
	r->marked = !bpf_map_update_elem(&marks, &tid, &m, BPF_ANY);
}

/* Who has the CPU that a thread waits for. */
static __always_inline void read_running(struct activity *r,
					 const struct task_struct *t)
{
	const struct rq *rq = task_rq(t);
	const struct task_struct *running = rq ? rq->curr : 0;

	if (!running || !running->pid)
		return;
	r->running = running->tgid;
	r->running_since = running->sched_info.last_arrival;
}

/* The last thread before its leader that brought the record of the process. */
struct early {
	__u64 pass;
	__u32 pid;
	__u32 tid;
};

static struct early early;

/*
 * Whether the thread comes before its leader, and is the first that does. Ids
 * begin anew at the top, so it may. Of a process whose threads do not follow each
 * other more than one is taken for the first, which does no harm. So that it holds
 * when the program runs again, it does for the same thread.
 */
static __always_inline bool comes_early(const struct task_struct *t)
{
	__u32 pid = t->tgid, tid = t->pid;

	if (tid >= pid || (early.pass == this_pass.number && early.pid == pid &&
			   early.tid != tid))
		return false;
	early.pass = this_pass.number;
	early.pid = pid;
	early.tid = tid;
	return true;
}

SEC("iter/task")
int census(struct bpf_iter__task *ctx)
{
	const struct task_struct *t = ctx->task;
	struct seq_file *seq = ctx->meta->seq;
	struct activity activity = {};
	struct process process = {};
	struct thread thread = {};

	if (!t)
		return 0;
	read_thread(&thread, t);
	thread.has_activity = !sleeps_on(t);
	thread.has_process = t->pid == t->tgid || comes_early(t) ||
			     (t->mm && !t->group_leader->mm);
	/* The sums of the dead first: who dies in between is then not in them. */
	if (thread.has_process)
		read_process(&process, t);
	if (thread.has_activity)
		read_activity(&activity, t);
	/* The iterator holds a task that may have been released since it was found.
	 * It is in the sums of its process by now, and who it points to may be gone. */
	if (!t->thread_pid)
		return 0;
	/* When the buffer is full the kernel drops all of this and runs us again:
	 * then the mark is moved on with it. */
	bpf_seq_write(seq, &thread, sizeof(thread));
	if (thread.has_activity) {
		mark(&activity, thread.tid);
		if (activity.marked) {
			read_running(&activity, t);
			activity.held = task_held(t);
		}
		bpf_seq_write(seq, &activity, sizeof(activity));
	}
	if (thread.has_process)
		bpf_seq_write(seq, &process, sizeof(process));
	return 0;
}
