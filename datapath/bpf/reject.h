/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A TCP segment turned into the RST that answers it (RFC 9293 §3.5.2, §3.10.7.1). */
#ifndef SLUICE_REJECT_H
#define SLUICE_REJECT_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include "maps.h"
#include "packet.h"

#define TCP_HEADER 20
#define RESET_TTL 64

/* can_reject tells whether a segment can be turned into its answer where it lies: a
 * fragment, or one behind IPv6 extension headers, would carry these along. */
static __always_inline int can_reject(const struct packet *p)
{
	return p->fragment == FRAGMENT_NONE && (p->key.family == FAMILY_IPV4 || p->l4 == p->l3 + 40);
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* pseudo_sum is the folded sum of the pseudo header, the same for both directions. */
static __always_inline __u16 pseudo_sum(const struct packet *p, __u32 length)
{
	__be32 h[10] = {};
	__s64 sum;

	h[0] = p->key.src[0];
	h[1] = p->key.src[0] >> 32;
	/* The ::ffff of a mapped address is no part of the IPv4 pseudo header. */
	h[2] = p->key.family == FAMILY_IPV6 ? (__u32)p->key.src[1] : 0;
	h[3] = p->key.src[1] >> 32;
	h[4] = p->key.dst[0];
	h[5] = p->key.dst[0] >> 32;
	h[6] = p->key.family == FAMILY_IPV6 ? (__u32)p->key.dst[1] : 0;
	h[7] = p->key.dst[1] >> 32;
	h[8] = bpf_htonl(length);
	h[9] = bpf_htonl(PROTO_TCP);
	sum = bpf_csum_diff(NULL, 0, h, sizeof(h), 0);
	return fold(sum);
}

/* replace16 changes a field of the IPv4 header and mends the checksum. */
static __always_inline int replace16(struct __sk_buff *skb, __u32 l3, __u32 at, __u16 to)
{
	__u16 from;

	if (bpf_skb_load_bytes(skb, l3 + at, &from, 2))
		return -1;
	if (bpf_skb_store_bytes(skb, l3 + at, &to, 2, 0))
		return -1;
	return bpf_l3_csum_replace(skb, l3 + 10, from, to, 2);
}

static __always_inline int turn_ipv4(struct __sk_buff *skb, const struct packet *p)
{
	__u32 addr[2] = { p->key.dst[1] >> 32, p->key.src[1] >> 32 };

	if (replace16(skb, p->l3, 2, bpf_htons(p->l4 - p->l3 + TCP_HEADER)) ||
	    replace16(skb, p->l3, 4, 0) || replace16(skb, p->l3, 6, bpf_htons(0x4000)) ||
	    replace16(skb, p->l3, 8, bpf_htons(RESET_TTL << 8 | PROTO_TCP)))
		return -1;
	return bpf_skb_store_bytes(skb, p->l3 + 12, addr, 8, 0);
}

static __always_inline int turn_ipv6(struct __sk_buff *skb, const struct packet *p)
{
	__u64 addr[4] = { p->key.dst[0], p->key.dst[1], p->key.src[0], p->key.src[1] };
	__u16 length = bpf_htons(p->l4 - p->l3 - 40 + TCP_HEADER);
	__u8 hops = RESET_TTL;

	if (bpf_skb_store_bytes(skb, p->l3 + 4, &length, 2, BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_store_bytes(skb, p->l3 + 7, &hops, 1, BPF_F_RECOMPUTE_CSUM))
		return -1;
	return bpf_skb_store_bytes(skb, p->l3 + 8, addr, 32, BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int turn_link(struct __sk_buff *skb)
{
	__u8 from[2 * ETH_ALEN], to[2 * ETH_ALEN];

	if (link_header == 0)
		return 0;
	if (bpf_skb_load_bytes(skb, 0, from, sizeof(from)))
		return -1;
	__builtin_memcpy(to, from + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(to + ETH_ALEN, from, ETH_ALEN);
	return bpf_skb_store_bytes(skb, 0, to, sizeof(to), 0);
}

static __always_inline int turn_tcp(struct __sk_buff *skb, const struct packet *p, int partial)
{
	__u16 sum = pseudo_sum(p, TCP_HEADER);
	__u32 h[5], flags;

	h[0] = bpf_htons(p->key.dport) | (__u32)bpf_htons(p->key.sport) << 16;
	if (p->flags & TCP_ACK) {
		h[1] = bpf_htonl(p->ack);
		h[2] = 0;
		flags = TCP_RST;
	} else {
		h[1] = 0;
		h[2] = bpf_htonl(p->seq + p->payload + !!(p->flags & TCP_SYN) + !!(p->flags & TCP_FIN));
		flags = TCP_RST | TCP_ACK;
	}
	h[3] = bpf_htonl(TCP_HEADER / 4 << 28 | flags << 16);
	h[4] = 0;
	/* Where the device is to finish the checksum it wants the sum of the pseudo
	 * header there; where not, the whole one. */
	if (partial)
		h[4] = sum;
	else
		h[4] = (__u16)~fold(bpf_csum_diff(NULL, 0, h, sizeof(h), sum));
	return bpf_skb_store_bytes(skb, p->l4, h, sizeof(h), BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH);
}

/* reject answers a segment with a RST to its sender and returns the action of the
 * program, or -1 when that can't be done. The packet must not be a RST itself. */
__noinline int reject(struct __sk_buff *skb, const struct packet *p)
{
	int partial;

	if (!p)
		return -1;
	/* The kernel doesn't say whether a checksum is still to be finished; but then
	 * its field holds the sum of the pseudo header. */
	partial = skb->gso_size || p->check == pseudo_sum(p, p->end - p->l4);
	if (bpf_skb_change_tail(skb, p->l4 + TCP_HEADER, 0))
		return -1;
	if (turn_link(skb))
		return -1;
	if (p->key.family == FAMILY_IPV4 ? turn_ipv4(skb, p) : turn_ipv6(skb, p))
		return -1;
	if (turn_tcp(skb, p, partial))
		return -1;
	if (at_ingress)
		return bpf_redirect(skb->ifindex, 0);
	/* Its way back leads through our own program at ingress. */
	skb->mark = reset_mark;
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

#endif
