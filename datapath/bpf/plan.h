/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The way of a copy to its target, which all frames of a clone share. */
#ifndef SLUICE_PLAN_H
#define SLUICE_PLAN_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "device.h"
#include "mirror_maps.h"
#include "packet.h"
#include "spread.h"

#define AF_INET 2
#define AF_INET6 10

/* Flags of bpf_fib_lookup that older headers lack: no look into the neighbour table, and
 * (since Linux 6.7) the source address that goes with the route. */
#define FIB_SKIP_NEIGH (1U << 2)
#define FIB_SRC (1U << 4)

/* The lowest band of a queue that has bands (TC_PRIO_BULK of linux/pkt_sched.h): where
 * there is not room for all, it is copies that are dropped. */
#define PRIORITY_BULK 2

/* What skb->mark says between the two programs. Nothing but copies is ever put on the
 * helper device. A change makes mirrorMeaning of mirror_layout.go grow. */
#define MARK_COPY (1U << 31)
#define MARK_INGRESS (1U << 30)
#define MARK_FLOW_SHIFT 16
#define MARK_FLOW_MASK 0x3fff
#define MARK_DELIVERY_MASK 0xffff

/* The source ports of copies: the dynamic range, as RFC 7348 §5 recommends. */
#define PORT_FIRST 49152

/* choose finds the target of a flow: the one with the highest score (rendezvous hashing),
 * so that a target that leaves moves its own flows alone. Without any it is
 * TARGETS_PER_SESSION. */
static __always_inline __u32 choose(const struct delivery *d, __u32 flow)
{
	__u32 best = TARGETS_PER_SESSION, highest = 0;

	for (__u32 i = 0; i < TARGETS_PER_SESSION; i++) {
		const struct target *t = &d->target[i];
		__u32 score;

		if (i >= d->targets)
			break;
		score = mix64(t->seed ^ (__u64)flow << 32) >> 32;
		if (best == TARGETS_PER_SESSION || score > highest) {
			best = i;
			highest = score;
		}
	}
	return best;
}

static __always_inline long look_up(struct __sk_buff *skb, const struct delivery *d, struct plan *p, __u32 flags)
{
	struct bpf_fib_lookup *w = &p->way;

	__builtin_memset(w, 0, sizeof(*w));
	w->ifindex = skb->ifindex;
	w->l4_protocol = PROTO_UDP;
	w->sport = bpf_htons(PORT_FIRST + (p->mark >> MARK_FLOW_SHIFT & MARK_FLOW_MASK));
	w->dport = bpf_htons(4789);
	w->tot_len = 1; /* of whatever length: the answer holds the MTU then */
	if (!p->ipv6) {
		w->family = AF_INET;
		w->ipv4_src = d->source4;
		w->ipv4_dst = p->target[3];
		if (!d->source4)
			flags |= FIB_SRC;
	} else {
		w->family = AF_INET6;
		__builtin_memcpy(w->ipv6_src, d->source6, 16);
		__builtin_memcpy(w->ipv6_dst, p->target, 16);
		if (!d->source6[0] && !d->source6[3])
			flags |= FIB_SRC;
	}
	return bpf_fib_lookup(skb, w, sizeof(*w), flags);
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* sum_words adds up an IPv4 header without options, as fold wants it. */
static __always_inline __u64 sum_words(const struct iphdr *h)
{
	__u32 w[sizeof(*h) / 4];

	__builtin_memcpy(w, h, sizeof(*h));
	return (__u64)w[0] + w[1] + w[2] + w[3] + w[4];
}

/* outline4 writes down what the outer headers of all copies of a plan have in common,
 * which is all but their lengths: as AWS does, time to live 255, no type of service, no
 * identification, no UDP checksum (RFC 7348 §5 allows that). Without an identification
 * fragments can't be told apart (RFC 6864 §4), so nobody may make any. */
static __always_inline void outline4(const struct delivery *d, struct plan *p)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.frag_off = bpf_htons(0x4000), /* don't fragment */
		.ttl = 255,
		.protocol = PROTO_UDP,
		.saddr = p->way.ipv4_src,
		.daddr = p->target[3],
	};
	struct outer4 *o = &p->outer;

	p->outer_sum = sum_words(&ip);
	__builtin_memcpy(o->ethernet.h_dest, p->way.dmac, ETH_ALEN);
	__builtin_memcpy(o->ethernet.h_source, p->way.smac, ETH_ALEN);
	o->ethernet.h_proto = bpf_htons(ETH_P_IP);
	o->ip = ip;
	o->udp = (struct udphdr){ .source = p->way.sport, .dest = p->way.dport };
	o->vxlan = (struct vxlan){ .flags = bpf_htonl(VXLAN_FLAGS), .vni = bpf_htonl(d->vni << 8) };
}

/* make_plan chooses the target and asks for the route as it is now: an address or a route
 * that changes is followed at once. */
static __always_inline void make_plan(struct __sk_buff *skb, const struct delivery *d, struct plan *p)
{
	const struct target *t;
	long found;

	p->mark = skb->mark;
	p->mtu = 0;
	p->unresolved = 0;
	p->confirmed = 0;
	p->hidden = 0;
	/* A frame without an Ethernet header is none of ours. */
	if (bpf_skb_load_bytes(skb, 0, &p->outer.inner, ETH_HLEN))
		p->mark = 0;
	p->choice = choose(d, p->mark >> MARK_FLOW_SHIFT & MARK_FLOW_MASK);
	if (p->choice >= TARGETS_PER_SESSION)
		return;
	t = &d->target[p->choice];
	__builtin_memcpy(p->target, t->addr, 16);
	p->ipv6 = t->family != FAMILY_IPV4;
	found = look_up(skb, d, p, 0);
	if (found == BPF_FIB_LKUP_RET_NO_NEIGH) {
		p->unresolved = 1;
		found = look_up(skb, d, p, FIB_SKIP_NEIGH);
	}
	if (found != BPF_FIB_LKUP_RET_SUCCESS)
		return;
	p->mtu = p->way.mtu_result;
	if (!p->ipv6)
		outline4(d, p);
}

/* hide_destination makes a super-packet one for all: the bridge looks the destination of
 * each frame up, but not that one. The frames get theirs back when they are wrapped. */
static __always_inline void hide_destination(struct __sk_buff *skb, struct plan *p)
{
	const __u64 all = ~0ULL;

	/* It stays as it is where it can't be written. */
	if (!bpf_skb_store_bytes(skb, 0, &all, ETH_ALEN, 0))
		p->hidden = 1;
}

/* overhead is what comes before the frame in an IP packet. */
static __always_inline __u32 overhead(const struct plan *p)
{
	return (p->ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + sizeof(struct udphdr) +
	       sizeof(struct vxlan);
}

/* leave sends a copy on its way. While the next hop is being resolved it waits, and what a
 * clone has of the original's route then misleads it: so it gets a route of its own. The
 * first copy of a plan goes through the neighbour table, which sees to it that what it
 * knows stays true; the others have the addresses from there already. */
static __always_inline int leave(struct __sk_buff *skb, struct plan *p)
{
	struct bpf_redir_neigh next = { .nh_family = p->way.family };

	skb->mark = copy_mark;
	skb->priority = PRIORITY_BULK;
	if (p->unresolved)
		return bpf_redirect_neigh(p->way.ifindex, NULL, 0, 0);
	if (p->confirmed)
		return bpf_redirect(p->way.ifindex, 0);
	p->confirmed = 1;
	__builtin_memcpy(next.ipv6_nh, p->way.ipv6_dst, 16);
	return bpf_redirect_neigh(p->way.ifindex, &next, sizeof(next), 0);
}

#endif
