/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ports of later fragments, which only the first one has. */
#ifndef SLUICE_FRAGMENT_H
#define SLUICE_FRAGMENT_H

#include "maps.h"
#include "packet.h"

/* How long the fragments of a datagram may take (Linux: net.ipv4.ipfrag_time), ns. */
#define FRAGMENT_LIFETIME 30000000000ULL

static __always_inline void fragment_key(struct fragment_key *k, const struct packet *p)
{
	__builtin_memset(k, 0, sizeof(*k));
	k->src[0] = p->key.src[0];
	k->src[1] = p->key.src[1];
	k->dst[0] = p->key.dst[0];
	k->dst[1] = p->key.dst[1];
	k->id = p->fragment_id;
	k->protocol = p->key.family == FAMILY_IPV4 ? p->key.protocol : 0;
	k->family = p->key.family;
	k->endpoint = p->key.endpoint;
}

/* remember_fragment keeps what a first fragment said, once it has passed. */
static __noinline int remember_fragment(const struct packet *p, __u64 now)
{
	struct fragment f = {
		.at = now,
		.sport = p->key.sport,
		.dport = p->key.dport,
		.protocol = p->key.protocol,
	};
	struct fragment_key k;

	fragment_key(&k, p);
	return bpf_map_update_elem(&fragments, &k, &f, BPF_ANY);
}

/* recall_fragment completes the key of a later fragment: 0, or -1 when its first one
 * has not been seen or did not pass. */
static __noinline int recall_fragment(struct packet *p, __u64 now)
{
	struct fragment_key k;
	struct fragment *f;

	fragment_key(&k, p);
	f = bpf_map_lookup_elem(&fragments, &k);
	if (!f || (__s64)(now - f->at) > (__s64)FRAGMENT_LIFETIME)
		return -1;
	p->key.sport = f->sport;
	p->key.dport = f->dport;
	p->key.protocol = f->protocol;
	return 0;
}

#endif
