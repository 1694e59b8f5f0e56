//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Contention: who ran while a task waited for its CPU.
 * Runs at every context switch, with the run-queue lock held and interrupts
 * off: no ring buffer, no allocation, one store into this CPU's history of run
 * slices. Only a task that waited at least min_wait pays for the look back.
 * All times are in the clock of the run queue; it differs between CPUs and
 * from bpf_ktime_get_ns().
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

#define SLICES 256 /* a power of two */
#define SLOTS 4
#define SHORT_NS 250000

/*
 * What ran on a CPU up to end, from the end of the slice before. One process
 * for however long; or up to SLOTS that took turns within SHORT_NS, so that
 * tasks that switch every few microseconds do not flush the history.
 */
struct slice {
	__u64 end; /* 0: never written */
	__u32 pid[SLOTS]; /* the kernel's tgid, 0 the idle task */
	__u32 ns[SLOTS]; /* how long each ran; of no use if it is alone */
	__u32 used; /* slots */
	__u32 unused;
};

/* The last run slices of one CPU. Only that CPU writes it. */
struct history {
	__u64 head; /* slices ever begun; the last is at head % SLICES */
	__u64 involuntary; /* nivcsw of the running task when it was put on */
	__u32 pid; /* the process of that task */
	__s32 tid; /* and the task */
	struct slice slices[SLICES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* set to the number of CPUs at load */
	__type(key, __u32);
	__type(value, struct history);
} histories SEC(".maps");

struct pair {
	__u32 victim; /* pids */
	__u32 aggressor;
};

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
	__u64 idle; /* while nothing ran: throttled, or on its way */
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

/* What could not be kept, by reason. */
struct loss {
	__u64 pairs; /* charges to a pair that found no room */
	__u64 pairs_ns; /* and how much they were */
	__u64 victims; /* waits of a victim that found no room */
	__u64 victims_ns;
	__u64 cut; /* looks back that the history was too short for */
};

struct loss losses;
const volatile __u64 min_wait = 1000000;

const struct slice *slice_type __attribute__((unused));
const struct loss *loss_type __attribute__((unused));

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
 * Charges what the slice at pos and the wait since queued have in common.
 * Returns when the slice began, 0 if that is not known. Global, and given what
 * it needs by number, so that the verifier looks at it once and not once for
 * each step back.
 */
__noinline __u64 charge_slice(__u32 cpu, __u64 pos, __u32 pid, __u64 queued)
{
	struct history *h = bpf_map_lookup_elem(&histories, &cpu);
	struct victim *v = bpf_map_lookup_elem(&victims, &pid);
	__u64 begin, span, part;
	const struct slice *s;
	__u32 i;

	if (!h || !v)
		return 0;
	s = &h->slices[pos % SLICES];
	begin = h->slices[(pos - 1) % SLICES].end;
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

/* Looks back over who ran since the task was queued. */
static __always_inline void look_back(__u32 cpu, __u64 head, __u32 pid,
				      __u64 queued, __u64 now)
{
	struct victim *v = victim_of(pid);
	__u64 begin;
	__u32 i;

	if (!v) {
		__sync_fetch_and_add(&losses.victims, 1);
		__sync_fetch_and_add(&losses.victims_ns, now - queued);
		return;
	}
	__sync_fetch_and_add(&v->total, now - queued);
	__sync_fetch_and_add(&v->waits, 1);
	/* The oldest slice serves only as the beginning of the next. */
	for (i = 0; i < SLICES - 1; i++) {
		begin = charge_slice(cpu, head - i, pid, queued);
		if (!begin)
			break;
		now = begin;
		if (begin <= queued)
			return;
	}
	__sync_fetch_and_add(&v->cut, now - queued);
	__sync_fetch_and_add(&losses.cut, 1);
}

/* Writes down that pid ran from the end of the last slice until now. */
static __always_inline void remember(struct history *h, __u32 pid, __u64 now)
{
	struct slice *s = &h->slices[h->head % SLICES];
	__u64 begin = h->slices[(h->head - 1) % SLICES].end;
	__u64 ran = now - s->end;
	__u32 i;

	if (s->used == 1 && s->pid[0] == pid) {
		s->ns[0] += ran;
		s->end = now;
		return;
	}
	if (now - begin <= SHORT_NS) {
		for (i = 0; i < SLOTS; i++) {
			if (i < s->used && s->pid[i] != pid)
				continue;
			if (i >= s->used) {
				s->pid[i] = pid;
				s->ns[i] = 0;
				s->used = i + 1;
			}
			s->ns[i] += ran;
			s->end = now;
			return;
		}
	}
	h->head++;
	s = &h->slices[h->head % SLICES];
	s->pid[0] = pid;
	s->ns[0] = ran;
	s->used = 1;
	s->end = now;
}

/* A task that lost the CPU without giving it up. */
static __noinline int took(__u32 victim, __u32 aggressor)
{
	struct victim *v = victim_of(victim);
	struct charge *c;

	if (!v) {
		__sync_fetch_and_add(&losses.victims, 1);
		return 0;
	}
	__sync_fetch_and_add(&v->involuntary, 1);
	if (victim == aggressor)
		return 0;
	c = charge_of(victim, aggressor);
	if (!c) {
		__sync_fetch_and_add(&losses.pairs, 1);
		return 0;
	}
	__sync_fetch_and_add(&c->involuntary, 1);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(contention, bool preempt, struct task_struct *prev,
	     struct task_struct *next)
{
	const struct rq *rq = next->se.cfs_rq->rq;
	__u32 cpu = bpf_get_smp_processor_id();
	__u64 now = rq->clock, queued;
	struct history *h;

	h = bpf_map_lookup_elem(&histories, &cpu);
	if (!h)
		return 0;
	remember(h, prev->tgid, now);
	/* The kernel has counted this switch already, as what it was: neither
	 * the preempt argument nor prev's state tell it in every case. */
	if (prev->pid && h->tid == prev->pid && prev->nivcsw != h->involuntary)
		took(prev->tgid, next->tgid);
	h->pid = next->tgid;
	h->tid = next->pid;
	h->involuntary = next->nivcsw;

	if (!next->pid)
		return 0;
	queued = next->sched_info.last_queued;
	if (queued && now - queued >= min_wait && now > queued)
		look_back(cpu, h->head, next->tgid, queued, now);
	return 0;
}
