//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Contention: who ran while a task waited for its CPU.
 * Runs at every context switch and migration, with the run-queue lock held and
 * interrupts off: no ring buffer, no allocation. A switch while nobody waits is
 * done after a few loads of what the scheduler has just used; else it is written
 * into this CPU's history, which a task that has waited looks back over: bounded
 * by 97 slices and 32 processes. All times are in the clock of the run queue; it
 * differs between CPUs and from bpf_ktime_get_ns().
 */
#include "kernel.h"
#include "departure.h"

char LICENSE[] SEC("license") = "GPL";

#define LEVELS 6
#define SLICES 16 /* a power of two */
#define SLOTS 8
#define SETS 8 /* a power of two */
#define WAYS 4
#define LOST 128 /* a power of two */
#define GROUPS 64 /* a power of two */
#define MOVES 4096 /* a power of two */
#define NOBODY 0xffffffff /* the pid of a free slot */

/*
 * What ran on a CPU from begin to end. One process for however long; or those that
 * took turns within the resolution of the level, so that tasks that switch every
 * few microseconds do not flush the history. The SLOTS that ran longest are told
 * by name, the others as one. Between two slices nobody was queued.
 */
struct slice {
	__u64 begin;
	__u64 end; /* 0: never written */
	__u32 pid[SLOTS]; /* the kernel's tgid; 0: nobody was queued */
	__u32 used; /* slots */
	__u32 unused;
	__u64 various; /* ns of all that have no slot */
	__u64 ns[SLOTS]; /* how long each ran */
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

/* The last time that a cgroup was throttled on this CPU, as far as its tasks that
 * came and left since have shown. */
struct group {
	__u64 queue; /* task_queue() */
	__u64 throttled; /* task_throttled() as last seen */
	__u64 left; /* when a task of it last left the CPU */
	__u64 from;
	__u64 to;
};

struct share {
	__u32 pid;
	__u32 unused;
	__u64 ns;
};

/* One look back: which part of a wait it is about, and who ran meanwhile. */
struct look {
	__u64 since;
	__u64 held_from; /* the task could not run, by its own reservation */
	__u64 held_to;
	__u64 came; /* who runs until now, and since when */
	__u64 running;
	__u64 old; /* not 0: the waiting process is */
	__u64 various; /* ns of all that found no room below */
	struct share by[SETS][WAYS]; /* by the low bits of the pid */
};

/*
 * One CPU, and what ran on it while others waited, the newest in detail. A slice
 * that a level has no more room for is folded into the next, of 4 times coarser
 * resolution: 96 slices reach 5 s back even where thousands of tasks a second
 * take turns. Written under the lock of its run queue.
 */
struct cpu {
	struct slice open; /* goes on: not in levels yet */
	struct departure lost[LOST]; /* by thread id */
	struct group groups[GROUPS];
	struct look look;
	struct level levels[LEVELS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set to the number of CPUs at load */
	__type(key, __u32);
	__type(value, struct cpu);
} cpus SEC(".maps");

/* Of tasks that have moved, or woken on another CPU than they slept on. Two that
 * share an entry may write it at once: what is read there is checked. */
struct departure moves[MOVES];

/* What one process did to another: ns the victim waited while the aggressor ran. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct pair);
	__type(value, __u64);
} pairs SEC(".maps");

/*
 * All waits of one process that are over, ns. What is in none of the parts but
 * in total is unattributed.
 */
struct victim {
	__u64 total;
	__u64 others; /* behind other processes */
	__u64 self; /* behind its own threads */
	__u64 idle; /* while nothing ran, or nobody was queued */
	__u64 throttled; /* held back by its own quota or reservation */
	__u64 various; /* of others: behind processes that have no pair */
	__u64 cut; /* from before the history begins */
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

/*
 * How many entries the maps have room for, as the reader counted last, less those
 * made since. Into a full map none is tried: the kernel would look for a free one
 * on all CPUs. The last half is for processes older than OLD_NS, and of the pairs
 * for who makes up much of a wait: a storm of processes, or a crowd that takes
 * turns, cannot take the place of the worst.
 */
struct room {
	__s64 pairs;
	__s64 victims;
};

struct room rooms = {};
const volatile struct room reserve = {}; /* the last half */

/* Waits of at least this are all looked into, ns; of shorter ones as many as
 * stand for the others. */
const volatile __u64 min_wait;
/* No shorter wait in progress is marked, ns. */
const volatile __u64 mark_wait;

/* What could not be kept, by reason. */
struct loss {
	__u64 pairs; /* waits behind a process that found no room as a pair */
	__u64 pairs_ns; /* and how much they were: in various of the victim */
	__u64 victims; /* waits of a victim that found none */
	__u64 victims_ns;
	__u64 cut; /* looks back that the history was too short for */
};

struct loss losses;

const struct slice *slice_type __attribute__((unused));
const struct loss *loss_type __attribute__((unused));
const struct room *room_type __attribute__((unused));

#ifdef TIMED
/* How long looks back took, ns: of the build that measures it. */
struct timing {
	__u64 looks;
	__u64 sum;
	__u64 worst;
};

struct timing timings;
const struct timing *timing_type __attribute__((unused));

#define TIME(look)                                        \
	({                                                \
		__u64 took = bpf_ktime_get_ns();          \
                                                          \
		look;                                     \
		took = bpf_ktime_get_ns() - took;         \
		__sync_fetch_and_add(&timings.looks, 1);  \
		__sync_fetch_and_add(&timings.sum, took); \
		if (took > timings.worst)                 \
			timings.worst = took;             \
	})
#else
#define TIME(look) (look)
#endif

/* Of the first level; each further one is 4 times coarser. */
#define RESOLUTION_NS 250000ULL
#define OLD_NS 1000000000ULL
/* Of the waiting behind one process that makes up an eighth of each wait, about this
 * much is not told apart while only the reserve has room. */
#define HEAVY_NS 10000000ULL

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

/* Whether a slice is of one process. */
static __always_inline bool alone(const struct slice *s)
{
	return s->used == 1 && !s->various;
}

static __always_inline struct victim *victim_of(__u32 pid, bool old)
{
	static const struct victim none;
	struct victim *v = bpf_map_lookup_elem(&victims, &pid);

	if (v)
		return v;
	if (rooms.victims <= (old ? 0 : reserve.victims))
		return 0;
	if (!bpf_map_update_elem(&victims, &pid, &none, BPF_NOEXIST))
		__sync_fetch_and_add(&rooms.victims, -1);
	return bpf_map_lookup_elem(&victims, &pid);
}

/* Whether a pair may have of the reserve, by what it is charged now: one that
 * goes on waiting does before long, whatever the length of its waits. */
static __always_inline bool admitted(__u64 ns)
{
	return ns >= HEAVY_NS || bpf_get_prandom_u32() * HEAVY_NS >> 32 < ns;
}

static __always_inline __u64 *pair_of(__u32 victim, __u32 aggressor, bool much,
				      __u64 ns)
{
	static const __u64 none;
	struct pair key = {.victim = victim, .aggressor = aggressor};
	__u64 *p = bpf_map_lookup_elem(&pairs, &key);

	if (p)
		return p;
	if (rooms.pairs <= 0 ||
	    (rooms.pairs <= reserve.pairs && !(much && admitted(ns))))
		return 0;
	if (!bpf_map_update_elem(&pairs, &key, &none, BPF_NOEXIST))
		__sync_fetch_and_add(&rooms.pairs, -1);
	return bpf_map_lookup_elem(&pairs, &key);
}

/* Adds to who ran in a look back. The set that a pid belongs to keeps the
 * longest. */
static __always_inline void tally(struct look *l, __u32 pid, __u64 ns)
{
	struct share *set = l->by[pid % SETS], *least = set;
	__u64 less;
	int i;

	for (i = 0; i < WAYS; i++) {
		if (!set[i].ns || set[i].pid == pid) {
			set[i].pid = pid;
			set[i].ns += ns;
			return;
		}
		if (set[i].ns < least->ns)
			least = &set[i];
	}
	less = ns;
	if (least->ns < ns) {
		less = least->ns;
		least->pid = pid;
		least->ns = ns;
	}
	l->various += less;
}

static __always_inline __u64 overlap(__u64 from, __u64 to, __u64 begin, __u64 end)
{
	if (from < begin)
		from = begin;
	if (to > end)
		to = end;
	return to > from ? to - from : 0;
}

/* What of the wait is in a span of time, but for what the task was held back. */
static __always_inline __u64 part_of(const struct look *l, __u64 begin, __u64 end)
{
	if (begin < l->since)
		begin = l->since;
	if (end <= begin)
		return 0;
	return end - begin - overlap(begin, end, l->held_from, l->held_to);
}

/*
 * Adds what the time before now and the wait have in common, back to when one
 * slice began, counted back from the open one over all levels. Returns that, 0 if
 * there is no such slice. Global, and given what it needs by number, so that the
 * verifier looks at it once and not once for each step back.
 */
__noinline __u64 look_at(__u32 cpu, __u32 back, __u64 now)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	__u64 span, part, ns, n = (back - 1) / SLICES;
	const struct slice *s;
	struct level *l;
	__u32 i;

	if (!c)
		return 0;
	s = &c->open;
	if (back) {
		l = level(c, n);
		if (!l)
			return 0;
		s = &l->slices[(l->head - (back - 1)) % SLICES];
	}
	if (!s->end)
		return 0;
	part = part_of(&c->look, s->end, now);
	if (part)
		tally(&c->look, 0, part);
	part = part_of(&c->look, s->begin, s->end < now ? s->end : now);
	span = s->end - s->begin;
	if (alone(s)) {
		if (part)
			tally(&c->look, s->pid[0], part);
		return s->begin;
	}
	for (i = 0; part && i < SLOTS; i++) {
		if (i >= s->used)
			break;
		ns = s->ns[i];
		tally(&c->look, s->pid[i], part == span ? ns : ns * part / span);
	}
	ns = s->various;
	c->look.various += part == span ? ns : ns * part / span;
	return s->begin;
}

/* Since when the wait is to be charged: the census may have told the reader of
 * its first part. */
static __always_inline __u64 uncharged_since(__u32 tid, __u64 queued, __u64 now)
{
	__u64 since = queued;
	struct mark *m;

	if (now - queued < mark_wait)
		return queued;
	m = bpf_map_lookup_elem(&marks, &tid);
	if (!m)
		return queued;
	if (m->queued == queued)
		since = m->until;
	bpf_map_delete_elem(&marks, &tid);
	return since;
}

/* A short wait stands for those that are not looked into: it counts as if it had
 * lasted min_wait. */
static __always_inline __u64 weigh(__u64 ns, __u64 wait)
{
	return wait < min_wait ? ns * min_wait / wait : ns;
}

/* Charges ns of the victim's wait to who ran then. */
static __always_inline void charge(struct victim *v, __u32 pid, __u32 by,
				   __u64 ns, __u64 wait, bool old)
{
	bool much = old && ns >= wait / 8;
	__u64 *pair;

	ns = weigh(ns, wait);
	if (!by) {
		__sync_fetch_and_add(&v->idle, ns);
		return;
	}
	if (by == pid) {
		__sync_fetch_and_add(&v->self, ns);
		return;
	}
	__sync_fetch_and_add(&v->others, ns);
	pair = pair_of(pid, by, much, ns);
	if (pair) {
		__sync_fetch_and_add(pair, ns);
		return;
	}
	__sync_fetch_and_add(&v->various, ns);
	__sync_fetch_and_add(&losses.pairs, 1);
	__sync_fetch_and_add(&losses.pairs_ns, ns);
}

/* Charges the victim's wait to all whom the look back has found. Global: see
 * look_at. */
__noinline int settle(__u32 cpu, __u32 pid, __u64 wait)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	struct victim *v = bpf_map_lookup_elem(&victims, &pid);
	const struct share *s;
	__u64 various;
	__u32 i;

	if (!c || !v || !wait)
		return 0;
	for (i = 0; i < SETS * WAYS; i++) {
		s = &c->look.by[i / WAYS][i % WAYS];
		if (s->ns)
			charge(v, pid, s->pid, s->ns, wait, c->look.old);
	}
	various = weigh(c->look.various, wait);
	if (various) {
		__sync_fetch_and_add(&v->others, various);
		__sync_fetch_and_add(&v->various, various);
	}
	return 0;
}

/*
 * Charges a wait to who has run on the CPU since the task was queued, but for the
 * part that the look says it was held back. Most waits are behind one process,
 * which ran all along: for these no history is needed. Global: see look_at.
 */
__noinline int look_back(__u32 cpu, __u32 pid, __u32 tid, __u64 queued, __u64 now)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	__u64 wait = now - queued, since = uncharged_since(tid, queued, now),
	      held, last;
	struct victim *v;
	struct look *l;
	__u32 i;

	if (!c || !wait || now <= since)
		return 0;
	l = &c->look;
	v = victim_of(pid, l->old);
	if (!v) {
		__sync_fetch_and_add(&losses.victims, 1);
		__sync_fetch_and_add(&losses.victims_ns,
				     weigh(now - since, wait));
		return 0;
	}
	l->since = since;
	__sync_fetch_and_add(&v->total, weigh(now - since, wait));
	held = overlap(since, now, l->held_from, l->held_to);
	if (held)
		__sync_fetch_and_add(&v->throttled, weigh(held, wait));
	last = part_of(l, l->came, now);
	if (l->came <= since) {
		if (last)
			charge(v, pid, l->running, last, wait, l->old);
		return 0;
	}
	l->various = 0;
	__builtin_memset(l->by, 0, sizeof(l->by));
	if (last)
		tally(l, l->running, last);
	now = l->came;
	for (i = 0; i <= LEVELS * SLICES && now > since; i++) {
		last = look_at(cpu, i, now);
		if (!last)
			break;
		now = last;
	}
	settle(cpu, pid, wait);
	if (now <= since)
		return 0;
	__sync_fetch_and_add(&v->cut, weigh(now - since, wait));
	__sync_fetch_and_add(&losses.cut, 1);
	return 0;
}

/* Adds a process to a slice. Without a free slot the one that ran least joins the
 * others that have none. */
static __always_inline void join(struct slice *s, __u32 pid, __u64 ns)
{
	__u32 i, least = 0;
	__u64 less = ns;

	for (i = 0; i < SLOTS; i++) {
		if (s->pid[i] == pid) {
			s->ns[i] += ns;
			return;
		}
	}
	i = s->used;
	if (i < SLOTS) {
		s->pid[i] = pid;
		s->ns[i] = ns;
		s->used = i + 1;
		return;
	}
	for (i = 1; i < SLOTS; i++)
		if (s->ns[i] < s->ns[least % SLOTS])
			least = i;
	least %= SLOTS;
	if (s->ns[least] < ns) {
		less = s->ns[least];
		s->pid[least] = pid;
		s->ns[least] = ns;
	}
	s->various += less;
}

/* Adds a process to the newest slice of a level. Global: see look_at. */
__noinline int join_level(__u32 cpu, __u32 n, __u32 pid, __u64 ns)
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
 * whether level n has to make room first. Global: see look_at.
 */
__noinline int fold(__u32 cpu, __u32 n, __u32 roomy)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	const struct slice *old;
	struct level *from, *to;
	struct slice *s;
	__u64 gap;
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
	gap = old->begin - s->end;
	if (alone(s) && alone(old) && s->pid[0] == old->pid[0] && !gap) {
		s->ns[0] += old->ns[0];
		s->end = old->end;
		return 0;
	}
	if (s->end && old->end - s->begin <= RESOLUTION_NS << (2 * n)) {
		if (gap)
			join_level(cpu, n, 0, gap);
		for (i = 0; i < SLOTS; i++)
			if (i < old->used)
				join_level(cpu, n, old->pid[i], old->ns[i]);
		s->various += old->various;
		s->end = old->end;
		return 0;
	}
	if (!roomy)
		return 1;
	to->head++;
	*newest(to) = *old;
	return 0;
}

/* Closes the open slice and opens one for a process that ran. Global: see
 * look_at. */
__noinline int reopen(__u32 cpu, __u32 pid, __u64 from, __u64 now)
{
	struct cpu *c = bpf_map_lookup_elem(&cpus, &cpu);
	struct slice *s;
	__u32 n;

	if (!c)
		return 0;
	s = &c->open;
	if (s->end) { /* or nothing has run yet */
		/* A level makes room in the next before it moves there itself; the
		 * last drops its oldest. */
		for (n = 1; n < LEVELS; n++)
			if (!fold(cpu, n, n == LEVELS - 1))
				break;
		while (--n > 0 && n < LEVELS)
			fold(cpu, n, true);
		c->levels[0].head++;
		*newest(&c->levels[0]) = *s;
	}
	__builtin_memset(s->pid, 0xff, sizeof(s->pid));
	s->pid[0] = pid;
	s->ns[0] = now - from;
	s->used = 1;
	s->various = 0;
	s->begin = from;
	s->end = now;
	return 0;
}

/* Since when the task has run on the CPU; of the idle task that is not known, and
 * what it runs is not written down. */
static __always_inline __u64 came_at(const struct task_struct *t, __u64 now)
{
	__u64 came = t->sched_info.last_arrival;

	return t->pid && came < now ? came : now;
}

/* Writes down that a process has run from when it came until now. */
static __always_inline void remember(struct cpu *c, __u32 cpu, __u32 pid,
				     __u64 came, __u64 now)
{
	struct slice *s = &c->open;

	if (came < s->end)
		came = s->end; /* the beginning is there */
	if (came >= now)
		return;
	if (came > s->end ||
	    (now - s->begin > RESOLUTION_NS && !(alone(s) && s->pid[0] == pid))) {
		reopen(cpu, pid, came, now);
		return;
	}
	join(s, pid, now - came);
	s->end = now;
}

static __always_inline void depart(struct departure *d,
				   const struct task_struct *t)
{
	d->run_delay = t->sched_info.run_delay;
	d->throttled = task_throttled(t);
	d->tid = t->pid;
	d->runs = t->sched_info.pcount;
}

/* Queues are some hundred bytes each, at multiples of a cache line. */
static __always_inline struct group *group_of(struct cpu *c, __u64 queue)
{
	return &c->groups[(queue >> 6 ^ queue >> 12) % GROUPS];
}

/*
 * Looks whether a cgroup has been throttled since it was last seen. That begins when
 * a task of it leaves the CPU, or, should none have been queued by then, when the
 * first is. Of a cgroup that was not seen before nothing is known.
 */
static __always_inline struct group *
see(struct cpu *c, const struct task_struct *t, __u64 throttled, __u64 queued)
{
	__u64 queue = task_queue(t), from, grown;
	struct group *g = group_of(c, queue);

	if (g->queue != queue) {
		g->queue = queue;
		g->from = 0;
		g->to = 0;
	} else if (throttled > g->throttled) {
		grown = throttled - g->throttled;
		from = g->left;
		if (from + grown <= queued)
			from = queued;
		g->from = from;
		g->to = from + grown;
	}
	g->throttled = throttled;
	return g;
}

static __always_inline void leave(struct cpu *c, const struct task_struct *t,
				  __u64 throttled, __u64 now)
{
	see(c, t, throttled, 0)->left = now;
}

/*
 * Prepares a look back: whether the process is old, and which part of the wait its
 * own reservation held the task back, which is nobody's fault, whoever ran
 * meanwhile. A deadline task that has used up its runtime, until its period began;
 * a task whose cgroup has used up its quota, for as long as the cgroup was throttled:
 * since the task left this CPU if it has waited since, else the last time.
 */
static __always_inline void prepare(struct cpu *c, const struct task_struct *t,
				    __u64 queued, __u64 now)
{
	const struct departure *d = &c->lost[(__u32)t->pid % LOST];
	__u64 from = queued, to = 0, throttled;
	struct look *look = &c->look;
	const struct group *g;

	if (t->policy == SCHED_DEADLINE) {
		to = task_replenished(t, now);
	} else {
		throttled = task_throttled(t);
		if (throttled) {
			g = see(c, t, throttled, queued);
			from = g->from;
			to = g->to;
			if (departed(d, t->pid, t->sched_info.pcount)) {
				from = queued;
				to = queued + throttled - d->throttled;
			}
		}
	}
	look->held_from = from;
	look->held_to = to > now ? now : to;
	look->old = bpf_ktime_get_boot_ns() - t->group_leader->start_boottime >=
		    OLD_NS;
}

/* Whether a wait is looked into: each that is long, of shorter ones each with a
 * chance that goes by its length, so that a second of waiting weighs the same
 * however it is cut into pieces. The chance is the time's, mixed (Knuth's
 * multiplicative hash): no memory is touched for it. */
static __always_inline bool looked_into(__u64 wait, __u64 now)
{
	__u64 chance = (now * 0x9e3779b97f4a7c15ULL) >> 32;

	return wait >= min_wait || (chance * min_wait) >> 32 < wait;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(contention, bool preempt, struct task_struct *prev,
	     struct task_struct *next)
{
	const struct rq *rq = next->se.cfs_rq->rq;
	__u64 queued = next->sched_info.last_queued, now = rq->clock;
	__u64 throttled, came;
	bool lost, looked, watched;
	struct departure *d;
	struct cpu *c;
	__u32 cpu;

	/* The preempt argument and the state do not tell in every case whether the
	 * task has lost the CPU without giving it up. */
	lost = prev->pid && task_on_rq(prev) && !task_sleeps(prev);
	looked = queued && now > queued && next->pid &&
		 looked_into(now - queued, now);
	/* This program's own memory is not touched unless it must be: nobody has
	 * used it since, and a line of it costs 30 to 40 ns in a guest. The wait of
	 * a task that loses the CPU only begins. */
	watched = looked || rq_runnable(rq) > 1 + lost;
	if (!watched && !lost)
		return 0;
	cpu = bpf_get_smp_processor_id();
	c = bpf_map_lookup_elem(&cpus, &cpu);
	if (!c)
		return 0;
	if (lost) {
		d = &c->lost[(__u32)prev->pid % LOST];
		depart(d, prev);
		if (d->throttled)
			leave(c, prev, d->throttled, now);
	}
	if (!watched)
		return 0;
	if (!lost) {
		throttled = task_throttled(prev);
		if (throttled)
			leave(c, prev, throttled, now);
	}
	came = came_at(prev, now);
	if (looked) {
		prepare(c, next, queued, now);
		c->look.came = came < c->open.end ? c->open.end : came;
		c->look.running = prev->tgid;
		TIME(look_back(cpu, next->tgid, next->pid, queued, now));
	}
	remember(c, cpu, prev->tgid, came, now);
	return 0;
}

/* How long a task had waited that leaves the run queue of a CPU for another's, 0
 * if that is not known. Not longer than since it last ran. */
static __always_inline __u64 waited(const struct task_struct *t,
				    const struct departure *moved,
				    const struct departure *left, __u64 now)
{
	__u64 run_delay = t->sched_info.run_delay, before = 0, most = now, wait;

	if (departed(moved, t->pid, t->sched_info.pcount))
		before = moved->run_delay;
	else if (departed(left, t->pid, t->sched_info.pcount))
		before = left->run_delay;
	else if (t->sched_info.pcount)
		return 0; /* or it has never run, and waited since its fork */
	if (t->sched_info.pcount && now > t->sched_info.last_arrival)
		most = now - t->sched_info.last_arrival;
	wait = run_delay > before ? run_delay - before : 0;
	return wait > most ? 0 : wait;
}

/*
 * A queued task that moves to another CPU has its wait booked and waits anew
 * there, in that CPU's clock: how long the wait was is known by the growth of
 * run_delay only. The lock of the run queue that it leaves is held, and its clock
 * has just been brought up to date.
 */
SEC("tp_btf/sched_migrate_task")
int BPF_PROG(migration, struct task_struct *t)
{
	const struct rq *rq = t->se.cfs_rq->rq;
	__u32 cpu = rq->cpu, tid = t->pid;
	struct departure *moved = &moves[tid % MOVES];
	const struct task_struct *running;
	__u64 wait = 0, now = rq->clock;
	struct cpu *c;

	c = bpf_map_lookup_elem(&cpus, &cpu);
	if (!c)
		return 0;
	if (task_on_rq(t) == TASK_ON_RQ_MIGRATING) /* else it wakes up elsewhere */
		wait = waited(t, moved, &c->lost[tid % LOST], now);
	if (wait && wait < now && looked_into(wait, now)) {
		running = rq->curr;
		c->look.came = running ? came_at(running, now) : now;
		c->look.running = running ? running->tgid : 0;
		prepare(c, t, now - wait, now);
		look_back(cpu, t->tgid, tid, now - wait, now);
	}
	depart(moved, t);
	return 0;
}
