/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What runs in the background: frees entries whose time is over. It lives in a timer,
 * so that it goes on when the process that loaded it has ended. */
#ifndef SLUICE_CLEANER_H
#define SLUICE_CLEANER_H

#include "table.h"

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

/* A pass goes through the whole table in this many ticks, but no tick through more
 * than TICK_MAX buckets: it runs with interrupts held up. */
#define TICKS_PER_PASS 256
#define TICK_MAX 4096
#define TICK_NS 8000000ULL
#define TICK_IDLE_NS 100000000ULL

/* It never changes while a tick goes through its buckets: the verifier would follow
 * every value that it could take. */
struct cleaning {
	__u64 now;
	struct table_state *table;
	__u32 first; /* bucket */
	int emergency;
};

static __always_inline int timed_out(const struct flow *f, const struct cleaning *c)
{
	__u32 status = f->status;

	if (status & STATUS_FLUSHED)
		return c->now / 1000000000 > (__u64)f->flushed_at + FLUSHED_GRACE_SECONDS;
	if (idle_beyond(f, c->now, f->timeout))
		return 1;
	if (!c->emergency)
		return 0;
	if (flow_is_closed(status))
		return 1;
	return !flow_is_established(f, status) && idle_beyond(f, c->now, TIMEOUT_EMERGENCY_NEW);
}

/* clean_bucket does it in two passes, so that a packet that has just found an entry is
 * done with it before another flow takes its place. */
static int clean_bucket(__u32 n, void *context)
{
	struct cleaning *c = context;
	__u32 bucket = c->first + n;
	struct tag_bucket *tags;
	struct flow_bucket *b = NULL;

	if (bucket >= bucket_count)
		bucket -= bucket_count;
	tags = bpf_map_lookup_elem(&flow_tags, &bucket);
	if (!tags)
		return 1;
	for (__u32 i = 0; i < FLOWS_PER_BUCKET; i++) {
		__u32 tag = tags->tag[i];
		struct flow *f;

		if (tag < TAG_FIRST)
			continue;
		if (!b)
			b = bpf_map_lookup_elem(&flows, &bucket);
		if (!b)
			return 1;
		f = &b->flow[i];
		if (f->status & STATUS_DEAD) {
			if (__sync_val_compare_and_swap(&tags->tag[i], tag, TAG_BUSY) != tag)
				continue;
			/* Meanwhile it may have become another flow with this tag. */
			if (f->status & STATUS_DEAD) {
				__sync_lock_test_and_set(&tags->tag[i], TAG_FREE);
				__sync_fetch_and_sub(&c->table->used, 1);
			} else {
				__sync_lock_test_and_set(&tags->tag[i], tag);
			}
		} else if (timed_out(f, c)) {
			__sync_fetch_and_or(&f->status, STATUS_DEAD);
		}
	}
	return 0;
}

static int cleaner_tick(void *map, __u32 *key, struct cleaner *self)
{
	__u32 zero = 0, batch = bucket_count / TICKS_PER_PASS + 1;
	struct table_state *t = bpf_map_lookup_elem(&table, &zero);
	struct cleaning c = { .now = bpf_ktime_get_coarse_ns() };

	if (!t)
		return 0;
	if (t->used == 0) {
		if (t->emergency)
			t->emergency = 0;
		bpf_timer_start(&self->timer, TICK_IDLE_NS, 0);
		return 0;
	}
	if (batch > TICK_MAX)
		batch = TICK_MAX;
	c.table = t;
	c.first = self->cursor;
	c.emergency = t->emergency != 0;
	bpf_loop(batch, clean_bucket, &c, 0);
	self->cursor = c.first + batch;
	if (self->cursor >= bucket_count) {
		self->cursor -= bucket_count;
		t->passes++;
	}
	if (t->emergency && t->used <= max_flows - max_flows / 10 * 3)
		t->emergency = 0;
	bpf_timer_start(&self->timer, TICK_NS, 0);
	return 0;
}

#endif
