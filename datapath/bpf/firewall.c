// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The firewall program. It is loaded once for each endpoint, direction, namespace and
 * kind of device, and runs on TCX. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"
#include "parse.h"
#include "table.h"
#include "tcp.h"
#include "fragment.h"
#include "icmp.h"
#include "reject.h"
#include "cleaner.h"

/* TCX_NEXT and TCX_DROP of linux/bpf.h since Linux 6.6; older headers lack them. What
 * follows us in the chain, a mirror for example, sees only what passes. */
#define PASS -1
#define DROP 2

static __always_inline void count(enum verdict v, const struct packet *p)
{
	__u32 slot = endpoint_slot;
	struct verdict_counters *c = bpf_map_lookup_elem(&verdicts, &slot);

	if (!c)
		return;
	c->packets[v] += p->packets;
	c->bytes[v] += p->bytes;
}

static __always_inline int drop(enum verdict v, const struct packet *p)
{
	count(v, p);
	return DROP;
}

static __always_inline int counted_at_ingress(struct __sk_buff *skb)
{
	struct covered_key k = {
		.netns = netns,
		.ifindex = skb->ingress_ifindex,
		.endpoint = endpoint_slot,
	};

	return k.ifindex && bpf_map_lookup_elem(&covered, &k);
}

static __always_inline struct policy *policy_in_force(void)
{
	__u32 slot = endpoint_slot, index;
	struct endpoint *e = bpf_map_lookup_elem(&endpoints, &slot);

	if (!e)
		return NULL;
	index = e->policy;
	return bpf_map_lookup_elem(&policies, &index);
}

static __always_inline struct flow *begin_flow(const struct packet *p, struct flow_place *at,
					       const struct policy *pol, __u8 engine, __u64 now)
{
	struct flow_start s = {
		.now = now,
		.policy_generation = pol->generation,
		.established_timeout = pol->tcp_idle_timeout,
		.engine = engine,
	};

	start_state(&s, p);
	return flow_add(&p->key, at, &s) == ADD_REFUSED ? NULL : flow_at(at);
}

/* meet_exception is for a TCP packet that is no SYN and has no flow: what it returns,
 * or 0 where it goes on and may make a flow. */
static __always_inline int meet_exception(struct __sk_buff *skb, const struct packet *p, const struct policy *pol)
{
	int action;

	count(VERDICT_STREAM_EXCEPTION, p);
	if (pol->stream_exception == EXCEPTION_CONTINUE) {
		/* A RST leaves nothing behind that could be followed. */
		if (!(p->flags & TCP_RST) && p->fragment != FRAGMENT_LATER)
			return 0;
		count(VERDICT_PASSED_STATEFUL, p);
		return PASS;
	}
	/* A RST must never be answered (RFC 9293 §3.10.7.1). */
	if (pol->stream_exception == EXCEPTION_REJECT && !(p->flags & TCP_RST) && can_reject(p)) {
		action = reject(skb, p);
		if (action > 0) {
			count(VERDICT_REJECTED, p);
			return action;
		}
	}
	return drop(VERDICT_DROPPED_STATEFUL, p);
}

/* admit treats a packet that the stateless default does not drop. */
__noinline int admit(struct __sk_buff *skb, const struct packet *p, const struct policy *pol,
		     __u32 engine, __u64 now)
{
	enum verdict passed = engine == ENGINE_STATEFUL ? VERDICT_PASSED_STATEFUL : VERDICT_PASSED_STATELESS;
	struct flow_place at = {};
	struct flow *f;
	int action, foreign;

	if (!p || !pol)
		return DROP;
	f = flow_find(&p->key, &at, now);
	/* A flow that only the stateless engine knows is none to the stateful one. */
	foreign = f && engine == ENGINE_STATEFUL && f->engine != ENGINE_STATEFUL && p->key.protocol == PROTO_TCP;
	if (f && opens(p) && (foreign || flow_is_closed(f->status))) {
		__sync_fetch_and_or(&f->status, STATUS_DEAD);
		f = NULL;
	}
	if (engine == ENGINE_STATEFUL && p->key.protocol == PROTO_TCP && !opens(p) &&
	    (!f || foreign || out_of_handshake(f, p))) {
		action = meet_exception(skb, p, pol);
		if (action)
			return action;
	}
	if (!f) {
		f = begin_flow(p, &at, pol, engine, now);
		if (!f) {
			/* The stateless engine needs no flow to let a packet through. */
			if (engine == ENGINE_STATEFUL)
				return drop(VERDICT_OTHER_DROPPED, p);
			count(passed, p);
			return PASS;
		}
	}
	if (f->engine != engine)
		f->engine = engine;
	f->last = now;
	account(f, p, at.direction);
	track(f, p, at.direction);
	if (p->fragment == FRAGMENT_FIRST)
		remember_fragment(p, now);
	count(passed, p);
	return PASS;
}

/* is_copy tells a copy that leaves for its target: it is no traffic of the source (AWS
 * does not filter them either). The mark alone is not enough, should anybody guess it:
 * what has it must be VXLAN as copies are. */
static __always_inline int is_copy(struct __sk_buff *skb, const struct packet *p)
{
	__u32 h[2];

	if (at_ingress || !copy_mark || skb->mark != copy_mark)
		return 0;
	return p->key.protocol == PROTO_UDP && p->key.dport == 4789 && p->fragment == FRAGMENT_NONE &&
	       p->l4 + 16 <= p->end && !load_words(skb, p->l4 + 8, h, 8) && h[0] == bpf_htonl(VXLAN_FLAGS) &&
	       !(h[1] & bpf_htonl(0xff));
}

SEC("tc")
int firewall(struct __sk_buff *skb)
{
	struct packet p = { .key.endpoint = endpoint_slot };
	const struct policy *pol;
	__u8 action;
	__u64 now;

	if (at_ingress) {
		if (reset_mark && skb->mark == reset_mark) {
			skb->mark = 0;
			return PASS;
		}
	} else if (counted_at_ingress(skb)) {
		return PASS;
	}
	switch (parse(skb, &p)) {
	case PARSED_OTHER:
		return PASS;
	case PARSED_INVALID:
		return drop(VERDICT_INVALID, &p);
	}
	if (is_copy(skb, &p))
		return PASS;
	pol = policy_in_force();
	if (!pol)
		return DROP;
	now = bpf_ktime_get_coarse_ns();
	action = pol->stateless_default;
	if (p.fragment != FRAGMENT_NONE) {
		int known = p.fragment == FRAGMENT_FIRST || !recall_fragment(&p, now);

		if (p.key.protocol == PROTO_UDP)
			action = pol->fragment_default;
		if (action == ACTION_FORWARD && !known)
			return drop(VERDICT_OTHER_DROPPED, &p);
		if (action == ACTION_PASS && !known) {
			count(VERDICT_PASSED_STATELESS, &p);
			return PASS;
		}
	}
	if (action == ACTION_DROP)
		return drop(VERDICT_DROPPED_STATELESS, &p);
	if (p.icmp_error && related(skb, &p, now)) {
		if (p.fragment == FRAGMENT_FIRST)
			remember_fragment(&p, now);
		count(action == ACTION_FORWARD ? VERDICT_PASSED_STATEFUL : VERDICT_PASSED_STATELESS, &p);
		return PASS;
	}
	return admit(skb, &p, pol, action == ACTION_FORWARD ? ENGINE_STATEFUL : ENGINE_STATELESS, now);
}

/* start_cleaner arms the timer; user space runs it once after it has loaded it. */
SEC("tc")
int start_cleaner(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct cleaner *c = bpf_map_lookup_elem(&cleaner, &zero);

	if (!c)
		return 1;
	/* It fails where a timer of an earlier load is there: that one goes on. */
	bpf_timer_init(&c->timer, &cleaner, CLOCK_MONOTONIC);
	if (bpf_timer_set_callback(&c->timer, cleaner_tick))
		return 2;
	if (bpf_timer_start(&c->timer, 0, 0))
		return 3;
	return 0;
}

char firewall_license[] SEC("license") = "Dual BSD/GPL";
