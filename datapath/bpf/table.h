/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The flow table: find, add, make room. See docs/adr/0001-flow-table.md. */
#ifndef SLUICE_TABLE_H
#define SLUICE_TABLE_H

#include "hash.h"
#include "packet.h"

static __always_inline int idle_beyond(const struct flow *f, __u64 now, __u32 ms)
{
	/* Another CPU may have written a later time than ours. */
	return (__s64)(now - f->last) > (__s64)ms * 1000000;
}

static __always_inline int flow_is_closed(__u32 status)
{
	return (status & STATUS_CLOSED) || (status & STATUS_FIN) == STATUS_FIN;
}

static __always_inline int flow_is_established(const struct flow *f, __u32 status)
{
	/* A flow taken up in mid-stream has no handshake to show: what one side alone sends
	 * makes no established flow, or anybody could fill the table with them. */
	if (f->key.protocol == PROTO_TCP && !(status & STATUS_MIDSTREAM))
		return (status & STATUS_ACKED) == STATUS_ACKED;
	return !!(status & STATUS_REPLIED);
}

/* key_matches tells whether the flow is the packet's: 1 in its direction, 2 against
 * it, 0 if not. */
static __always_inline int key_matches(const struct flow_key *f, const struct flow_key *k)
{
	if (f->protocol != k->protocol || f->endpoint != k->endpoint || f->family != k->family)
		return 0;
	if (f->src[1] == k->src[1] && f->dst[1] == k->dst[1] && f->sport == k->sport &&
	    f->dport == k->dport && f->src[0] == k->src[0] && f->dst[0] == k->dst[0])
		return 1;
	if (f->src[1] == k->dst[1] && f->dst[1] == k->src[1] && f->sport == k->dport &&
	    f->dport == k->sport && f->src[0] == k->dst[0] && f->dst[0] == k->src[0])
		return 2;
	return 0;
}

/* is_live tells whether an entry still stands for a flow: one that has timed out or was
 * flushed does not, even where nobody has removed it yet. */
static __always_inline int is_live(const struct flow *f, __u64 now)
{
	return !(f->status & STATUS_GONE) && !idle_beyond(f, now, f->timeout);
}

/* The functions below that are not static are so that the verifier proves each of them
 * once, for any argument, and not anew for each path that leads to a call. They can't
 * return a pointer into a map, so they return where it is. */

/* bucket_find returns 1 and fills in slot and direction if the live flow of a key is
 * in a bucket, or 0. */
__noinline int bucket_find(const struct flow_key *k, struct flow_place *at, __u32 bucket, __u64 now)
{
	struct tag_bucket *tags;
	struct flow_bucket *b;

	if (!k || !at)
		return 0;
	tags = bpf_map_lookup_elem(&flow_tags, &bucket);
	if (!tags)
		return 0;
	for (__u32 i = 0; i < FLOWS_PER_BUCKET; i++) {
		int match;

		if (tags->tag[i] != at->tag)
			continue;
		b = bpf_map_lookup_elem(&flows, &bucket);
		if (!b)
			return 0;
		match = key_matches(&b->flow[i].key, k);
		if (!match || !is_live(&b->flow[i], now))
			continue;
		at->bucket = bucket;
		at->slot = i;
		at->direction = match - 1;
		return 1;
	}
	return 0;
}

static __always_inline struct flow *flow_at(const struct flow_place *at)
{
	__u32 bucket = at->bucket;
	struct flow_bucket *b = bpf_map_lookup_elem(&flows, &bucket);

	return b ? &b->flow[at->slot & (FLOWS_PER_BUCKET - 1)] : NULL;
}

/* flow_find returns the live flow of a key, or NULL, and fills in its place. */
static __always_inline struct flow *flow_find(const struct flow_key *k, struct flow_place *at, __u64 now)
{
	place_of(k, at);
	if (bucket_find(k, at, at->bucket1, now) || bucket_find(k, at, at->bucket2, now))
		return flow_at(at);
	return NULL;
}

/* account adds a packet that side d sent to its flow. */
static __always_inline void account(struct flow *f, const struct packet *p, __u32 d)
{
	d &= 1;
	__sync_fetch_and_add(&f->packets[d], p->packets);
	__sync_fetch_and_add(&f->bytes[d], p->bytes);
}

/* expendable tells whether an entry may be taken over by a new flow where there is
 * no free one. An established flow never is before its time. */
static __always_inline int expendable(const struct flow *f, __u64 now, int emergency)
{
	__u32 status = f->status;

	if (status & STATUS_FLUSHED)
		return 0; /* user space is about to read it */
	if ((status & STATUS_DEAD) || flow_is_closed(status) || idle_beyond(f, now, f->timeout))
		return 1;
	return emergency && !flow_is_established(f, status) && idle_beyond(f, now, TIMEOUT_EMERGENCY_NEW);
}

/* What a new flow begins with. */
struct flow_start {
	__u64 now;
	__u32 status;
	__u32 seq[2];
	__u32 timeout;
	__u32 policy_generation;
	__u16 established_timeout;
	__u8 engine;
	__u8 reverse; /* 1: the packet goes from dst to src */
};

/* fill writes an entry whose tag is BUSY. A reader that saw it before sees another
 * generation afterwards. */
static __always_inline void fill(struct flow *f, const struct flow_key *k, const struct flow_start *s)
{
	f->generation++;
	if (s->reverse) {
		f->key.src[0] = k->dst[0];
		f->key.src[1] = k->dst[1];
		f->key.dst[0] = k->src[0];
		f->key.dst[1] = k->src[1];
		f->key.sport = k->dport;
		f->key.dport = k->sport;
	} else {
		f->key.src[0] = k->src[0];
		f->key.src[1] = k->src[1];
		f->key.dst[0] = k->dst[0];
		f->key.dst[1] = k->dst[1];
		f->key.sport = k->sport;
		f->key.dport = k->dport;
	}
	f->key.protocol = k->protocol;
	f->key.family = k->family;
	f->key.endpoint = k->endpoint;
	f->first = s->now;
	f->policy_generation = s->policy_generation;
	f->engine = s->engine;
	f->last = s->now;
	f->packets[0] = 0;
	f->packets[1] = 0;
	f->bytes[0] = 0;
	f->bytes[1] = 0;
	f->timeout = s->timeout;
	f->seq[0] = s->seq[0];
	f->seq[1] = s->seq[1];
	f->syn_data[0] = 0;
	f->syn_data[1] = 0;
	f->status = s->status;
	f->established_timeout = s->established_timeout;
	f->verdict = 0;
	f->flushed_at = 0;
}

/* A bucket as the code under the lock sees it: no map can be asked there. */
struct bucket_view {
	struct tag_bucket *tags;
	struct flow_bucket *flows;
};

static __always_inline int bucket_view(struct bucket_view *v, __u32 bucket)
{
	v->tags = bpf_map_lookup_elem(&flow_tags, &bucket);
	v->flows = bpf_map_lookup_elem(&flows, &bucket);
	return v->tags && v->flows;
}

/* bucket_used counts the entries of a bucket that are not free. */
__noinline __u32 bucket_used(__u32 bucket)
{
	struct tag_bucket *tags = bpf_map_lookup_elem(&flow_tags, &bucket);
	__u32 n = 0;

	if (!tags)
		return FLOWS_PER_BUCKET;
	for (__u32 i = 0; i < FLOWS_PER_BUCKET; i++)
		n += tags->tag[i] != TAG_FREE;
	return n;
}

/* find_locked looks for the flow again, as another CPU may have added it, and returns
 * its index or FLOWS_PER_BUCKET. */
static __always_inline __u32 find_locked(struct bucket_view *v, const struct flow_key *k,
					 struct flow_place *at, __u64 now)
{
	for (__u32 i = 0; i < FLOWS_PER_BUCKET; i++) {
		int match;

		if (v->tags->tag[i] != at->tag)
			continue;
		match = key_matches(&v->flows->flow[i].key, k);
		if (!match || !is_live(&v->flows->flow[i], now))
			continue;
		at->direction = match - 1;
		return i;
	}
	return FLOWS_PER_BUCKET;
}

/* claim_free and claim_expendable return the index of an entry that is now BUSY and
 * ours, or FLOWS_PER_BUCKET. */
static __always_inline __u32 claim_free(struct bucket_view *v)
{
	for (__u32 i = 0; i < FLOWS_PER_BUCKET; i++) {
		if (v->tags->tag[i] == TAG_FREE &&
		    __sync_val_compare_and_swap(&v->tags->tag[i], TAG_FREE, TAG_BUSY) == TAG_FREE)
			return i;
	}
	return FLOWS_PER_BUCKET;
}

static __always_inline __u32 claim_expendable(struct bucket_view *v, __u64 now, int emergency)
{
	for (__u32 i = 0; i < FLOWS_PER_BUCKET; i++) {
		__u32 tag = v->tags->tag[i];

		if (tag < TAG_FIRST || !expendable(&v->flows->flow[i], now, emergency) ||
		    __sync_val_compare_and_swap(&v->tags->tag[i], tag, TAG_BUSY) != tag)
			continue;
		/* Meanwhile it may have become another flow with this tag. */
		if (expendable(&v->flows->flow[i], now, emergency))
			return i;
		__sync_lock_test_and_set(&v->tags->tag[i], tag);
	}
	return FLOWS_PER_BUCKET;
}

/* What came of flow_add. */
#define ADD_REFUSED 0 /* no room */
#define ADD_FOUND 1 /* another CPU was faster */
#define ADD_NEW 2 /* in a free entry */
#define ADD_TAKEN 3 /* in the entry of an expendable flow */

/* claim makes an entry of the two buckets BUSY. */
static __always_inline int claim(struct bucket_view *v1, struct bucket_view *v2, struct flow_place *at,
				 __u64 now, int room, int emergency)
{
	if (room) {
		at->slot = claim_free(v1);
		at->bucket = at->bucket1;
		if (at->slot < FLOWS_PER_BUCKET)
			return ADD_NEW;
		at->slot = claim_free(v2);
		at->bucket = at->bucket2;
		if (at->slot < FLOWS_PER_BUCKET)
			return ADD_NEW;
	}
	at->slot = claim_expendable(v1, now, emergency);
	at->bucket = at->bucket1;
	if (at->slot < FLOWS_PER_BUCKET)
		return ADD_TAKEN;
	at->slot = claim_expendable(v2, now, emergency);
	at->bucket = at->bucket2;
	return at->slot < FLOWS_PER_BUCKET ? ADD_TAKEN : ADD_REFUSED;
}

/* add_locked finds the flow or makes it in one of two buckets. */
static __always_inline int add_locked(struct bucket_view *v1, struct bucket_view *v2,
				      const struct flow_key *k, struct flow_place *at,
				      const struct flow_start *s, int room, int emergency)
{
	struct bucket_view *v = v1;
	__u32 slot;
	int done;

	at->bucket = at->bucket1;
	at->slot = find_locked(v1, k, at, s->now);
	if (at->slot < FLOWS_PER_BUCKET)
		return ADD_FOUND;
	at->bucket = at->bucket2;
	at->slot = find_locked(v2, k, at, s->now);
	if (at->slot < FLOWS_PER_BUCKET)
		return ADD_FOUND;
	done = claim(v1, v2, at, s->now, room, emergency);
	if (done == ADD_REFUSED)
		return done;
	slot = at->slot & (FLOWS_PER_BUCKET - 1);
	if (at->bucket != at->bucket1)
		v = v2;
	fill(&v->flows->flow[slot], k, s);
	/* An exchange is a full barrier: whoever sees the tag sees the flow. */
	__sync_lock_test_and_set(&v->tags->tag[slot], at->tag);
	at->direction = s->reverse;
	return done;
}

/* enter_emergency is called where the table is nearly full; the cleaner leaves. */
static __always_inline void enter_emergency(struct table_state *t)
{
	if (__sync_val_compare_and_swap(&t->emergency, 0, 1) == 0)
		__sync_fetch_and_add(&t->emergencies, 1);
}

/* prefer_emptier exchanges the two buckets where the first has some flows already and
 * the other has fewer: this is what lets a table be filled without moving entries about.
 * While there are few flows they lie where a look-up goes first. */
static __always_inline void prefer_emptier(struct flow_place *at)
{
	__u32 used = bucket_used(at->bucket1), bucket = at->bucket1;

	if (used < BUCKET_FAVOURED || bucket_used(at->bucket2) >= used)
		return;
	at->bucket1 = at->bucket2;
	at->bucket2 = bucket;
}

/* flow_add makes a flow that flow_find did not find, or finds the one that another CPU
 * has made meanwhile, and fills in its place. ADD_REFUSED has been counted. */
__noinline int flow_add(const struct flow_key *k, struct flow_place *at, const struct flow_start *s)
{
	__u32 zero = 0, stripe;
	struct bucket_view v1, v2;
	struct table_state *t;
	struct flow_lock *l;
	int done, emergency;
	__u64 used;

	if (!k || !at || !s)
		return ADD_REFUSED;
	prefer_emptier(at);
	stripe = at->tag & (FLOW_LOCKS - 1);
	t = bpf_map_lookup_elem(&table, &zero);
	l = bpf_map_lookup_elem(&flow_locks, &stripe);
	if (!t || !l || !bucket_view(&v1, at->bucket1) || !bucket_view(&v2, at->bucket2))
		return ADD_REFUSED;
	emergency = t->emergency != 0;
	used = __sync_fetch_and_add(&t->used, 1);

	bpf_spin_lock(&l->lock);
	done = add_locked(&v1, &v2, k, at, s, used < max_flows, emergency);
	bpf_spin_unlock(&l->lock);

	if (done != ADD_NEW)
		__sync_fetch_and_sub(&t->used, 1);
	if (done == ADD_TAKEN)
		__sync_fetch_and_add(&t->reclaimed, 1);
	if (done == ADD_REFUSED)
		__sync_fetch_and_add(&t->refused, 1);
	if (!emergency && used + 1 >= max_flows - max_flows / 10)
		enter_emergency(t);
	return done;
}

#endif
