/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The maps of traffic mirroring, with their keys and values. */
#ifndef SLUICE_MIRROR_MAPS_H
#define SLUICE_MIRROR_MAPS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>

#define MAX_SOURCES 1024
#define MAX_SESSIONS 1024
#define SESSIONS_PER_SOURCE 3
#define RULES_PER_DIRECTION 64
#define RESOLVERS_PER_SESSION 8
#define TARGETS_PER_SESSION 16
#define DELIVERIES_PER_SESSION 4

#define ANY_PROTOCOL 0x100

/* Addresses in network byte order, IPv4 as ::ffff:a.b.c.d, as in struct flow_key. */
struct rule {
	__u64 src[2], src_mask[2];
	__u64 dst[2], dst_mask[2];
	__u16 sport_from, sport_to; /* host byte order */
	__u16 dport_from, dport_to;
	__u16 protocol; /* IANA number, or ANY_PROTOCOL */
	__u8 family; /* FAMILY_… of both networks */
	__u8 accept;
	__u8 ports; /* 1 when it asks for ports, which only TCP and UDP have */
	__u8 reserved[3];
};

struct session {
	__u32 slot; /* of its counters and its rate */
	__u32 delivery; /* index into deliveries */
	__u64 packet_cost, byte_cost; /* ns << COST_SHIFT that each may take at least; 0 is no cap */
	__u32 dns; /* traffic with the resolvers is mirrored whatever the rules say */
	__u32 resolvers;
	__u64 resolver[RESOLVERS_PER_SESSION][2];
	__u8 resolver_family[RESOLVERS_PER_SESSION]; /* FAMILY_… */
	__u32 rules[2]; /* how many, by direction: egress, ingress */
	struct rule rule[2][RULES_PER_DIRECTION];
};

/* What all packets of one direction that any session wants have in common. Where nothing
 * of IPv4 is wanted, src is 1 and src_mask 0, which no address meets. */
struct gate {
	__be32 src, src_mask;
	__be32 dst, dst_mask;
	__u16 protocol; /* IANA number, or ANY_PROTOCOL; of IPv4 alone */
	__u8 ipv6; /* 1 when some of IPv6 may be wanted */
	__u8 reserved;
};

/* One generation of a source: never changed once packets meet it. */
struct source {
	__u32 helper; /* ifindex of the device that copies are put on */
	__u32 sessions;
	struct gate gate[2]; /* by direction: egress, ingress */
	char id[32]; /* "eni-…", ended by a zero; user space alone reads it */
	struct session session[SESSIONS_PER_SOURCE]; /* by number */
};

struct generation {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct source));
};

/* key: slot of a source. value: its generation in force, an array of one element that is
 * complete before it gets here. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, MAX_SOURCES);
	__type(key, __u32);
	__array(values, struct generation);
} sources SEC(".maps");

struct target {
	__u64 addr[2];
	__u32 seed; /* of its score for a flow */
	__u32 family;
};

/* Where and how the copies of a session go. */
struct delivery {
	__u32 session; /* slot */
	__u32 vni;
	__u32 packet_length; /* bytes of the frame that are copied; 0 is all */
	__u32 targets;
	__u32 source4; /* network byte order; 0: the route's */
	__u32 source6[4]; /* likewise */
	__u32 reserved;
	struct target target[TARGETS_PER_SESSION];
};

/* key: slot of a session * DELIVERIES_PER_SESSION + n. value: a delivery. A free one is
 * written as a whole before a generation of a source names it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SESSIONS * DELIVERIES_PER_SESSION);
	__type(key, __u32);
	__type(value, struct delivery);
} deliveries SEC(".maps");

/* Whoever changes their order makes mirrorMeaning of mirror_layout.go grow. */
enum fate {
	FATE_MATCHED,
	FATE_MIRRORED,
	FATE_SLICED, /* of the mirrored ones */
	FATE_TRUNCATED, /* of the mirrored ones */
	FATE_CAPPED,
	FATE_NO_ROUTE,
	FATE_ERROR,
	FATES,
};

struct session_counters {
	__u64 packets[FATES];
	__u64 bytes[FATES]; /* of frames, or of what of them was copied; without encapsulation */
	__u64 cut; /* bytes of the mirrored frames that their copies lack */
	__u64 narrow; /* 1 once a copy has been truncated */
	/* By target: the most bytes of a frame that the way there carries, if the last frame
	 * with more had to be truncated; 0 if it hadn't. */
	__u32 room[TARGETS_PER_SESSION];
};

/* key: slot of a session * 2 + 1 for ingress. value: packets and bytes by fate. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_SESSIONS * 2);
	__type(key, __u32);
	__type(value, struct session_counters);
} fates SEC(".maps");

/* When a session will have paid for what it has sent: CLOCK_MONOTONIC, ns. */
struct rate {
	struct bpf_spin_lock lock;
	__u32 reserved;
	__u64 packets, bytes;
};

/* key: slot of a session. value: how far its rate is used. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SESSIONS);
	__type(key, __u32);
	__type(value, struct rate);
} rates SEC(".maps");

/* When a processor will have paid for the time that copies took of it: CLOCK_MONOTONIC, ns. */
struct cost {
	__u64 copies; /* all of them */
	__u64 truncated; /* those that had to be truncated */
};

/* key: 0. value: what copying has cost this CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cost);
} costs SEC(".maps");

/* Who has which slot. User space alone reads and writes it. */
struct session_slot {
	char id[32]; /* "tms-…"; empty when the slot is free */
	__u32 delivery; /* the one that was written last */
	__u32 reserved;
};

/* key: slot of a session. value: its session. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_SESSIONS);
	__type(key, __u32);
	__type(value, struct session_slot);
} session_slots SEC(".maps");

struct path {
	__u64 src[2];
	__u64 dst[2];
};

/* key: the outer addresses of copies that this host sends. value: 1. They are told by
 * skb->mark until they leave a namespace, and by this after it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_SESSIONS * TARGETS_PER_SESSION);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct path);
	__type(value, __u8);
} paths SEC(".maps");

struct helper {
	char netns[256]; /* name of the namespace; empty is the host's own */
	char device[16]; /* what the names of the devices begin with */
};

/* key: inode number of a namespace. value: the helper devices in it. User space alone
 * reads and writes it. Other versions remove the devices by it: it stays as it is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct helper);
} helpers SEC(".maps");

/* The header of VXLAN (RFC 7348 §5). */
struct vxlan {
	__be32 flags;
	__be32 vni; /* in the upper 24 bits */
};

/* What a copy begins with over IPv4. */
struct outer4 {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct udphdr udp;
	struct vxlan vxlan;
	struct ethhdr inner; /* the frame's own */
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct outer4) == 14 + 20 + 8 + 8 + 14, "nothing between the headers");

/* How the copies of one clone go. */
struct plan {
	struct bpf_fib_lookup way;
	__u32 mark; /* of the clone, which says what this is for */
	__u32 mtu; /* of the way; 0 where there is none */
	__u32 target[4]; /* its address, IPv4 in the last word */
	__u8 ipv6; /* outside */
	__u8 unresolved; /* nobody knows the next hop's link layer address yet */
	__u8 confirmed; /* a copy has gone through the neighbour table */
	__u8 hidden; /* the frames have another destination than in outer.inner */
	__u32 choice; /* which of the session's targets */
	__u64 outer_sum; /* of the words of the outer IPv4 header, but for its length */
	/* Without lengths and checksum. Over IPv6 only the frame's own header is set. */
	struct outer4 outer __attribute__((aligned(8)));
};

/* key: 0. value: the plan for the clone that is on the helper device. It goes through
 * there in one call, and nothing else does on this CPU meanwhile. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct plan);
} plans SEC(".maps");

#define CHUNK 512

/* key: 0. value: a part of a frame whose checksum is being computed. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[CHUNK]);
} chunk SEC(".maps");

#endif
