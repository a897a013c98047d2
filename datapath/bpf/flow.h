/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a flow is, as it lies in the table. User space maps the same memory, so
 * the layout below is also the layout of the generated Go types. */
#ifndef SLUICE_FLOW_H
#define SLUICE_FLOW_H

#include <linux/types.h>

#define FLOWS_PER_BUCKET 8
/* With fewer flows than this in its first bucket a new one goes there; from here on to
 * the emptier of its two. */
#define BUCKET_FAVOURED 3

/* Values of a tag. Everything from TAG_FIRST on is a fingerprint of a key. */
#define TAG_FREE 0
#define TAG_BUSY 1 /* claimed, being filled */
#define TAG_FIRST 2

#define FAMILY_IPV4 4
#define FAMILY_IPV6 6

#define ENGINE_STATELESS 0
#define ENGINE_STATEFUL 1

/* Bits of flow.status. They are added by atomic OR, and but for a flow that turns out
 * not to be closed (see reopen in tcp.h) stay until the entry is claimed anew. "0" is the side that sent the first packet. */
#define STATUS_SYN0 (1U << 0)
#define STATUS_SYN1 (1U << 1)
#define STATUS_ACKED0 (1U << 2) /* the SYN of side 0 has been acknowledged */
#define STATUS_ACKED1 (1U << 3)
#define STATUS_FIN0 (1U << 4)
#define STATUS_FIN1 (1U << 5)
#define STATUS_CLOSED (1U << 6) /* RST, ABORT or SHUTDOWN COMPLETE was the last word */
#define STATUS_REPLIED (1U << 7) /* the other side has sent, too */
#define STATUS_MIDSTREAM (1U << 8) /* taken up without a handshake */
#define STATUS_FLUSHED (1U << 9) /* cut by a flush; user space removes it */
#define STATUS_DEAD (1U << 10) /* timed out; the cleaner frees it next time */

#define STATUS_ACKED (STATUS_ACKED0 | STATUS_ACKED1)
#define STATUS_FIN (STATUS_FIN0 | STATUS_FIN1)
#define STATUS_GONE (STATUS_FLUSHED | STATUS_DEAD)

/* Time-outs, after the defaults of suricata.yaml (flow-timeouts), in ms. The one
 * of established TCP flows comes from the policy. */
#define TIMEOUT_TCP_NEW 60000
#define TIMEOUT_TCP_CLOSED 60000
#define TIMEOUT_NEW 30000
#define TIMEOUT_ESTABLISHED 300000
#define TIMEOUT_SCTP_CLOSED 60000
/* What a new flow gets while the table is in emergency mode. */
#define TIMEOUT_EMERGENCY_NEW 5000
/* How long a flushed entry waits for user space, in s. */
#define FLUSHED_GRACE_SECONDS 5

/* The identity of a flow and of a packet. Addresses in network byte order, IPv4
 * as ::ffff:a.b.c.d; ports in host byte order, 0 where there are none. */
struct flow_key {
	__u64 src[2];
	__u64 dst[2];
	__u16 sport;
	__u16 dport;
	__u8 protocol; /* IANA number */
	__u8 family; /* FAMILY_… */
	__u16 endpoint; /* slot of the endpoint */
};

/* Two cache lines: what is compared, then what every packet writes. */
struct flow {
	struct flow_key key; /* oriented by the first packet */
	__u64 first; /* CLOCK_MONOTONIC, ns */
	__u32 generation; /* grows with each claim of this entry */
	__u32 policy_generation; /* of the policy that admitted the flow */
	__u8 engine; /* ENGINE_… */
	__u8 reserved0;
	__u16 syn_data[2]; /* bytes that each side's SYN carried (RFC 7413) */
	__u16 reserved1[1];

	__u64 last; /* CLOCK_MONOTONIC, ns */
	__u64 packets[2]; /* by direction: from src, from dst */
	__u64 bytes[2]; /* IP bytes as on the wire */
	__u32 timeout; /* idle, of the state it is in, ms */
	__u32 seq[2]; /* see tcp.h */
	__u32 status; /* STATUS_… */
	__u16 established_timeout; /* TCP, s */
	__u8 verdict; /* reserved for rule groups */
	__u8 reserved2;
	__u32 flushed_at; /* CLOCK_MONOTONIC, s */
};

_Static_assert(sizeof(struct flow_key) == 40, "a key is five words");
_Static_assert(sizeof(struct flow) == 128, "a flow is two cache lines");

struct flow_bucket {
	struct flow flow[FLOWS_PER_BUCKET];
};

struct tag_bucket {
	__u32 tag[FLOWS_PER_BUCKET];
};

#endif
