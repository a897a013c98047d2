/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF") over the
 * key of a flow without its direction: who doesn't know the seed can't choose
 * packets that fall into one bucket. */
#ifndef SLUICE_HASH_H
#define SLUICE_HASH_H

#include "maps.h"

static __always_inline __u64 rotate(__u64 x, const int n)
{
	return x << n | x >> (64 - n);
}

#define SIP_ROUND(v0, v1, v2, v3)  \
	do {                       \
		v0 += v1;          \
		v2 += v3;          \
		v1 = rotate(v1, 13) ^ v0; \
		v3 = rotate(v3, 16) ^ v2; \
		v0 = rotate(v0, 32); \
		v2 += v1;          \
		v0 += v3;          \
		v1 = rotate(v1, 17) ^ v2; \
		v3 = rotate(v3, 21) ^ v0; \
		v2 = rotate(v2, 32); \
	} while (0)

#define SIP_WORD(m)                          \
	do {                                 \
		v3 ^= (m);                   \
		SIP_ROUND(v0, v1, v2, v3);   \
		v0 ^= (m);                   \
	} while (0)

/* key_hash is the same for both directions: the side with the smaller address, or
 * the smaller port, comes first. The constants of IPv4 addresses are left out. */
static __always_inline __u64 key_hash(const struct flow_key *k)
{
	__u64 v0 = seed0 ^ 0x736f6d6570736575ULL;
	__u64 v1 = seed1 ^ 0x646f72616e646f6dULL;
	__u64 v2 = seed0 ^ 0x6c7967656e657261ULL;
	__u64 v3 = seed1 ^ 0x7465646279746573ULL;
	__u64 rest = (__u64)k->protocol << 32 | (__u64)k->family << 40 | (__u64)k->endpoint << 48;
	__u64 forward = k->sport | (__u32)k->dport << 16;
	__u64 backward = k->dport | (__u32)k->sport << 16;
	__u64 last;

	if (k->family == FAMILY_IPV4) {
		__u64 a = k->src[1] >> 32, b = k->dst[1] >> 32;
		int swap = a > b || (a == b && k->sport > k->dport);

		rest |= swap ? backward : forward;
		SIP_WORD(swap ? b << 32 | a : a << 32 | b);
		last = 16ULL << 56;
	} else {
		int swap = k->src[0] > k->dst[0] ||
			   (k->src[0] == k->dst[0] &&
			    (k->src[1] > k->dst[1] || (k->src[1] == k->dst[1] && k->sport > k->dport)));
		__u64 a0 = swap ? k->dst[0] : k->src[0], a1 = swap ? k->dst[1] : k->src[1];
		__u64 b0 = swap ? k->src[0] : k->dst[0], b1 = swap ? k->src[1] : k->dst[1];

		rest |= swap ? backward : forward;
		SIP_WORD(a0);
		SIP_WORD(a1);
		SIP_WORD(b0);
		SIP_WORD(b1);
		last = 40ULL << 56;
	}
	SIP_WORD(rest);
	SIP_WORD(last);
	v2 ^= 0xff;
	SIP_ROUND(v0, v1, v2, v3);
	SIP_ROUND(v0, v1, v2, v3);
	SIP_ROUND(v0, v1, v2, v3);
	return v0 ^ v1 ^ v2 ^ v3;
}

/* Where a flow may lie. The buckets come from the upper bits of the two halves of
 * the hash, the tag from the lower ones. */
struct flow_place {
	__u32 bucket1, bucket2;
	__u32 tag;
	/* Once it is found: */
	__u32 bucket, slot;
	__u32 direction; /* of the packet: 0 or 1 */
};

static __always_inline void place_of(const struct flow_key *k, struct flow_place *at)
{
	__u64 h = key_hash(k);

	at->bucket1 = (h >> 32) * bucket_count >> 32;
	at->bucket2 = (h & 0xffffffff) * bucket_count >> 32;
	at->tag = (h >> 16 & 0xffff0000) | (h & 0xffff);
	if (at->tag < TAG_FIRST)
		at->tag += TAG_FIRST;
}

#endif
