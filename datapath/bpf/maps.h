/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every map, with its key and its value, and the constants of a loaded program. */
#ifndef SLUICE_MAPS_H
#define SLUICE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "device.h"
#include "flow.h"

#define MAX_ENDPOINTS 1024
#define POLICIES_PER_ENDPOINT 4
#define FLOW_LOCKS 4096

/* Constants of one loaded program; user space sets them before it loads. */
volatile const __u32 endpoint_slot; /* whose program this is */
volatile const __u32 netns; /* inode number of the namespace */
volatile const __u32 bucket_count;
volatile const __u64 max_flows;
volatile const __u64 seed0, seed1; /* of the hash */
volatile const __u32 reset_mark; /* skb->mark of a RST on its way back in */

/* key: bucket. value: a fingerprint for each flow of the bucket. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tag_bucket);
} flow_tags SEC(".maps");

/* key: bucket. value: its flows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_bucket);
} flows SEC(".maps");

struct flow_lock {
	struct bpf_spin_lock lock;
};

/* key: a part of a flow's hash. value: the lock under which that flow is added. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOW_LOCKS);
	__type(key, __u32);
	__type(value, struct flow_lock);
} flow_locks SEC(".maps");

/* All members change by atomic operations alone. */
struct table_state {
	__u64 used; /* entries that are not free */
	__u64 emergency; /* 1 while emergency mode is in force */
	__u64 emergencies; /* times that it was entered */
	__u64 refused; /* new flows that found no room */
	__u64 reclaimed; /* entries taken over before the cleaner came */
	__u64 passes; /* of the cleaner through the whole table */
};

/* key: 0. value: the state of the table. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct table_state);
} table SEC(".maps");

/* What a restarted process must know about what it finds. Written by user space. */
struct table_layout {
	__u32 version; /* of the layout of all maps */
	__u32 buckets;
	__u64 max_flows;
	__u64 seed[2];
	__u64 program; /* digest of the object whose programs run */
	__u32 reset_mark;
	__u32 complete; /* 1 once everything beside it is in place */
};

/* key: 0. value: what this table looks like. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct table_layout);
} layout SEC(".maps");

#define ACTION_PASS 0
#define ACTION_DROP 1
#define ACTION_FORWARD 2

#define EXCEPTION_DROP 0
#define EXCEPTION_CONTINUE 1
#define EXCEPTION_REJECT 2

struct policy {
	__u32 generation;
	__u8 stateless_default; /* ACTION_… */
	__u8 fragment_default; /* ACTION_…, for fragmented UDP */
	__u8 stream_exception; /* EXCEPTION_… */
	__u8 reserved0;
	__u16 tcp_idle_timeout; /* s */
	__u8 reserved1[54];
};

struct endpoint {
	__u32 policy; /* index into policies */
	__u32 state; /* ENDPOINT_…; user space alone reads it */
	char id[56]; /* "vpce-…", ended by a zero */
};

#define ENDPOINT_FREE 0
#define ENDPOINT_IN_USE 1
#define ENDPOINT_LEAVING 2 /* detached, its flows are being purged */

/* key: slot. value: the endpoint in it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/* key: slot * POLICIES_PER_ENDPOINT + n. value: a policy. A free one is written as
 * a whole before endpoint.policy names it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MAX_ENDPOINTS * POLICIES_PER_ENDPOINT);
	__type(key, __u32);
	__type(value, struct policy);
} policies SEC(".maps");

/* What became of a packet. Each is counted under exactly one of them, and one that
 * met the stream exception policy under VERDICT_STREAM_EXCEPTION as well. */
enum verdict {
	VERDICT_PASSED_STATELESS,
	VERDICT_PASSED_STATEFUL,
	VERDICT_DROPPED_STATELESS,
	VERDICT_DROPPED_STATEFUL,
	VERDICT_REJECTED,
	VERDICT_STREAM_EXCEPTION,
	VERDICT_INVALID,
	VERDICT_OTHER_DROPPED,
	VERDICTS,
};

struct verdict_counters {
	__u64 packets[VERDICTS];
	__u64 bytes[VERDICTS];
};

/* key: slot. value: packets and IP bytes by verdict. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct verdict_counters);
} verdicts SEC(".maps");

struct fragment_key {
	__u64 src[2];
	__u64 dst[2];
	__u32 id; /* of the datagram */
	__u8 protocol; /* 0 for IPv6, whose later fragments needn't tell (RFC 8200 §4.5) */
	__u8 family;
	__u16 endpoint;
};

struct fragment {
	__u64 at; /* CLOCK_MONOTONIC, ns */
	__u16 sport;
	__u16 dport;
	__u8 protocol;
	__u8 reserved[3];
};

/* key: a datagram in fragments. value: what its first fragment said. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

struct covered_key {
	__u32 netns;
	__u32 ifindex;
	__u32 endpoint;
};

/* key: a device on which an endpoint sees what comes in. value: 1. What goes out
 * through a device of the same endpoint has been counted there already. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct covered_key);
	__type(value, __u8);
} covered SEC(".maps");

struct cleaner {
	struct bpf_timer timer;
	__u32 cursor; /* the next bucket */
};

/* key: 0. value: the timer that cleans the table, as long as this map lives. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct cleaner);
} cleaner SEC(".maps");

#endif
