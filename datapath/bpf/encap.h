/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a frame to a copy in VXLAN (RFC 7348) on its way to a target. */
#ifndef SLUICE_ENCAP_H
#define SLUICE_ENCAP_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include "mirror_maps.h"
#include "packet.h"
#include "plan.h"

#define VLAN_TAG 4
#define MAX_TAGS 3

struct outer6 {
	__u8 reserved[2];
	struct ethhdr ethernet;
	struct ipv6hdr ip;
	struct udphdr udp;
	struct vxlan vxlan;
};

_Static_assert(sizeof(struct outer6) == 2 + 14 + 40 + 8 + 8, "nothing between the headers");

/* What a copy is going to be. */
struct copy {
	__u32 vni;
	__u32 length; /* bytes of the frame that go */
	__u32 header; /* bytes of its Ethernet header, tags included */
	__u8 ethernet[ETH_HLEN + MAX_TAGS * VLAN_TAG]; /* that header; only for frames with tags */
	__u8 tagged;
	__u8 inner6;
};

/* note_addresses notes those of the frame as it was on the wire. */
static __always_inline int note_addresses(struct __sk_buff *skb, const struct plan *p, struct copy *c)
{
	if (bpf_skb_load_bytes(skb, 0, c->ethernet, 2 * ETH_ALEN))
		return -1;
	if (p->hidden)
		__builtin_memcpy(c->ethernet, p->outer.inner.h_dest, ETH_ALEN);
	return 0;
}

/* take_tags takes VLAN tags off the frame, from where the device put them beside it as
 * well as from within, and notes the Ethernet header as it was on the wire. */
static __always_inline int take_tags(struct __sk_buff *skb, const struct plan *p, struct copy *c)
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
			c->inner6 = e->h_proto == bpf_htons(ETH_P_IPV6);
			return 0;
		}
	}
	c->tagged = 1;
	if (note_addresses(skb, p, c))
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

/* wrap4 writes the outer headers, and the frame's own Ethernet header behind them unless
 * that is there already. */
static __always_inline int wrap4(struct __sk_buff *skb, const struct plan *p, const struct copy *c, int with_inner)
{
	const __u32 udp = sizeof(struct udphdr) + sizeof(struct vxlan) + c->length, ip = sizeof(struct iphdr) + udp;
	const __u32 bytes = offsetof(struct outer4, inner) + (with_inner ? ETH_HLEN : 0);
	const __u64 *from = (const __u64 *)&p->outer;
	struct outer4 *o;

	if ((void *)(long)skb->data + bytes > (void *)(long)skb->data_end && bpf_skb_pull_data(skb, bytes))
		return -1;
	o = (void *)(long)skb->data;
	if ((void *)o + bytes > (void *)(long)skb->data_end)
		return -1;
	/* In words: the compiler knows of no alignment in a packet, and would take bytes. */
#pragma unroll
	for (__u32 i = 0; i < bytes / 8; i++)
		((__u64 *)o)[i] = from[i];
	if (!with_inner)
		((__u16 *)o)[bytes / 2 - 1] = ((const __u16 *)from)[bytes / 2 - 1];
	o->ip.tot_len = bpf_htons(ip);
	o->ip.check = fold(p->outer_sum + bpf_htons(ip));
	o->udp.len = bpf_htons(udp);
	return 0;
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
 * its own Ethernet header. The cut comes first: behind it the kernel may refuse. That there
 * is another packet inside the kernel is told only where its protocol has to change for
 * that: for a frame that is no super-packet and has its checksums nobody else asks. */
static __always_inline int make_room(struct __sk_buff *skb, const struct plan *p, const struct copy *c, __u32 outer)
{
	__u64 flags = BPF_F_ADJ_ROOM_NO_CSUM_RESET;

	if (!p->ipv6 != !c->inner6)
		flags |= BPF_F_ADJ_ROOM_ENCAP_L4_UDP | (p->ipv6 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV4);
	if (c->length > c->header && !cut(skb, ETH_HLEN + c->length - c->header) &&
	    !bpf_skb_adjust_room(skb, outer + c->header, BPF_ADJ_ROOM_MAC, flags))
		return 0;
	return remake(skb, p, c, outer);
}

/* wrap turns a frame without tags into its copy. */
static __always_inline int wrap(struct __sk_buff *skb, const struct plan *p, struct copy *c)
{
	__u32 inner = c->header, outer = overhead(p);

	if (!p->ipv6 && !c->tagged && c->length >= ETH_HLEN)
		return make_room(skb, p, c, outer) ? -1 : wrap4(skb, p, c, 1);
	if (!c->tagged && (note_addresses(skb, p, c) || bpf_skb_load_bytes(skb, 12, c->ethernet + 12, 2)))
		return -1;
	if (inner < ETH_HLEN || inner > sizeof(c->ethernet) || make_room(skb, p, c, outer))
		return -1;
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

	if (bpf_skb_adjust_room(skb, overhead(p) + ETH_HLEN, BPF_ADJ_ROOM_MAC, flags))
		return -1;
	return wrap4(skb, p, c, 1);
}

#endif
