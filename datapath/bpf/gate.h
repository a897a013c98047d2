/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The short way out for packets that no session of a source can want. */
#ifndef SLUICE_GATE_H
#define SLUICE_GATE_H

#include <linux/if_ether.h>
#include <bpf/bpf_endian.h>
#include "device.h"
#include "mirror_maps.h"

/* Where the header of IPv4 behind an untagged Ethernet header has its protocol and its
 * addresses. */
#define IPV4_PROTOCOL (ETH_HLEN + 9)
#define IPV4_SRC (ETH_HLEN + 12)
#define IPV4_DST (ETH_HLEN + 16)

/* is_outside tells that no session mirrors a packet, from what stands at fixed places of
 * it. It may be wrong in one way alone: for a packet that it lets through the rules are
 * asked. Between two super-packets the caches forget most of what the rules are, and all
 * of a gate is in one line of them. */
static __always_inline int is_outside(struct __sk_buff *skb, const struct source *src)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct gate *g = &src->gate[at_ingress ? 1 : 0];

	if (link_header != ETH_HLEN || data + ETH_HLEN + 20 > end)
		return 0;
	switch (*(__be16 *)(data + ETH_HLEN - 2)) {
	case bpf_htons(ETH_P_IP):
		return (*(__be32 *)(data + IPV4_SRC) & g->src_mask) != g->src ||
		       (*(__be32 *)(data + IPV4_DST) & g->dst_mask) != g->dst ||
		       (g->protocol != ANY_PROTOCOL && *(__u8 *)(data + IPV4_PROTOCOL) != g->protocol);
	case bpf_htons(ETH_P_IPV6):
		return !g->ipv6;
	}
	return 0;
}

#endif
