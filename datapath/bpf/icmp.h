/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* ICMP errors and the flow that they speak of. */
#ifndef SLUICE_ICMP_H
#define SLUICE_ICMP_H

#include "parse.h"
#include "table.h"

/* embedded_key reads the key of the packet that an ICMP error carries: its IP header
 * and at least eight bytes more (RFC 792, RFC 4443 §3). 0, or -1. */
static __always_inline int embedded_key(struct __sk_buff *skb, const struct packet *p, struct packet *in)
{
	__u32 h[10], ports;

	in->key.family = p->key.family;
	in->key.endpoint = p->key.endpoint;
	in->l3 = p->l4 + 8;
	in->end = p->end;
	if (p->key.family == FAMILY_IPV4) {
		if (in->l3 + 20 > p->end || bpf_skb_load_bytes(skb, in->l3, h, 20) ||
		    (h[0] & 0xf0) != 0x40 || (h[0] & 0xf) < 5)
			return -1;
		in->l4 = in->l3 + ((h[0] & 0xf) << 2);
		in->key.protocol = h[2] >> 8;
		set_ipv4(in->key.src, h[3]);
		set_ipv4(in->key.dst, h[4]);
		if (h[1] & 0xff1f0000)
			in->fragment = FRAGMENT_LATER;
	} else {
		if (in->l3 + 40 > p->end || bpf_skb_load_bytes(skb, in->l3, h, 40) ||
		    (h[0] & 0xf0) != 0x60)
			return -1;
		in->l4 = in->l3 + 40;
		in->key.protocol = h[1] >> 16;
		in->key.src[0] = pair(h[2], h[3]);
		in->key.src[1] = pair(h[4], h[5]);
		in->key.dst[0] = pair(h[6], h[7]);
		in->key.dst[1] = pair(h[8], h[9]);
		if (walk_extensions(skb, in) != PARSED)
			return -1;
	}
	/* It goes back to the sender of what it carries, or it is none of that flow's. */
	if (in->key.src[0] != p->key.dst[0] || in->key.src[1] != p->key.dst[1])
		return -1;
	if (in->key.protocol != PROTO_TCP && in->key.protocol != PROTO_UDP && in->key.protocol != PROTO_SCTP)
		return 0;
	if (in->fragment == FRAGMENT_LATER || in->l4 + 4 > in->end ||
	    bpf_skb_load_bytes(skb, in->l4, &ports, 4))
		return -1;
	in->key.sport = bpf_ntohs(ports & 0xffff);
	in->key.dport = bpf_ntohs(ports >> 16);
	return 0;
}

/* related accounts an ICMP error to the flow that it speaks of and returns 1, or 0 where
 * there is none. The error travels against the packet that it carries, and is no sign
 * of life of the flow: it changes neither state nor time. */
__noinline int related(struct __sk_buff *skb, const struct packet *p, __u64 now)
{
	struct packet in = {};
	struct flow_place at = {};
	struct flow *f;

	if (!p || embedded_key(skb, p, &in))
		return 0;
	f = flow_find(&in.key, &at, now);
	if (!f)
		return 0;
	account(f, p, at.direction ^ 1);
	return 1;
}

#endif
