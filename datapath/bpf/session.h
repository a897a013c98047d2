/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which session mirrors a packet, if any. */
#ifndef SLUICE_SESSION_H
#define SLUICE_SESSION_H

#include <bpf/bpf_endian.h>
#include "device.h"
#include "mirror_maps.h"
#include "packet.h"

#define PORT_DNS 53
#define PORT_VXLAN 4789

#define IPV4(a, b, c, d) bpf_htonl((__u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

/* has_ports tells whether the ports of a packet stand in p. */
static __always_inline int has_ports(const struct packet *p, int parsed)
{
	return parsed == PARSED && p->fragment != FRAGMENT_LATER &&
	       (p->key.protocol == PROTO_TCP || p->key.protocol == PROTO_UDP);
}

/* The link-local services of an instance: metadata, time, activation. */
static __always_inline int is_service(__u8 family, const __u64 *a)
{
	if (family == FAMILY_IPV4) {
		__u32 v4 = a[1] >> 32;

		return v4 == IPV4(169, 254, 169, 254) || v4 == IPV4(169, 254, 169, 123) ||
		       v4 == IPV4(169, 254, 169, 250) || v4 == IPV4(169, 254, 169, 251);
	}
	if (a[0] != pair(bpf_htonl(0xfd000ec2), 0))
		return 0;
	return a[1] == pair(0, bpf_htonl(0x254)) || a[1] == pair(0, bpf_htonl(0x123)) ||
	       a[1] == pair(0, bpf_htonl(0x250)) || a[1] == pair(0, bpf_htonl(0x251));
}

/* is_path tells the outer addresses of copies that this host sends. Where a source has
 * no address, the route chooses one, and the target alone tells them. */
static __always_inline int is_path(struct path *k)
{
	if (bpf_map_lookup_elem(&paths, k))
		return 1;
	k->src[0] = 0;
	k->src[1] = 0;
	return bpf_map_lookup_elem(&paths, k) != NULL;
}

/* quotes_copy tells an ICMP error about one of our copies, such as a target sends where
 * nobody listens. Its own copy would be answered likewise, without end. */
__noinline int quotes_copy(struct __sk_buff *skb, const struct packet *p)
{
	__u32 h[10], l3, l4, ports;
	struct path k = {};

	if (!p || !p->icmp_error)
		return 0;
	l3 = p->l4 + 8;
	if (p->key.family == FAMILY_IPV4) {
		if (bpf_skb_load_bytes(skb, l3, h, 20) || (h[0] & 0xf0) != 0x40 || (h[2] >> 8 & 0xff) != PROTO_UDP)
			return 0;
		l4 = l3 + ((h[0] & 0xf) << 2);
		set_ipv4(k.src, h[3]);
		set_ipv4(k.dst, h[4]);
	} else {
		if (bpf_skb_load_bytes(skb, l3, h, 40) || (h[0] & 0xf0) != 0x60 || (h[1] >> 16 & 0xff) != PROTO_UDP)
			return 0;
		l4 = l3 + 40;
		k.src[0] = pair(h[2], h[3]);
		k.src[1] = pair(h[4], h[5]);
		k.dst[0] = pair(h[6], h[7]);
		k.dst[1] = pair(h[8], h[9]);
	}
	if (bpf_skb_load_bytes(skb, l4, &ports, 4) || bpf_ntohs(ports >> 16) != PORT_VXLAN)
		return 0;
	return is_path(&k);
}

/* is_never_mirrored tells of DHCP and of the services above, which no rule reaches, and
 * of copies that come from elsewhere on this host. */
static __always_inline int is_never_mirrored(const struct packet *p, int ports)
{
	__u16 s = p->key.sport, d = p->key.dport;

	if (is_service(p->key.family, p->key.src) || is_service(p->key.family, p->key.dst))
		return 1;
	if (p->key.protocol != PROTO_UDP || !ports)
		return 0;
	if (p->key.family == FAMILY_IPV4 ? (s == 67 || s == 68) && (d == 67 || d == 68) :
					   (s == 546 || s == 547) && (d == 546 || d == 547))
		return 1;
	if (d == PORT_VXLAN) {
		struct path k = {
			.src = { p->key.src[0], p->key.src[1] },
			.dst = { p->key.dst[0], p->key.dst[1] },
		};

		return is_path(&k);
	}
	return 0;
}

/* is_resolver_traffic tells of DNS with a resolver of the session. Later fragments have
 * no ports; with a resolver they are parts of an answer. */
static __always_inline int is_resolver_traffic(const struct session *s, const struct packet *p, int ports)
{
	int from = 0, to = 0;

	if (p->key.protocol != PROTO_UDP && p->key.protocol != PROTO_TCP)
		return 0;
	for (__u32 i = 0; i < RESOLVERS_PER_SESSION; i++) {
		if (i >= s->resolvers)
			break;
		if (p->key.family != s->resolver_family[i])
			continue;
		from |= p->key.src[0] == s->resolver[i][0] && p->key.src[1] == s->resolver[i][1];
		to |= p->key.dst[0] == s->resolver[i][0] && p->key.dst[1] == s->resolver[i][1];
	}
	if (!ports)
		return from || to;
	return (from && p->key.sport == PORT_DNS) || (to && p->key.dport == PORT_DNS);
}

static __always_inline int rule_matches(const struct rule *r, const struct packet *p, int ports)
{
	if (r->family != p->key.family)
		return 0;
	if (r->protocol != ANY_PROTOCOL && r->protocol != p->key.protocol)
		return 0;
	if ((p->key.src[0] & r->src_mask[0]) != r->src[0] || (p->key.src[1] & r->src_mask[1]) != r->src[1] ||
	    (p->key.dst[0] & r->dst_mask[0]) != r->dst[0] || (p->key.dst[1] & r->dst_mask[1]) != r->dst[1])
		return 0;
	if (!r->ports)
		return 1;
	return ports && p->key.sport >= r->sport_from && p->key.sport <= r->sport_to &&
	       p->key.dport >= r->dport_from && p->key.dport <= r->dport_to;
}

/* The functions below are not static so that the verifier proves each of them once, for
 * any argument. */

/* accepts tells whether a session mirrors a packet. */
__noinline int accepts(const struct session *s, const struct packet *p, int ports)
{
	__u32 direction = at_ingress ? 1 : 0;

	if (!s || !p)
		return 0;
	if (is_resolver_traffic(s, p, ports))
		return s->dns;
	for (__u32 i = 0; i < RULES_PER_DIRECTION; i++) {
		const struct rule *r;

		if (i >= s->rules[direction])
			break;
		r = &s->rule[direction][i];
		if (rule_matches(r, p, ports))
			return r->accept;
	}
	return 0;
}

/* session_of finds the first session that mirrors a packet, or returns
 * SESSIONS_PER_SOURCE. One that rejects it leaves it to the next. */
__noinline __u32 session_of(const struct source *src, const struct packet *p, int ports)
{
	if (!src || !p)
		return SESSIONS_PER_SOURCE;
	for (__u32 i = 0; i < SESSIONS_PER_SOURCE; i++) {
		if (i >= src->sessions)
			break;
		if (accepts(&src->session[i], p, ports))
			return i;
	}
	return SESSIONS_PER_SOURCE;
}

#endif
