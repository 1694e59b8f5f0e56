//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * OOM kills: which process the kernel chose to kill, and how large it was.
 * Runs once for each victim, in the context of the task that found no memory.
 * The tracepoint has passed the task since 6.8 (and in stable kernels from 6.1
 * on), before that only its pid: one of the two programs fits, chosen at load.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

struct oom_kill {
	__u64 process_start; /* since boot, ns; 0 if not known */
	__u64 file_pages; /* resident, by kind */
	__u64 anon_pages;
	__u64 shmem_pages;
	__u32 pid;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 10);
} kills SEC(".maps");

__u64 kills_lost;

const struct oom_kill *oom_kill_type __attribute__((unused));

static __always_inline struct oom_kill *reserve(__u32 pid)
{
	struct oom_kill *k = bpf_ringbuf_reserve(&kills, sizeof(*k), 0);

	if (!k) {
		__sync_fetch_and_add(&kills_lost, 1);
		return k;
	}
	__builtin_memset(k, 0, sizeof(*k));
	k->pid = pid;
	return k;
}

SEC("tp_btf/mark_victim")
int BPF_PROG(oom_task, struct task_struct *task)
{
	const struct mm_struct *mm = task->mm;
	struct oom_kill *k = reserve(task->tgid);

	if (!k)
		return 0;
	k->process_start = task->group_leader->start_boottime;
	if (mm) {
		k->file_pages = mm_pages(mm, MM_FILEPAGES);
		k->anon_pages = mm_pages(mm, MM_ANONPAGES);
		k->shmem_pages = mm_pages(mm, MM_SHMEMPAGES);
	}
	bpf_ringbuf_submit(k, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/mark_victim")
int BPF_PROG(oom_pid, int pid)
{
	struct oom_kill *k = reserve(pid);

	if (k)
		bpf_ringbuf_submit(k, BPF_RB_NO_WAKEUP);
	return 0;
}
