//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Contention: who ran while a task waited for its CPU.
 * Runs at every context switch and migration, with the run-queue lock held and
 * interrupts off: no ring buffer, no allocation. A switch while nobody waits is
 * done after a few loads of what the scheduler has just used; else it is written
 * into this CPU's history, which a task looks back over that waited for long.
 * All times are in the clock of the run queue; it differs between CPUs and
 * from bpf_ktime_get_ns().
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define LEVELS 3
#define SLICES 64 /* a power of two */
#define SLOTS 8
#define LOST 128 /* a power of two */
#define MOVES 4096 /* a power of two */
#define NOBODY 0xffffffff /* the pid of a free slot */

/*
 * What ran on a CPU up to end, from the end of the slice before. One process
 * for however long; or up to SLOTS that took turns within the resolution of
 * the level, so that tasks that switch every few microseconds do not flush the
 * history.
 */
struct slice {
	__u64 end; /* 0: never written */
	__u32 pid[SLOTS]; /* the kernel's tgid; 0: none, or nobody waited */
	__u32 ns[SLOTS]; /* how long each ran; of no use if it is alone */
	__u32 used; /* slots */
	__u32 unused;
};

/* A ring; the newest slice is at head % SLICES. */
struct level {
	__u64 head;
	struct slice slices[SLICES];
};

struct pair {
	__u32 victim; /* pids */
	__u32 aggressor;
};

/*
 * The run_delay of a task when it began to wait. A queued task that moves to
 * another CPU has its wait booked and waits anew there, in that CPU's clock: how
 * long the wait was is known by the growth of run_delay only. A later task can
 * take the entry; then the wait remains unattributed.
 */
struct departure {
	__u64 run_delay;
	__u32 tid;
	__u32 runs; /* how often it had run: it has not since */
};

/*
 * A task that has lost the CPU, and involuntary switches of its process that are
 * not in the maps yet: tasks that preempt each other do so thousands of times a
 * second, and two look-ups by hash each time would be most of what this program
 * costs. Half a cache line, and all that such a switch touches.
 */
struct lost {
	struct departure left;
	struct pair pair;
	__u64 times;
};

/*
 * One CPU, and what ran on it while others waited, the newest in detail. A slice
 * that a level has no more room for is folded into the next, of 16 times coarser
 * resolution: 192 slices reach seconds back even where thousands of tasks a
 * second take turns. Written under the lock of its run queue.
 */
struct cpu {
	__u64 min_wait; /* the shortest that is looked into, ns; never written */
	__u64 opened; /* when open began: the end of the newest in levels */
	struct slice open; /* goes on: not in levels yet */
	struct lost lost[LOST]; /* by thread id */
	struct level levels[LEVELS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set to the number of CPUs at load */
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

/* Of tasks that have moved, or woken on another CPU than they slept on. */
struct departure moves[MOVES];

/* What one process did to another. */
struct charge {
	__u64 wait; /* ns the victim waited while the aggressor ran */
	__u64 waits; /* run slices these were */
	__u64 involuntary; /* times the aggressor took the CPU from it */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct pair);
	__type(value, struct charge);
} pairs SEC(".maps");

/* All waits of one process of at least min_wait that are over. What is in none
 * of the parts but in total is unattributed. */
struct victim {
	__u64 total; /* ns */
	__u64 others; /* behind other processes */
	__u64 self; /* behind its own threads */
	__u64 idle; /* while nothing ran, or nobody was queued: throttled */
	__u64 waits;
	__u64 cut; /* ns from before the history begins */
	__u64 involuntary; /* switches, own threads included */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct victim);
} victims SEC(".maps");

/* Up to when a wait is charged by the reader: see census.bpf.c, whose map takes
 * the place of this one. */
struct mark {
	__u64 queued;
	__u64 until;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct mark);
} marks SEC(".maps");

/* What could not be kept, by reason. */
struct loss {
	__u64 pairs; /* charges and switches of a pair that found no room */
	__u64 pairs_ns; /* and how much they were */
	__u64 victims; /* waits and switches of a victim that found none */
	__u64 victims_ns;
	__u64 cut; /* looks back that the history was too short for */
};

struct loss losses;

const struct slice *slice_type __attribute__((unused));
const struct loss *loss_type __attribute__((unused));

/* No wait that is looked into is shorter: min_wait is at least this. */
#define SHORTEST_NS 100000ULL
/* Of the first level; each further one is 16 times coarser. */
#define RESOLUTION_NS 250000ULL

/* A level of a CPU, NULL if there is none of that number. What is compared must be
 * what is used, of all that the compiler could compare in its place: the verifier
 * of 6.12 does not know one for the other. */
static __always_inline struct level *level(struct cpu *c, __u64 n)
{
	barrier_var(n);
	if (n >= LEVELS)
		return 0;
	barrier_var(n);
	return &c->levels[n];
}

static __always_inline struct slice *newest(struct level *l)
{
	return &l->slices[l->head % SLICES];
}

static __always_inline struct victim *victim_of(__u32 pid)
{
	static const struct victim none;
	struct victim *v = bpf_map_lookup_elem(&victims, &pid);

	if (v)
		return v;
	bpf_map_update_elem(&victims, &pid, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&victims, &pid);
}

static __always_inline struct charge *charge_of(__u32 victim, __u32 aggressor)
{
	static const struct charge none;
	struct pair key = {.victim = victim, .aggressor = aggressor};
	struct charge *c = bpf_map_lookup_elem(&pairs, &key);

	if (c)
		return c;
	bpf_map_update_elem(&pairs, &key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&pairs, &key);
}

/* Charges ns of the victim's wait to who ran then. */
static __always_inline void charge(struct victim *v, __u32 pid, __u32 by, __u64 ns)
{
	struct charge *c;

	if (!by) {
		__sync_fetch_and_add(&v->idle, ns);
		return;
	}
	if (by == pid) {
		__sync_fetch_and_add(&v->self, ns);
		return;
	}
	__sync_fetch_and_add(&v->others, ns);
	c = charge_of(pid, by);
	if (!c) {
		__sync_fetch_and_add(&losses.pairs, 1);
		__sync_fetch_and_add(&losses.pairs_ns, ns);
		return;
	}
	__sync_fetch_and_add(&c->wait, ns);
	__sync_fetch_and_add(&c->waits, 1);
}

/*
 * Charges what one slice, counted back from the open one over all levels, and
 * the wait since queued have in common. Returns when the slice began, 0 if that
 * is not known. Global, and given what it needs by number, so that the verifier
 * looks at it once and not once for each step back.
 */
__noinline __u64 charge_slice(__u32 cpu, __u32 back, __u32 pid, __u64 queued)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	struct victim *v = bpf_map_lookup_elem(&victims, &pid);
	__u32 n = (back - 1) / SLICES, i = (back - 1) % SLICES;
	__u64 begin, span, part;
	struct level *l, *coarser;
	const struct slice *s;

	if (!c || !v)
		return 0;
	if (!back) {
		s = &c->open;
		begin = c->opened;
	} else {
		l = level(c, n);
		if (!l)
			return 0;
		s = &l->slices[(l->head - i) % SLICES];
		if (i < SLICES - 1)
			begin = l->slices[(l->head - i - 1) % SLICES].end;
		else {
			coarser = level(c, n + 1);
			begin = coarser ? newest(coarser)->end : 0;
		}
	}
	if (!begin || s->end <= queued)
		return 0;
	span = s->end - begin;
	part = begin > queued ? span : s->end - queued;
	if (s->used == 1) {
		charge(v, pid, s->pid[0], part);
		return begin;
	}
	for (i = 0; i < SLOTS; i++)
		if (i < s->used)
			charge(v, pid, s->pid[i], s->ns[i] * part / span);
	return begin;
}

/* Since when the wait is to be charged: the census may have told the reader of
 * its first part. */
static __always_inline __u64 uncharged_since(__u32 tid, __u64 queued)
{
	struct mark *m = bpf_map_lookup_elem(&marks, &tid);
	__u64 since = queued;

	if (!m)
		return queued;
	if (m->queued == queued)
		since = m->until;
	bpf_map_delete_elem(&marks, &tid);
	return since;
}

/* Looks back over who has run on the CPU since the task was queued. Global: see
 * charge_slice. */
__noinline int look_back(__u32 cpu, __u32 pid, __u32 tid, __u64 queued, __u64 now)
{
	struct victim *v = victim_of(pid);
	__u64 since = uncharged_since(tid, queued), begin;
	__u32 i;

	if (now <= since)
		return 0;
	if (!v) {
		__sync_fetch_and_add(&losses.victims, 1);
		__sync_fetch_and_add(&losses.victims_ns, now - since);
		return 0;
	}
	__sync_fetch_and_add(&v->total, now - since);
	__sync_fetch_and_add(&v->waits, 1);
	for (i = 0; i <= LEVELS * SLICES && now > since; i++) {
		begin = charge_slice(cpu, i, pid, since);
		if (!begin)
			break;
		now = begin;
	}
	if (now <= since)
		return 0;
	__sync_fetch_and_add(&v->cut, now - since);
	__sync_fetch_and_add(&losses.cut, 1);
	return 0;
}

/* Adds a process to a slice; false if there is no slot left. */
static __always_inline bool join(struct slice *s, __u32 pid, __u32 ns)
{
	__u32 i;

	for (i = 0; i < SLOTS; i++) {
		if (s->pid[i] == pid) {
			s->ns[i] += ns;
			return true;
		}
	}
	i = s->used;
	if (i >= SLOTS)
		return false;
	s->pid[i] = pid;
	s->ns[i] = ns;
	s->used = i + 1;
	return true;
}

/* 1 if the two are the same, without a branch. */
static __always_inline __u64 same(__u32 a, __u32 b)
{
	return 1 - (((__u64)(a ^ b) + 0xffffffff) >> 32);
}

/* How many of those in a slice are not in the other. Free slots hold NOBODY, so
 * that it can do without branches, which the verifier would multiply. */
static __always_inline __u64 missing(const struct slice *in,
				     const struct slice *s)
{
	__u64 found, n = 0;
	__u32 i, j;

	for (i = 0; i < SLOTS; i++) {
		found = same(s->pid[i], NOBODY);
		for (j = 0; j < SLOTS; j++)
			found |= same(s->pid[i], in->pid[j]);
		n += 1 - found;
	}
	return n;
}

/* Adds a process to the newest slice of a level, which has room for it. Global:
 * see charge_slice. */
__noinline int join_level(__u32 cpu, __u32 n, __u32 pid, __u32 ns)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	struct level *l = c ? level(c, n) : 0;

	if (l)
		join(newest(l), pid, ns);
	return 0;
}

/*
 * Moves the oldest slice of level n - 1 to level n: into its newest slice, if
 * they are of one process or short enough, else as a slice of its own. Returns
 * whether level n has to make room first. Global: see charge_slice.
 */
__noinline int fold(__u32 cpu, __u32 n, __u32 roomy)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	const struct slice *old;
	struct level *from, *to;
	struct slice *s;
	__u64 begin;
	__u32 i;

	if (!c)
		return 0;
	from = level(c, n - 1);
	to = level(c, n);
	if (!from || !to)
		return 0;
	old = &from->slices[(from->head + 1) % SLICES];
	if (!old->end)
		return 0;
	s = newest(to);
	if (s->used == 1 && old->used == 1 && s->pid[0] == old->pid[0]) {
		s->ns[0] += old->ns[0];
		s->end = old->end;
		return 0;
	}
	begin = to->slices[(to->head - 1) % SLICES].end;
	if (begin && old->end - begin <= RESOLUTION_NS << (4 * n) &&
	    s->used + missing(s, old) <= SLOTS) {
		for (i = 0; i < SLOTS; i++)
			if (i < old->used)
				join_level(cpu, n, old->pid[i], old->ns[i]);
		s->end = old->end;
		return 0;
	}
	if (!roomy)
		return 1;
	to->head++;
	*newest(to) = *old;
	return 0;
}

/* Closes the open slice and opens one for a process that ran since. Global: see
 * charge_slice. */
__noinline int reopen(__u32 cpu, __u32 pid, __u64 now)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	struct slice *s;

	if (!c)
		return 0;
	s = &c->open;
	if (s->used) { /* or nothing has run yet */
		if (fold(cpu, 1, false)) {
			fold(cpu, 2, true);
			fold(cpu, 1, true);
		}
		c->levels[0].head++;
		*newest(&c->levels[0]) = *s;
	}
	c->opened = s->end;
	__builtin_memset(s->pid, 0xff, sizeof(s->pid));
	s->pid[0] = pid;
	s->ns[0] = now - s->end;
	s->used = 1;
	s->end = now;
	return 0;
}

/* Writes down that pid ran from the end of the open slice until now. */
static __always_inline void add(struct cpu *c, __u32 cpu, __u32 pid, __u64 now)
{
	struct slice *s = &c->open;
	__u32 ran = now - s->end;

	if (now - c->opened <= RESOLUTION_NS ? join(s, pid, ran) :
					       s->used == 1 && s->pid[0] == pid)
		s->end = now;
	else
		reopen(cpu, pid, now);
}

/* Writes down that the task has run since it came in. What was before that and
 * is not written down nobody waited for. */
static __always_inline void remember(struct cpu *c, __u32 cpu,
				     const struct task_struct *t, __u64 now)
{
	__u64 came = t->pid ? t->sched_info.last_arrival : 0;

	if (came > c->open.end && came < now)
		add(c, cpu, 0, came);
	add(c, cpu, t->tgid, now);
}

/* Puts the involuntary switches of a pair into the maps. Global: see
 * charge_slice. */
__noinline int took(__u32 victim, __u32 aggressor, __u64 times)
{
	struct victim *v = victim_of(victim);
	struct charge *c;

	if (!v) {
		__sync_fetch_and_add(&losses.victims, times);
		return 0;
	}
	__sync_fetch_and_add(&v->involuntary, times);
	/* To the idle task it is lost if its cgroup is throttled. */
	if (victim == aggressor || !aggressor)
		return 0;
	c = charge_of(victim, aggressor);
	if (!c) {
		__sync_fetch_and_add(&losses.pairs, times);
		return 0;
	}
	__sync_fetch_and_add(&c->involuntary, times);
	return 0;
}

static __always_inline bool is_of(const struct departure *d,
				  const struct task_struct *t)
{
	return d->tid == (__u32)t->pid && d->runs == t->sched_info.pcount;
}

static __always_inline void depart(struct departure *d,
				   const struct task_struct *t)
{
	d->run_delay = t->sched_info.run_delay;
	d->tid = t->pid;
	d->runs = t->sched_info.pcount;
}

/* A task that lost the CPU without giving it up. */
static __always_inline void lose(struct lost *l, const struct task_struct *t,
				 __u32 aggressor)
{
	struct pair *p = &l->pair;
	__u32 victim = t->tgid;

	if (p->victim != victim || p->aggressor != aggressor) {
		if (l->times)
			took(p->victim, p->aggressor, l->times);
		p->victim = victim;
		p->aggressor = aggressor;
		l->times = 0;
	}
	l->times++;
	depart(&l->left, t);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(contention, bool preempt, struct task_struct *prev,
	     struct task_struct *next)
{
	const struct rq *rq = next->se.cfs_rq->rq;
	__u64 queued = next->sched_info.last_queued, now = rq->clock;
	bool lost, watched;
	struct cpu *c;
	__u32 cpu;

	/* The preempt argument and the state do not tell in every case whether the
	 * task has lost the CPU without giving it up. */
	lost = prev->pid && task_on_rq(prev) && !task_sleeps(prev);
	/* This program's own memory is not touched unless it must be: nobody has
	 * used it since, and a line of it costs 30 to 40 ns in a guest. The wait of
	 * a task that loses the CPU only begins. */
	watched = rq_runnable(rq) > 1 + lost ||
		  (queued && now - queued >= SHORTEST_NS);
	if (!watched && !lost)
		return 0;
	cpu = bpf_get_smp_processor_id();
	c = bpf_map_lookup_elem(&cpus, &cpu);
	if (!c)
		return 0;
	if (lost)
		lose(&c->lost[(__u32)prev->pid % LOST], prev, next->tgid);
	if (!watched)
		return 0;
	remember(c, cpu, prev, now);
	if (queued && next->pid && now > queued && now - queued >= c->min_wait)
		look_back(cpu, next->tgid, next->pid, queued, now);
	return 0;
}

/* How long a task had waited that leaves the run queue of a CPU for another's, 0
 * if that is not known. */
static __always_inline __u64 waited(const struct task_struct *t,
				    const struct departure *moved,
				    const struct departure *left)
{
	__u64 run_delay = t->sched_info.run_delay, before = 0;

	if (is_of(moved, t))
		before = moved->run_delay;
	else if (is_of(left, t))
		before = left->run_delay;
	else if (t->sched_info.pcount)
		return 0; /* or it has never run, and waited since its fork */
	return run_delay > before ? run_delay - before : 0;
}

/* The lock of the run queue that a queued task leaves is held, and its clock has
 * just been brought up to date. */
SEC("tp_btf/sched_migrate_task")
int BPF_PROG(migration, struct task_struct *t)
{
	const struct rq *rq = t->se.cfs_rq->rq;
	__u32 cpu = rq->cpu, tid = t->pid;
	struct departure *moved = &moves[tid % MOVES];
	const struct task_struct *running;
	__u64 wait = 0, now;
	struct cpu *c;

	c = bpf_map_lookup_elem(&cpus, &cpu);
	if (!c)
		return 0;
	if (task_on_rq(t) == TASK_ON_RQ_MIGRATING) /* else it wakes up elsewhere */
		wait = waited(t, moved, &c->lost[tid % LOST].left);
	depart(moved, t);
	now = rq->clock;
	if (wait < c->min_wait || wait >= now)
		return 0;
	running = rq->curr;
	if (running)
		remember(c, cpu, running, now);
	look_back(cpu, t->tgid, tid, now - wait, now);
	return 0;
}
