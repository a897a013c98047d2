/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a frame to a copy in VXLAN (RFC 7348) on its way to a target. */
#ifndef SLUICE_ENCAP_H
#define SLUICE_ENCAP_H

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

#define VLAN_TAG 4
#define MAX_TAGS 3

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

struct vxlan {
	__be32 flags;
	__be32 vni; /* in the upper 24 bits */
};

struct outer4 {
	__u8 reserved[2]; /* not sent; it aligns the rest */
	struct ethhdr ethernet;
	struct iphdr ip;
	struct udphdr udp;
	struct vxlan vxlan;
	__u8 inner[ETH_HLEN]; /* the frame's own, where it has no tags */
	__u8 reserved1[2]; /* not sent */
};

struct outer6 {
	__u8 reserved[2];
	struct ethhdr ethernet;
	struct ipv6hdr ip;
	struct udphdr udp;
	struct vxlan vxlan;
};

_Static_assert(sizeof(struct outer4) == 2 + 14 + 20 + 8 + 8 + 14 + 2, "nothing between the headers");
_Static_assert(sizeof(struct outer6) == 2 + 14 + 40 + 8 + 8, "nothing between the headers");

/* What a copy is going to be. */
struct copy {
	__u32 vni;
	__u32 length; /* bytes of the frame that go */
	__u32 header; /* bytes of its Ethernet header, tags included */
	__u8 ethernet[ETH_HLEN + MAX_TAGS * VLAN_TAG];
	__u8 inner6;
};

/* choose finds the target of a flow: the one with the highest score (rendezvous hashing),
 * so that a target that leaves moves its own flows alone. */
static __always_inline const struct target *choose(const struct delivery *d, __u32 flow)
{
	const struct target *best = NULL;
	__u32 highest = 0;

	for (__u32 i = 0; i < TARGETS_PER_SESSION; i++) {
		const struct target *t = &d->target[i];
		__u32 score;

		if (i >= d->targets)
			break;
		score = mix64(t->seed ^ (__u64)flow << 32) >> 32;
		if (!best || score > highest) {
			best = t;
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
	t = choose(d, p->mark >> MARK_FLOW_SHIFT & MARK_FLOW_MASK);
	if (!t)
		return;
	__builtin_memcpy(p->target, t->addr, 16);
	p->ipv6 = t->family != FAMILY_IPV4;
	found = look_up(skb, d, p, 0);
	if (found == BPF_FIB_LKUP_RET_NO_NEIGH) {
		p->unresolved = 1;
		found = look_up(skb, d, p, FIB_SKIP_NEIGH);
	}
	if (found == BPF_FIB_LKUP_RET_SUCCESS)
		p->mtu = p->way.mtu_result;
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

/* take_tags takes VLAN tags off the frame, from where the device put them beside it as
 * well as from within, and notes the Ethernet header as it was on the wire. */
static __always_inline int take_tags(struct __sk_buff *skb, struct copy *c)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__be16 word[2] = {};
	__u8 *at = c->ethernet + 12;

	c->header = ETH_HLEN;
	/* Most frames have no tag, and their header can be read where it is. */
	if (!skb->vlan_present && data + ETH_HLEN <= end) {
		const struct ethhdr *e = data;

		if (e->h_proto == skb->protocol &&
		    (e->h_proto == bpf_htons(ETH_P_IP) || e->h_proto == bpf_htons(ETH_P_IPV6))) {
			__builtin_memcpy(c->ethernet, e, ETH_HLEN);
			c->inner6 = e->h_proto == bpf_htons(ETH_P_IPV6);
			return 0;
		}
	}
	if (bpf_skb_load_bytes(skb, 0, c->ethernet, 12))
		return -1;
#pragma unroll
	for (int i = 0; i < MAX_TAGS; i++) {
		if (skb->vlan_present) {
			word[0] = skb->vlan_proto;
			word[1] = bpf_htons(skb->vlan_tci);
		} else {
			if (bpf_skb_load_bytes(skb, 12, word, 4))
				return -1;
			if (word[0] != bpf_htons(ETH_P_8021Q) && word[0] != bpf_htons(ETH_P_8021AD))
				break;
		}
		__builtin_memcpy(at, word, 4);
		at += 4;
		c->header += VLAN_TAG;
		if (bpf_skb_vlan_pop(skb))
			return -1;
	}
	if (skb->vlan_present || bpf_skb_load_bytes(skb, 12, word, 2))
		return -1;
	/* What the kernel takes for the protocol decides where it looks for headers. */
	if (word[0] != skb->protocol)
		return -1;
	__builtin_memcpy(at, word, 2);
	c->inner6 = word[0] == bpf_htons(ETH_P_IPV6);
	return 0;
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

/* wrap4 writes the outer headers as AWS does: time to live 255, no type of service, no
 * identification, no UDP checksum (RFC 7348 §5 allows that). Without an identification
 * fragments can't be told apart (RFC 6864 §4), so nobody may make any. The frame's
 * Ethernet header comes along, or is there already. */
static __always_inline int wrap4(struct __sk_buff *skb, const struct plan *p, const struct copy *c, int with_inner)
{
	__u16 length = sizeof(struct udphdr) + sizeof(struct vxlan) + c->length;
	struct outer4 o = {
		.ethernet.h_proto = bpf_htons(ETH_P_IP),
		.ip.version = 4,
		.ip.ihl = 5,
		.ip.tot_len = bpf_htons(sizeof(struct iphdr) + length),
		.ip.frag_off = bpf_htons(0x4000), /* don't fragment */
		.ip.ttl = 255,
		.ip.protocol = PROTO_UDP,
		.ip.saddr = p->way.ipv4_src,
		.ip.daddr = p->target[3],
		.udp.source = p->way.sport,
		.udp.dest = p->way.dport,
		.udp.len = bpf_htons(length),
		.vxlan.flags = bpf_htonl(VXLAN_FLAGS),
		.vxlan.vni = bpf_htonl(c->vni << 8),
	};

	__builtin_memcpy(o.ethernet.h_dest, p->way.dmac, ETH_ALEN);
	__builtin_memcpy(o.ethernet.h_source, p->way.smac, ETH_ALEN);
	o.ip.check = fold(sum_words(&o.ip));
	if (!with_inner)
		return bpf_skb_store_bytes(skb, 0, &o.ethernet, offsetof(struct outer4, inner) - 2, 0);
	__builtin_memcpy(o.inner, c->ethernet, ETH_HLEN);
	return bpf_skb_store_bytes(skb, 0, &o.ethernet, offsetof(struct outer4, reserved1) - 2, 0);
}

struct summing {
	struct __sk_buff *skb;
	__u32 off, left;
	__s64 sum;
};

static long sum_chunk(__u32 i, struct summing *s)
{
	__u32 zero = 0, n = s->left;
	__u64 *to = bpf_map_lookup_elem(&chunk, &zero);

	if (!to)
		return 1;
	if (n >= CHUNK) {
		if (bpf_skb_load_bytes(s->skb, s->off, to, CHUNK))
			return 1;
		n = CHUNK;
	} else {
		for (int w = 0; w < CHUNK / 8; w++)
			to[w] = 0;
		if (n == 0 || bpf_skb_load_bytes(s->skb, s->off, to, n))
			return 1;
	}
	s->sum = bpf_csum_diff(NULL, 0, (__be32 *)to, CHUNK, s->sum);
	s->off += n;
	s->left -= n;
	return s->left == 0;
}

/* wrap6 is wrap4 with a UDP checksum, which IPv6 wants (RFC 8200 §8.1). The frame is cut
 * to its length already. */
static __always_inline int wrap6(struct __sk_buff *skb, const struct plan *p, const struct copy *c)
{
	__u16 length = sizeof(struct udphdr) + sizeof(struct vxlan) + c->length, check;
	struct outer6 o = {
		.ethernet.h_proto = bpf_htons(ETH_P_IPV6),
		.ip.version = 6,
		.ip.payload_len = bpf_htons(length),
		.ip.nexthdr = PROTO_UDP,
		.ip.hop_limit = 255,
		.udp.source = p->way.sport,
		.udp.dest = p->way.dport,
		.udp.len = bpf_htons(length),
		.vxlan.flags = bpf_htonl(VXLAN_FLAGS),
		.vxlan.vni = bpf_htonl(c->vni << 8),
	};
	struct summing s = { .skb = skb, .off = ETH_HLEN + sizeof(struct ipv6hdr), .left = length };
	__u32 pseudo[2] = { bpf_htonl(length), bpf_htonl(PROTO_UDP) };

	__builtin_memcpy(o.ethernet.h_dest, p->way.dmac, ETH_ALEN);
	__builtin_memcpy(o.ethernet.h_source, p->way.smac, ETH_ALEN);
	__builtin_memcpy(&o.ip.saddr, p->way.ipv6_src, 16);
	__builtin_memcpy(&o.ip.daddr, p->target, 16);
	if (bpf_skb_store_bytes(skb, 0, &o.ethernet, sizeof(o) - 2, 0))
		return -1;
	s.sum = bpf_csum_diff(NULL, 0, (__be32 *)&o.ip.saddr, 32, 0);
	s.sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), s.sum);
	if (bpf_loop(0xffff / CHUNK + 1, sum_chunk, &s, 0) < 0 || s.left)
		return -1;
	check = fold(s.sum);
	if (check == 0)
		check = 0xffff;
	return bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(struct ipv6hdr) + 6, &check, 2, 0);
}

/* cut shortens a frame, which the kernel only does behind the network header. How long
 * it is then is for the caller to see. */
static __always_inline int cut(struct __sk_buff *skb, __u32 to)
{
	return skb->len > to ? bpf_skb_change_tail(skb, to, 0) : 0;
}

/* The most that bpf_skb_adjust_room adds or takes at a time. */
#define ROOM_STEP 0xfff

/* moving is a part of a frame on its way towards the end of it. */
struct moving {
	struct __sk_buff *skb;
	__u32 left; /* bytes behind the Ethernet header that are still to be moved */
	__u32 by;
};

/* move_chunk moves the last bytes that are left, which nobody reads again. */
static long move_chunk(__u32 i, struct moving *m)
{
	__u32 zero = 0, n = m->left;
	__u64 *to = bpf_map_lookup_elem(&chunk, &zero);

	if (!to || n == 0)
		return 1;
	if (n > CHUNK)
		n = CHUNK;
	if (bpf_skb_load_bytes(m->skb, ETH_HLEN + m->left - n, to, n) ||
	    bpf_skb_store_bytes(m->skb, ETH_HLEN + m->left - n + m->by, to, n, 0))
		return 1;
	m->left -= n;
	return m->left == 0;
}

struct resizing {
	struct __sk_buff *skb;
	__s32 left; /* bytes to add behind the Ethernet header, or to take away there */
};

static long resize(__u32 i, struct resizing *r)
{
	__s32 by = r->left;

	if (by > ROOM_STEP)
		by = ROOM_STEP;
	if (by < -ROOM_STEP)
		by = -ROOM_STEP;
	if (bpf_skb_adjust_room(r->skb, by, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_NO_CSUM_RESET))
		return 1;
	r->left -= by;
	return r->left == 0;
}

/* remake cuts a frame and makes room where the kernel refuses to: it neither shortens nor
 * wraps what it takes for wrapped, which a frame out of a tunnel device is, and cuts none
 * before the transport header. So what is to remain moves to the end of the frame, and
 * what is too much goes at the front. Before that there is room for the outer headers
 * then, but nothing tells the kernel that they are some: for a frame that is no
 * super-packet and has its checksums nobody asks. */
static __always_inline int remake(struct __sk_buff *skb, const struct plan *p, const struct copy *c, __u32 outer)
{
	const __s32 longer = sizeof(struct ipv6hdr) - sizeof(struct iphdr);
	__u32 part = c->length > c->header ? c->length - c->header : 0;
	struct moving m = { .skb = skb, .left = part };
	struct resizing r = { .skb = skb };

	if (skb->gso_size || skb->len < ETH_HLEN + part)
		return -1;
	m.by = skb->len - ETH_HLEN - part;
	if (m.by && m.left && (bpf_loop(0xffff / CHUNK + 1, move_chunk, &m, 0) < 0 || m.left))
		return -1;
	r.left = ETH_HLEN + outer + c->length - skb->len;
	/* From one protocol to the other the header that was grows or shrinks, too. */
	if (p->ipv6 && !c->inner6)
		r.left -= longer;
	if (!p->ipv6 && c->inner6)
		r.left += longer;
	if (r.left && (bpf_loop(2 * 0xffff / ROOM_STEP, resize, &r, 0) < 0 || r.left))
		return -1;
	if (!p->ipv6 == !c->inner6)
		return 0;
	return bpf_skb_change_proto(skb, p->ipv6 ? bpf_htons(ETH_P_IPV6) : bpf_htons(ETH_P_IP), 0);
}

/* make_room cuts a frame without tags and makes room before it for the outer headers and
 * its own Ethernet header. The cut comes first: behind it the kernel refuses. */
static __always_inline int make_room(struct __sk_buff *skb, const struct plan *p, const struct copy *c, __u32 outer)
{
	__u64 flags = BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_NO_CSUM_RESET;

	flags |= p->ipv6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4;
	if (c->length > c->header && !cut(skb, ETH_HLEN + c->length - c->header) &&
	    !bpf_skb_adjust_room(skb, outer + c->header, BPF_ADJ_ROOM_MAC, flags))
		return 0;
	return remake(skb, p, c, outer);
}

/* wrap turns a frame without tags into its copy. */
static __always_inline int wrap(struct __sk_buff *skb, const struct plan *p, const struct copy *c)
{
	__u32 inner = c->header, outer = overhead(p);

	if (inner < ETH_HLEN || inner > sizeof(c->ethernet) || make_room(skb, p, c, outer))
		return -1;
	if (!p->ipv6 && inner == ETH_HLEN && c->length >= ETH_HLEN)
		return wrap4(skb, p, c, 1);
	if (c->length < inner)
		inner = c->length;
	/* The verifier has to see each bound where it is used. */
	asm volatile("" : "+r"(inner));
	if (inner == 0 || inner > sizeof(c->ethernet) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + outer, c->ethernet, inner, 0))
		return -1;
	return p->ipv6 ? wrap6(skb, p, c) : wrap4(skb, p, c, 0);
}

/* wrap_super wraps a super-packet of TCP as it is: the device that it leaves by cuts it
 * into the frames of the wire, each in a wrapping of its own, or has the kernel do so. */
static __always_inline int wrap_super(struct __sk_buff *skb, const struct plan *p, struct copy *c)
{
	__u64 flags = BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) |
		      BPF_F_ADJ_ROOM_ENCAP_L2_ETH | BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET;
	const __u32 outer = sizeof(struct iphdr) + sizeof(struct udphdr) + sizeof(struct vxlan);

	if (bpf_skb_load_bytes(skb, 0, c->ethernet, ETH_HLEN) ||
	    bpf_skb_adjust_room(skb, outer + ETH_HLEN, BPF_ADJ_ROOM_MAC, flags))
		return -1;
	return wrap4(skb, p, c, 1);
}

#endif
