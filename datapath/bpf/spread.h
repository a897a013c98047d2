/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A hash of flows that is the same for both directions, on every host and for ever. */
#ifndef SLUICE_SPREAD_H
#define SLUICE_SPREAD_H

#include "packet.h"

/* The finalizer of MurmurHash3 (A. Appleby, public domain). */
static __always_inline __u64 mix64(__u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	return x ^ x >> 33;
}

/* spread is of addresses, protocol and ports where a packet has them; fragments have
 * none, not even the first, so that a datagram stays together. */
static __always_inline __u32 spread(const struct packet *p, int ports)
{
	__u64 sport = 0, dport = 0, a, b;

	if (ports && p->fragment == FRAGMENT_NONE) {
		sport = p->key.sport;
		dport = p->key.dport;
	}
	a = mix64(p->key.src[0] ^ mix64(p->key.src[1] + sport));
	b = mix64(p->key.dst[0] ^ mix64(p->key.dst[1] + dport));
	return mix64(a + b + p->key.protocol) >> 32;
}

#endif
