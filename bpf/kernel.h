/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The kernel as these programs see it: only the types and fields they use.
 * Offsets come from the running kernel's BTF (preserve_access_index), so the
 * order and the neighbours of a field do not matter; its width does, and is
 * compared at load (fields_linux.go). A field that some kernel since 5.10 lacks is
 * read through an accessor below, never directly, which asks for that very field.
 * A ___suffix names another layout of the same type; the loader strips it.
 */
#ifndef HOTSPOT_KERNEL_H
#define HOTSPOT_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef _Bool bool;

enum {
	false,
	true,
};

/* uapi/linux/bpf.h */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
};
enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
};
enum {
	BPF_RB_AVAIL_DATA = 0,
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define TASK_COMM_LEN 16
#define PF_KTHREAD 0x00200000 /* a kernel thread */
#define TASK_ON_RQ_MIGRATING 2 /* task_struct.on_rq */
#define SCHED_DEADLINE 6 /* task_struct.policy */
#define CFS_QUOTA_NONE (~0ULL) /* cfs_bandwidth.quota without a limit */

#pragma clang attribute push(__attribute__((preserve_access_index)), \
			     apply_to = record)

struct seq_file {};

/* What an iterator program is told of the pass it is part of. */
struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

/* kernfs_node.id has been a plain u64 since 5.5. */
struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

/* Values are the running kernel's: they depend on its configuration. */
enum cgroup_subsys_id {
	cpu_cgrp_id,
	memory_cgrp_id,
};

/* The cgroups of a task: one of the v2 hierarchy, one a controller. */
struct css_set {
	struct cgroup *dfl_cgrp;
	struct cgroup_subsys_state *subsys[16];
};

/* A cgroup's CPU quota; CONFIG_CFS_BANDWIDTH. Times in ns. */
struct cfs_bandwidth {
	__s64 period;
	__u64 quota;
	__u64 throttled_time;
};

struct task_group {
	struct task_group *parent;
	struct cfs_bandwidth cfs_bandwidth;
};

/*
 * Of the h_nr counts, which are of the whole hierarchy, runnable leaves out who
 * is asleep and dequeued later. The throttled times are of quotas of the cgroup
 * and those above, on this CPU, and grow when one ends; CONFIG_CFS_BANDWIDTH.
 */
struct cfs_rq {
	struct rq *rq;
	unsigned int h_nr_queued, h_nr_runnable; /* since 6.14 */
	int throttle_count; /* not 0: is throttled now */
	__u64 throttled_clock_self_time; /* since 6.6, in rq.clock */
	__u64 throttled_clock_pelt_time; /* since 5.19 */
};

struct cfs_rq___pre519 {
	__u64 throttled_clock_task_time; /* in rq.clock_task */
};

struct cfs_rq___pre614 {
	unsigned int h_nr_delayed; /* since 6.13 */
};

/* A CPU's run queue and its own clock, in ns. nr_running counts who runs and who
 * is queued, asleep or not, but not what a quota throttles. */
struct rq {
	unsigned int nr_running;
	struct cfs_rq cfs;
	struct task_struct *curr;
	__u64 clock;
	__u64 clock_task; /* without the time of interrupts and of other guests */
	int cpu;
};

/* cfs_rq: CONFIG_FAIR_GROUP_SCHED. It is set for tasks of every class. */
struct sched_entity {
	__u64 exec_start; /* up to when that is, in clock_task; 0 before it has run */
	__u64 sum_exec_runtime;
	unsigned char sched_delayed; /* since 6.12: asleep, dequeued later */
	struct cfs_rq *cfs_rq;
};

/* When a task of SCHED_DEADLINE must have had its runtime, in rq.clock; a period
 * begins dl_deadline before that. */
struct sched_dl_entity {
	__u64 dl_deadline;
	__u64 dl_period;
	__s64 runtime; /* what is left of it; none: is throttled now */
	__u64 deadline;
};

/* CONFIG_SCHED_INFO. pcount is how often the task has run, last_arrival when it
 * last began to; last_queued is 0 unless it waits for a CPU now. */
struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
	unsigned long long last_arrival;
	unsigned long long last_queued;
};

/* What the threads of a process share. The sums are of its dead threads. */
struct signal_struct {
	int nr_threads;
	__u64 utime, stime;
	unsigned long nvcsw, nivcsw;
	unsigned long min_flt, maj_flt;
	unsigned long long sum_sched_runtime;
};

struct percpu_counter {
	__s64 count;
};

enum { MM_FILEPAGES, MM_ANONPAGES, MM_SWAPENTS, MM_SHMEMPAGES };

/* Since 6.2 the resident set is counted per CPU; count lacks at most the
 * batch each CPU may hold back. */
struct mm_struct {
	struct percpu_counter rss_stat[4];
};

typedef struct {
	__s64 counter;
} atomic64_t;

struct mm_rss_stat {
	atomic64_t count[4];
};

struct mm_struct___pre62 {
	struct mm_rss_stat rss_stat;
};

struct task_struct {
	unsigned int flags;
	unsigned char on_rq; /* since 7.2 */
	int pid, tgid;
	struct pid *thread_pid; /* NULL once it is released */
	char comm[TASK_COMM_LEN];
	struct task_struct *real_parent, *group_leader;
	struct mm_struct *mm;
	__u64 utime, stime; /* ns, by the tick */
	unsigned long nvcsw, nivcsw;
	unsigned long min_flt, maj_flt;
	__u64 start_boottime; /* ns since boot, suspend included */
	__u64 self_exec_id; /* counts execs */
	unsigned int policy;
	struct sched_entity se;
	struct sched_dl_entity dl;
	struct sched_info sched_info;
	struct css_set *cgroups;
	struct task_group *sched_task_group; /* CONFIG_CGROUP_SCHED */
	struct signal_struct *signal;
};

struct task_struct___pre72 {
	int on_rq;
};

#pragma clang attribute pop

/* TASK_ON_RQ_*, 0 if the task sleeps. */
static __always_inline __u32 task_on_rq(const struct task_struct *t)
{
	const struct task_struct___pre72 *old = (const void *)t;

	if (bpf_core_field_size(old->on_rq) == sizeof(old->on_rq))
		return old->on_rq;
	return t->on_rq;
}

static __always_inline __u64 task_run_delay(const struct task_struct *t)
{
	if (!bpf_core_field_exists(t->sched_info.run_delay))
		return 0;
	return t->sched_info.run_delay;
}

/* When the task began to wait for a CPU, in the clock of the run queue it is
 * on; 0 if it runs or sleeps. */
static __always_inline __u64 task_queued(const struct task_struct *t)
{
	if (!bpf_core_field_exists(t->sched_info.last_queued))
		return 0;
	return t->sched_info.last_queued;
}

static __always_inline const struct rq *task_rq(const struct task_struct *t)
{
	if (!bpf_core_field_exists(t->se.cfs_rq) ||
	    !bpf_core_field_exists(struct cfs_rq, rq))
		return 0;
	return t->se.cfs_rq->rq;
}

/* The CPU the task runs or waits on. */
static __always_inline __u32 task_cpu(const struct task_struct *t)
{
	const struct rq *rq = task_rq(t);

	return rq ? rq->cpu : 0;
}

/*
 * How long the task has waited for a CPU since it was last queued, in ns; 0 if
 * it runs or sleeps. The run queue's clock stands still between two scheduler
 * events of that CPU: the result is at most a tick short, or while its cgroup
 * is throttled on an idle CPU up to a quota period, never too long.
 */
static __always_inline __u64 task_waiting(const struct task_struct *t)
{
	const struct rq *rq = task_rq(t);
	__u64 queued = task_queued(t), now;

	if (!queued || !rq)
		return 0;
	now = rq->clock;
	return now > queued ? now - queued : 0;
}

/* Whether a task that is on a run queue does not want to run. */
static __always_inline bool task_sleeps(const struct task_struct *t)
{
	return bpf_core_field_exists(t->se.sched_delayed) && t->se.sched_delayed;
}

/* How many run or want to on a CPU. Who sleeps is dequeued when it would be next,
 * and beside tasks of a higher priority that can take seconds. */
static __always_inline __u32 rq_runnable(const struct rq *rq)
{
	const struct cfs_rq___pre614 *old = (const void *)&rq->cfs;
	__u32 asleep = 0;

	if (bpf_core_field_exists(rq->cfs.h_nr_queued) &&
	    bpf_core_field_exists(rq->cfs.h_nr_runnable))
		asleep = rq->cfs.h_nr_queued - rq->cfs.h_nr_runnable;
	else if (bpf_core_field_exists(old->h_nr_delayed))
		asleep = old->h_nr_delayed;
	return rq->nr_running - asleep;
}

/* For how long the quotas of the task's cgroup, or of one above, have held back
 * this cgroup on the task's CPU, ns. Before 6.6 in a clock that goes without
 * interrupts, and slower where the CPU does. */
static __always_inline __u64 task_throttled(const struct task_struct *t)
{
	const struct cfs_rq *q = t->se.cfs_rq;
	const struct cfs_rq___pre519 *old = (const void *)q;

	if (bpf_core_field_exists(q->throttled_clock_self_time))
		return q->throttled_clock_self_time;
	if (bpf_core_field_exists(q->throttled_clock_pelt_time))
		return q->throttled_clock_pelt_time;
	if (bpf_core_field_exists(old->throttled_clock_task_time))
		return old->throttled_clock_task_time;
	return 0;
}

/* Whether a task that waits could not run now, by its own reservation or quota. */
static __always_inline bool task_held(const struct task_struct *t)
{
	if (t->policy == SCHED_DEADLINE)
		return t->dl.runtime <= 0;
	return bpf_core_field_exists(t->se.cfs_rq->throttle_count) &&
	       t->se.cfs_rq->throttle_count > 0;
}

/* Which cgroup's queue the task is on, as a number: the verifier lets nobody
 * calculate with a pointer. */
static __always_inline __u64 task_queue(const struct task_struct *t)
{
	__u64 q = 0;

	bpf_core_read(&q, sizeof(q), &t->se.cfs_rq);
	return q;
}

/* When the current period of a deadline task began, in the clock of its run queue.
 * One that overran its runtime has had its deadline put off by more than one
 * period at once. */
static __always_inline __u64 task_replenished(const struct task_struct *t,
					      __u64 now)
{
	__u64 began = t->dl.deadline - t->dl.dl_deadline;
	__u64 period = t->dl.dl_period;

	if (began > now && period)
		began -= (began - now + period - 1) / period * period;
	return began;
}

static __always_inline __u64 task_exec_id(const struct task_struct *t)
{
	if (!bpf_core_field_exists(t->self_exec_id))
		return 0;
	return t->self_exec_id;
}

static __always_inline __u64 not_negative(__s64 n)
{
	return n > 0 ? n : 0;
}

/* Pages of one kind the address space holds. A macro, since the index of an
 * array element is relocated only if it is a constant to the parser. Copied
 * before 6.2: the verifier then knows no array of a typedef. */
#define mm_pages(mm, kind)                                                 \
	({                                                                 \
		const struct mm_struct___pre62 *old = (const void *)(mm);  \
		__s64 n = 0;                                               \
                                                                           \
		if (bpf_core_type_exists(struct mm_rss_stat))              \
			bpf_core_read(&n, sizeof(n),                       \
				      &old->rss_stat.count[kind].counter); \
		else                                                       \
			n = (mm)->rss_stat[kind].count;                    \
		not_negative(n);                                           \
	})

/* The state the task's cgroup keeps for one controller, NULL if the kernel is
 * built without it. */
#define task_css(t, controller)                                          \
	(bpf_core_enum_value_exists(enum cgroup_subsys_id, controller) ? \
		 (t)->cgroups->subsys[bpf_core_enum_value(               \
			 enum cgroup_subsys_id, controller)] :           \
		 (struct cgroup_subsys_state *)0)

static __always_inline __u64 css_cgroup(const struct cgroup_subsys_state *css)
{
	return css ? css->cgroup->kn->id : 0;
}

static __always_inline __u64 task_cgroup(const struct task_struct *t)
{
	return t->cgroups->dfl_cgrp->kn->id;
}

#endif
