// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Traffic mirroring. The program mirror runs on both directions of a source, behind the
 * firewall, and puts a clone of what a session wants on a helper device that cuts
 * super-packets into the frames of the wire. The program encap meets each of those
 * behind it and sends it on in VXLAN. docs/adr/0002-mirror-path.md says why. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "mirror_maps.h"
#include "parse.h"
#include "spread.h"
#include "session.h"
#include "encap.h"

/* TCX_NEXT and TCX_DROP of linux/bpf.h since Linux 6.6; older headers lack them. */
#define NEXT -1
#define DROP 2

/* How long a session may save up, ns, and what its costs are scaled by. */
#define BURST 100000000ULL
#define COST_SHIFT 16

volatile const __u32 source_slot; /* whose program this is */

static __always_inline void count(struct session_counters *c, enum fate f, __u64 packets, __u64 bytes)
{
	c->packets[f] += packets;
	c->bytes[f] += bytes;
}

/* frame_bytes is what the frames of a packet have on the wire together. */
static __always_inline __u64 frame_bytes(struct __sk_buff *skb, const struct packet *p)
{
	__u32 tag = skb->vlan_present ? VLAN_TAG : 0;

	if (p->packets <= 1)
		return skb->len + tag;
	return p->bytes + (__u64)p->packets * (p->l3 + tag);
}

/* within_rate takes what a packet costs from a session's rate, or tells that the session
 * has not paid for earlier ones yet. */
static __always_inline int within_rate(const struct session *s, __u64 packets, __u64 bytes)
{
	__u32 slot = s->slot;
	struct rate *r = bpf_map_lookup_elem(&rates, &slot);
	__u64 now = bpf_ktime_get_ns(), saved = now - BURST;
	__u64 cost = packets * s->packet_cost >> COST_SHIFT, byte_cost = bytes * s->byte_cost >> COST_SHIFT;
	int within = 0;

	if (!r)
		return 0;
	bpf_spin_lock(&r->lock);
	if (r->packets <= now && r->bytes <= now) {
		r->packets = (r->packets > saved ? r->packets : saved) + cost;
		r->bytes = (r->bytes > saved ? r->bytes : saved) + byte_cost;
		within = 1;
	}
	bpf_spin_unlock(&r->lock);
	return within;
}

/* copy puts a clone on the helper device. Nothing of the packet changes but its mark, and
 * that only for as long as the clone is made. */
static __always_inline void copy(struct __sk_buff *skb, const struct session *s, const struct packet *p,
				 __u32 helper, int ports)
{
	__u32 key = s->slot * 2 + (at_ingress ? 1 : 0), mark = skb->mark;
	struct session_counters *c = bpf_map_lookup_elem(&fates, &key);
	__u64 bytes = frame_bytes(skb, p);
	__u32 label = MARK_COPY | (at_ingress ? MARK_INGRESS : 0) | s->delivery;

	if (!c)
		return;
	count(c, FATE_MATCHED, p->packets, bytes);
	if ((s->packet_cost || s->byte_cost) && !within_rate(s, p->packets, bytes)) {
		count(c, FATE_CAPPED, p->packets, bytes);
		return;
	}
	skb->mark = label | (spread(p, ports) & MARK_FLOW_MASK) << MARK_FLOW_SHIFT;
	if (bpf_clone_redirect(skb, helper, 0) < 0)
		count(c, FATE_ERROR, p->packets, bytes);
	skb->mark = mark;
}

SEC("tc")
int mirror(struct __sk_buff *skb)
{
	__u32 slot = source_slot, zero = 0, session;
	struct packet p = {};
	const struct source *src;
	void *generation;
	int parsed, ports;

	if (skb->mark == copy_mark)
		return NEXT;
	generation = bpf_map_lookup_elem(&sources, &slot);
	if (!generation)
		return NEXT;
	src = bpf_map_lookup_elem(generation, &zero);
	if (!src)
		return NEXT;
	parsed = parse(skb, &p);
	/* A malformed packet is matched by its addresses, if it has any. */
	if (parsed == PARSED_OTHER || p.end == 0)
		return NEXT;
	ports = has_ports(&p, parsed);
	if (is_never_mirrored(&p, ports))
		return NEXT;
	session = session_of(src, &p, ports);
	if (session < SESSIONS_PER_SOURCE)
		copy(skb, &src->session[session], &p, src->helper, ports);
	return NEXT;
}

SEC("tc")
int encap(struct __sk_buff *skb)
{
	__u32 mark = skb->mark, index = mark & MARK_DELIVERY_MASK;
	__u32 frame = skb->len + (skb->vlan_present ? VLAN_TAG : 0), overhead, mtu, key;
	const struct delivery *d = bpf_map_lookup_elem(&deliveries, &index);
	struct bpf_redir_neigh next = {};
	struct session_counters *counters;
	const struct target *t;
	struct copy c = {};
	enum fate cut = FATES;

	if (!(mark & MARK_COPY) || !d)
		return DROP;
	key = d->session * 2 + (mark & MARK_INGRESS ? 1 : 0);
	counters = bpf_map_lookup_elem(&fates, &key);
	if (!counters)
		return DROP;
	t = choose(d, mark >> MARK_FLOW_SHIFT & MARK_FLOW_MASK);
	mtu = t ? find_way(skb, d, t, &c, mark >> MARK_FLOW_SHIFT & MARK_FLOW_MASK) : 0;
	overhead = (c.ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + sizeof(struct udphdr) +
		   sizeof(struct vxlan);
	if (mtu <= overhead + ETH_HLEN) {
		count(counters, FATE_NO_ROUTE, 1, frame);
		return DROP;
	}
	c.vni = d->vni;
	c.length = frame;
	if (d->packet_length && d->packet_length < c.length) {
		c.length = d->packet_length;
		cut = FATE_SLICED;
	}
	if (mtu - overhead < c.length) {
		c.length = mtu - overhead;
		cut = FATE_TRUNCATED;
	}
	if (c.length > 0xffff - overhead || take_tags(skb, &c) || wrap(skb, &c)) {
		count(counters, FATE_ERROR, 1, frame);
		return DROP;
	}
	count(counters, FATE_MIRRORED, 1, c.length);
	if (cut != FATES)
		count(counters, cut, 1, c.length);
	skb->mark = copy_mark;
	skb->priority = PRIORITY_BULK;
	/* While the next hop is being resolved a clone waits, and what it has of the original's
	 * route then misleads it: so it gets a route of its own. */
	if (c.unresolved)
		return bpf_redirect_neigh(c.way.ifindex, NULL, 0, 0);
	next.nh_family = c.way.family;
	__builtin_memcpy(next.ipv6_nh, c.way.ipv6_dst, 16);
	return bpf_redirect_neigh(c.way.ifindex, &next, sizeof(next), 0);
}

char mirror_license[] SEC("license") = "Dual BSD/GPL";
