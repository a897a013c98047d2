/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the parser finds out about a packet. */
#ifndef SLUICE_PACKET_H
#define SLUICE_PACKET_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "flow.h"

#define PROTO_HOPOPTS 0
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_AH 51
#define PROTO_ICMPV6 58
#define PROTO_DSTOPTS 60
#define PROTO_SCTP 132

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* Types of SCTP chunks (RFC 9260 §3.2). */
#define SCTP_INIT 1
#define SCTP_ABORT 6
#define SCTP_SHUTDOWN_COMPLETE 14

#define FRAGMENT_NONE 0
#define FRAGMENT_FIRST 1
#define FRAGMENT_LATER 2

struct packet {
	struct flow_key key;
	__u32 l3, l4; /* offsets of the IP and the transport header */
	__u32 end; /* offset behind the IP packet */
	__u32 packets, bytes; /* on the wire */
	__u32 fragment_id;
	__u32 seq, ack; /* TCP, host byte order */
	__u32 payload; /* TCP, bytes */
	__u16 check; /* TCP, as it stands in the header */
	__u8 flags; /* TCP_… */
	__u8 fragment; /* FRAGMENT_… */
	__u8 icmp_error; /* 1 when it carries a part of another packet */
	__u8 chunk; /* SCTP: type of the first chunk */
	__u8 hops; /* IPv6 hop limit */
};

/* load_words copies len bytes of the packet, in 32 bit words. It works on the linear
 * part where it can, which costs no call. */
static __always_inline int load_words(struct __sk_buff *skb, __u32 off, __u32 *to, const __u32 len)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;

	if (off <= 0x7fff && data + off + len <= end) {
		const __u32 *from = data + off;

#pragma unroll
		for (__u32 i = 0; i < len / 4; i++)
			to[i] = from[i];
		return 0;
	}
	return bpf_skb_load_bytes(skb, off, to, len);
}

static __always_inline void set_ipv4(__u64 *addr, __u32 v4)
{
	addr[0] = 0;
	addr[1] = (__u64)v4 << 32 | 0xffff0000;
}

static __always_inline __u64 pair(__u32 low, __u32 high)
{
	return (__u64)high << 32 | low;
}

#endif
