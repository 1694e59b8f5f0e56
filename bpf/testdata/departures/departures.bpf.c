//go:build ignore

/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Departures: asks departure.h whether an entry is of a task, for tests. Runs on
 * demand only (BPF_PROG_TEST_RUN). */
#include "../../kernel.h"
#include "../../departure.h"

char LICENSE[] SEC("license") = "GPL";

struct departure entry = {};
__u64 runs = 0; /* of the task as it is now */
__u32 tid = 0;

const struct departure *departure_type __attribute__((unused));

SEC("socket")
int ask(void *ctx)
{
	return departed(&entry, tid, runs);
}
