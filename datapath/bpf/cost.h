/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What copying may take of a processor's time. Copies are made in the same turn of the
 * kernel in which their originals arrive, so time is what they take from these; beyond
 * the bound it is copies that are dropped. Time in which the processor had nothing else to
 * do is free. */
#ifndef SLUICE_COST_H
#define SLUICE_COST_H

#include "mirror_maps.h"

/* How long a processor may save up, ns, and the longest that one copy is taken to have
 * needed: what took longer was interrupted. */
#define SAVED 100000000ULL
#define LONGEST 1000000ULL

/* How many times its own time each copy has to be paid for with, scaled: 100 divided by
 * the percentage of the processor that may be used. 0 is no bound. The second is for
 * copies that have to be truncated, since no whole frame fits the path: each is cut by
 * itself. */
#define PRICE_SHIFT 8
volatile const __u32 copy_price;
volatile const __u32 truncated_price;

/* What is read of the kernel's own: found by name when the program is loaded. */
struct task_struct {
	int pid; /* 0 is the idle task of a processor */
} __attribute__((preserve_access_index));

/* would_idle tells that the packet has interrupted nobody's work: what it takes of the
 * processor is nobody else's, for the kernel hands packets to a thread of its own
 * (ksoftirqd) as soon as it can't keep up with them otherwise. */
static __always_inline int would_idle(void)
{
	struct task_struct *now = bpf_get_current_task_btf();

	return now->pid == 0;
}

/* open_account tells whether a copy may be made, as far as earlier ones have been paid
 * for. narrow is that copies of the session have been truncated, truncated that this one
 * will probably be, began when, or 0 where nobody asks what it takes. */
static __always_inline int open_account(struct cost *cost, int narrow, int truncated, __u64 *began)
{
	*began = 0;
	if ((!copy_price && !(narrow && truncated_price)) || would_idle())
		return 1;
	*began = bpf_ktime_get_ns();
	return (!copy_price || cost->copies <= *began) && (!truncated || !truncated_price || cost->truncated <= *began);
}

static __always_inline __u64 paid_until(__u64 before, __u64 now, __u64 price)
{
	__u64 saved = now > SAVED ? now - SAVED : 0;

	return (before > saved ? before : saved) + price;
}

/* charge makes the next copies wait for what this one has taken. truncated is that it had
 * to be. */
static __always_inline void charge(struct cost *cost, int truncated, __u64 began)
{
	__u64 now, took;

	if (!began)
		return;
	now = bpf_ktime_get_ns();
	took = now > began ? now - began : 0; /* the clock may be set back a little */
	if (took > LONGEST)
		took = LONGEST;
	if (copy_price)
		cost->copies = paid_until(cost->copies, now, took * copy_price >> PRICE_SHIFT);
	if (truncated && truncated_price)
		cost->truncated = paid_until(cost->truncated, now, took * truncated_price >> PRICE_SHIFT);
}

#endif
