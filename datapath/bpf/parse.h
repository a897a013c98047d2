/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From bytes to struct packet. */
#ifndef SLUICE_PARSE_H
#define SLUICE_PARSE_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include "device.h"
#include "packet.h"

#define MAX_EXTENSIONS 8
#define MAX_VLAN_TAGS 2

enum parsed {
	PARSED, /* struct packet is filled */
	PARSED_OTHER, /* no IP, or what keeps a link going: not ours */
	PARSED_INVALID, /* IP, but malformed */
};

/* parse_link finds the IP header: its offset, or -1 where there is none. A tag that
 * the device took off the frame needs no treatment: the frame is without it. */
static __always_inline int parse_link(struct __sk_buff *skb, __u8 *family)
{
	__u32 off = ETH_HLEN;
	__u16 type;

	if (link_header == 0) {
		type = skb->protocol;
		off = 0;
	} else {
		void *data = (void *)(long)skb->data;
		void *end = (void *)(long)skb->data_end;

		if (data + ETH_HLEN > end) {
			if (bpf_skb_load_bytes(skb, ETH_HLEN - 2, &type, 2))
				return -1;
		} else {
			type = *(__u16 *)(data + ETH_HLEN - 2);
		}
		for (int i = 0; i < MAX_VLAN_TAGS; i++) {
			if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
				break;
			if (bpf_skb_load_bytes(skb, off + 2, &type, 2))
				return -1;
			off += 4;
		}
	}
	if (type == bpf_htons(ETH_P_IP))
		*family = FAMILY_IPV4;
	else if (type == bpf_htons(ETH_P_IPV6))
		*family = FAMILY_IPV6;
	else
		return -1;
	return off;
}

/* measure finds how many packets of which size this is on the wire. A super-packet
 * counts as what it will be cut into (or was put together from): each segment has
 * headers of its own. */
static __always_inline void measure(struct __sk_buff *skb, struct packet *p, __u32 header)
{
	__u32 total = p->end - p->l3, size = skb->gso_size, segments;

	p->packets = 1;
	p->bytes = total;
	if (size == 0)
		return;
	header += p->l4 - p->l3;
	segments = skb->gso_segs;
	if (segments == 0 && total > header)
		segments = (total - header + size - 1) / size;
	if (segments <= 1)
		return;
	p->packets = segments;
	p->bytes = total + (segments - 1) * header;
}

static __always_inline int parse_tcp(struct __sk_buff *skb, struct packet *p)
{
	__u32 h[5], header;

	if (p->l4 + 20 > p->end || load_words(skb, p->l4, h, 20))
		return PARSED_INVALID;
	header = (h[3] & 0xf0) >> 2;
	if (header < 20 || p->l4 + header > p->end)
		return PARSED_INVALID;
	p->key.sport = bpf_ntohs(h[0] & 0xffff);
	p->key.dport = bpf_ntohs(h[0] >> 16);
	p->seq = bpf_ntohl(h[1]);
	p->ack = bpf_ntohl(h[2]);
	p->flags = h[3] >> 8;
	p->check = h[4] & 0xffff;
	p->payload = p->end - p->l4 - header;
	measure(skb, p, header);
	return PARSED;
}

static __always_inline int parse_ports(struct __sk_buff *skb, struct packet *p, __u32 header)
{
	__u32 ports;

	if (p->l4 + header > p->end || load_words(skb, p->l4, &ports, 4))
		return PARSED_INVALID;
	p->key.sport = bpf_ntohs(ports & 0xffff);
	p->key.dport = bpf_ntohs(ports >> 16);
	measure(skb, p, header);
	return PARSED;
}

/* The first chunk tells whether an association begins or ends. */
static __always_inline int parse_sctp(struct __sk_buff *skb, struct packet *p)
{
	__u32 chunk;

	if (parse_ports(skb, p, 12) != PARSED)
		return PARSED_INVALID;
	if (p->l4 + 16 <= p->end && !load_words(skb, p->l4 + 12, &chunk, 4))
		p->chunk = chunk & 0xff;
	return PARSED;
}

/* forwarded tells whether the host would send an IPv6 packet that has just come in on
 * to somebody else. */
static __always_inline int forwarded(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_fib_lookup fib = { .family = 10 /* AF_INET6 */, .ifindex = skb->ifindex };
	__u8 first = p->key.dst[0] & 0xff, second = p->key.dst[0] >> 8 & 0xff;

	if (first == 0xff || (first == 0xfe && (second & 0xc0) == 0x80))
		return 0; /* multicast and link-local addresses stay on the link */
	__builtin_memcpy(fib.ipv6_src, p->key.src, 16);
	__builtin_memcpy(fib.ipv6_dst, p->key.dst, 16);
	switch (bpf_fib_lookup(skb, &fib, sizeof(fib), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
		return 1;
	}
	return 0;
}

/* from_link tells a source that can only be on this link: fe80::/10, or ::. */
static __always_inline int from_link(const struct packet *p)
{
	__u8 first = p->key.src[0] & 0xff, second = p->key.src[0] >> 8 & 0xff;

	return (first == 0xfe && (second & 0xc0) == 0x80) || !(p->key.src[0] | p->key.src[1]);
}

/* keeps_link tells neighbour discovery (RFC 4861, types 133 to 137) and multicast
 * listener discovery (RFC 2710 and 3810, 130 to 132 and 143): they have to work whatever
 * the policy says, as ARP does. Their hop limits show that no router passed them on, and
 * none must do so now: under their types anything could be carried past the policy. */
static __always_inline int keeps_link(struct __sk_buff *skb, const struct packet *p, __u8 type)
{
	if (type >= 133 && type <= 137)
		return p->hops == 255 && (!at_ingress || !forwarded(skb, p));
	/* At egress a packet with a hop limit of 1 may have come in with 2. No router passes
	 * on what comes from a link-local address or from none. */
	return ((type >= 130 && type <= 132) || type == 143) && p->hops == 1 && from_link(p);
}

/* The types of ICMP errors: RFC 792 (3 unreachable, 4 quench, 5 redirect, 11 time
 * exceeded, 12 parameter problem), RFC 4443 (below 128). */
static __always_inline int parse_icmp(struct __sk_buff *skb, struct packet *p)
{
	__u32 h;
	__u8 type;

	if (p->l4 + 4 > p->end || load_words(skb, p->l4, &h, 4))
		return PARSED_INVALID;
	type = h & 0xff;
	if (p->key.protocol == PROTO_ICMPV6) {
		if (keeps_link(skb, p, type))
			return PARSED_OTHER;
		p->icmp_error = type < 128;
	} else {
		p->icmp_error = type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
	}
	measure(skb, p, 8);
	return PARSED;
}

static __always_inline int parse_transport(struct __sk_buff *skb, struct packet *p)
{
	if (p->fragment == FRAGMENT_LATER) {
		measure(skb, p, 0);
		return PARSED;
	}
	switch (p->key.protocol) {
	case PROTO_TCP:
		return parse_tcp(skb, p);
	case PROTO_UDP:
		return parse_ports(skb, p, 8);
	case PROTO_SCTP:
		return parse_sctp(skb, p);
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		/* The one in the other's family is a protocol like any other. */
		if ((p->key.protocol == PROTO_ICMP) == (p->key.family == FAMILY_IPV4))
			return parse_icmp(skb, p);
	}
	measure(skb, p, 0);
	return PARSED;
}

static __always_inline int parse_ipv4(struct __sk_buff *skb, struct packet *p)
{
	__u32 h[5], header, total, offset;

	if (load_words(skb, p->l3, h, 20))
		return PARSED_INVALID;
	header = (h[0] & 0xf) << 2;
	total = bpf_ntohs(h[0] >> 16);
	/* A super-packet beyond 64 KiB says 0. */
	if (total == 0 && skb->gso_size)
		total = skb->len - p->l3;
	if ((h[0] & 0xf0) != 0x40 || header < 20 || total < header || p->l3 + total > skb->len)
		return PARSED_INVALID;
	p->l4 = p->l3 + header;
	p->end = p->l3 + total;
	p->key.protocol = h[2] >> 8;
	set_ipv4(p->key.src, h[3]);
	set_ipv4(p->key.dst, h[4]);
	offset = bpf_ntohs(h[1] >> 16);
	if (offset & 0x3fff) {
		p->fragment_id = h[1] & 0xffff;
		offset &= 0x1fff;
		p->fragment = offset ? FRAGMENT_LATER : FRAGMENT_FIRST;
		/* The second fragment of a header that was cut in two could rewrite
		 * what the first one said (RFC 1858 §3). */
		if (offset == 1 && p->key.protocol == PROTO_TCP)
			return PARSED_INVALID;
	}
	return parse_transport(skb, p);
}

/* The functions below that are not static are so that the verifier proves each of them
 * once, for any argument, and not anew for each path that leads to a call. */

/* walk_extensions goes from the first extension header to the transport header. It
 * stops behind the fragment header of a later fragment. */
__noinline int walk_extensions(struct __sk_buff *skb, struct packet *p)
{
	__u8 next;
	__u32 off;

	if (!p)
		return PARSED_INVALID;
	next = p->key.protocol;
	off = p->l4;

	for (int i = 0; i <= MAX_EXTENSIONS; i++) {
		__u8 h[8];
		__u16 fragment;

		if (next != PROTO_HOPOPTS && next != PROTO_ROUTING && next != PROTO_FRAGMENT &&
		    next != PROTO_DSTOPTS && next != PROTO_AH) {
			p->key.protocol = next;
			p->l4 = off;
			return PARSED;
		}
		if (i == MAX_EXTENSIONS || off + 8 > p->end || bpf_skb_load_bytes(skb, off, h, 8))
			return PARSED_INVALID;
		if (next == PROTO_FRAGMENT) {
			fragment = (__u16)h[2] << 8 | h[3];
			off += 8;
			if (fragment & 0xfff9) {
				p->fragment = fragment & 0xfff8 ? FRAGMENT_LATER : FRAGMENT_FIRST;
				__builtin_memcpy(&p->fragment_id, h + 4, 4);
			}
			if (fragment & 0xfff8) {
				p->key.protocol = h[0];
				p->l4 = off;
				return fragment >> 3 == 1 && h[0] == PROTO_TCP ? PARSED_INVALID : PARSED;
			}
		} else if (next == PROTO_AH) {
			/* Its length is in words of four bytes, minus two (RFC 4302). */
			off += ((__u32)h[1] + 2) << 2;
		} else {
			off += ((__u32)h[1] + 1) << 3;
		}
		if (off > p->end)
			return PARSED_INVALID;
		next = h[0];
	}
	return PARSED_INVALID;
}

static __always_inline int parse_ipv6(struct __sk_buff *skb, struct packet *p)
{
	__u32 h[10], total;
	__u8 next;

	if (load_words(skb, p->l3, h, 40) || (h[0] & 0xf0) != 0x60)
		return PARSED_INVALID;
	total = bpf_ntohs(h[1] & 0xffff);
	next = h[1] >> 16;
	p->hops = h[1] >> 24;
	/* A jumbogram, or a super-packet beyond 64 KiB, says 0 (RFC 2675 §3). */
	if (total == 0 && (skb->gso_size || next == PROTO_HOPOPTS))
		total = skb->len - p->l3;
	else
		total += 40;
	if (total < 40 || p->l3 + total > skb->len)
		return PARSED_INVALID;
	p->l4 = p->l3 + 40;
	p->end = p->l3 + total;
	p->key.protocol = next;
	p->key.src[0] = pair(h[2], h[3]);
	p->key.src[1] = pair(h[4], h[5]);
	p->key.dst[0] = pair(h[6], h[7]);
	p->key.dst[1] = pair(h[8], h[9]);
	if (walk_extensions(skb, p) != PARSED)
		return PARSED_INVALID;
	return parse_transport(skb, p);
}

/* parse fills p, which must be zeroed but for its endpoint. */
__noinline int parse(struct __sk_buff *skb, struct packet *p)
{
	int l3;

	if (!p)
		return PARSED_OTHER;
	l3 = parse_link(skb, &p->key.family);
	if (l3 < 0)
		return PARSED_OTHER;
	p->l3 = l3;
	/* What stands in these when the packet is malformed is counted. */
	p->packets = 1;
	p->bytes = skb->len > p->l3 ? skb->len - p->l3 : 0;
	if (p->key.family == FAMILY_IPV4)
		return parse_ipv4(skb, p);
	return parse_ipv6(skb, p);
}

#endif
