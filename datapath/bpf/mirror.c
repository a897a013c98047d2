// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Traffic mirroring. The program mirror runs on both directions of a source, behind the
 * firewall, and puts a clone of what a session wants on a helper device. There the
 * program offer finds the way to its target. The device cuts it into the frames of the
 * wire, and the program encap meets each of those behind it and sends it on in VXLAN. docs/adr/0002-mirror-path.md says why. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "mirror_maps.h"
#include "parse.h"
#include "spread.h"
#include "session.h"
#include "gate.h"
#include "cost.h"
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
	__u64 now = bpf_ktime_get_ns(), saved = now > BURST ? now - BURST : 0;
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

/* What a tunnel may put between its own header and the payload of what it carries:
 * UDP, VXLAN, Ethernet, IPv6 and the longest TCP header. */
#define TUNNELLED (8 + 8 + 14 + 40 + 60)

/* carries_tunnel tells whether a packet is one of the usual tunnels: VXLAN (RFC 7348, and
 * the port that Linux had before), GENEVE (RFC 8926), or none of TCP and UDP. */
static __always_inline int carries_tunnel(const struct packet *p)
{
	if (p->key.protocol != PROTO_UDP)
		return p->key.protocol != PROTO_TCP;
	return p->key.dport == 4789 || p->key.dport == 8472 || p->key.dport == 6081;
}

/* longest_frame is the size of the longest frame that a packet has on the wire; of a
 * super-packet of a tunnel it may be less. */
static __always_inline __u32 longest_frame(struct __sk_buff *skb, const struct packet *p)
{
	__u32 frame = skb->len;

	if (skb->gso_size) {
		frame = skb->gso_size;
		if (carries_tunnel(p))
			frame += p->l4 + TUNNELLED;
		else
			frame += p->key.protocol == PROTO_TCP ? p->end - p->payload : p->l4 + sizeof(struct udphdr);
	}
	return frame + (skb->vlan_present ? VLAN_TAG : 0);
}

/* is_narrow tells whether a copy will have to be truncated, as far as is known. */
static __always_inline int is_narrow(struct __sk_buff *skb, const struct session *s, const struct packet *p,
				     const struct session_counters *c, __u32 flow)
{
	__u32 index = s->delivery, choice;
	const struct delivery *d;

	if (!c->narrow)
		return 0;
	d = bpf_map_lookup_elem(&deliveries, &index);
	if (!d)
		return 0;
	choice = choose(d, flow);
	return choice < TARGETS_PER_SESSION && c->room[choice] && longest_frame(skb, p) > c->room[choice];
}

/* copy puts a clone on the helper device. Nothing of the packet changes but its mark, and
 * that only for as long as the clone is made. */
static __always_inline void copy(struct __sk_buff *skb, const struct session *s, const struct packet *p,
				 __u32 helper, int ports)
{
	__u32 key = s->slot * 2 + (at_ingress ? 1 : 0), zero = 0, mark = skb->mark;
	__u32 label = MARK_COPY | (at_ingress ? MARK_INGRESS : 0) | s->delivery;
	struct session_counters *c = bpf_map_lookup_elem(&fates, &key);
	struct cost *cost = bpf_map_lookup_elem(&costs, &zero);
	__u32 flow = spread(p, ports) & MARK_FLOW_MASK;
	__u64 bytes = frame_bytes(skb, p), truncated, began;

	if (!c || !cost)
		return;
	count(c, FATE_MATCHED, p->packets, bytes);
	if (!open_account(cost, c->narrow, truncated_price && is_narrow(skb, s, p, c, flow), &began) ||
	    ((s->packet_cost || s->byte_cost) && !within_rate(s, p->packets, bytes))) {
		count(c, FATE_CAPPED, p->packets, bytes);
		return;
	}
	truncated = c->packets[FATE_TRUNCATED];
	skb->mark = label | flow << MARK_FLOW_SHIFT;
	if (bpf_clone_redirect(skb, helper, 0) < 0)
		count(c, FATE_ERROR, p->packets, bytes);
	skb->mark = mark;
	charge(cost, c->packets[FATE_TRUNCATED] != truncated, began);
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
	if (!src || is_outside(skb, src))
		return NEXT;
	parsed = parse(skb, &p);
	/* A malformed packet is matched by its addresses, if it has any. */
	if (parsed == PARSED_OTHER || p.end == 0)
		return NEXT;
	ports = has_ports(&p, parsed);
	if (is_never_mirrored(&p, ports) || (parsed == PARSED && quotes_copy(skb, &p)))
		return NEXT;
	session = session_of(src, &p, ports);
	if (session < SESSIONS_PER_SOURCE)
		copy(skb, &src->session[session], &p, src->helper, ports);
	return NEXT;
}

/* counters_of finds the counters of the session and direction that a mark tells of. */
static __always_inline struct session_counters *counters_of(const struct delivery *d, __u32 mark)
{
	__u32 key = d->session * 2 + (mark & MARK_INGRESS ? 1 : 0);

	return bpf_map_lookup_elem(&fates, &key);
}

/* note_room notes what the way of a frame had room for, or 0 where the frame didn't have to
 * be truncated. One that would have fitted before tells nothing. */
static __always_inline void note_room(struct session_counters *c, const struct plan *p, __u32 frame, __u32 room)
{
	__u32 *noted;

	if (p->choice >= TARGETS_PER_SESSION || (!c->narrow && !room))
		return;
	noted = &c->room[p->choice];
	if (room)
		c->narrow = 1;
	if (room || frame > *noted)
		*noted = room;
}

/* goes_whole tells whether a super-packet can leave as it is: all frames that it will be
 * cut into fit the way and are wanted whole. Over IPv6 each would need a checksum. */
static __always_inline int goes_whole(struct __sk_buff *skb, const struct packet *p, const struct plan *plan,
				      __u32 packet_length)
{
	__u32 frame = longest_frame(skb, p);

	return skb->gso_size && p->key.protocol == PROTO_TCP && p->fragment == FRAGMENT_NONE && p->l3 == ETH_HLEN &&
	       !skb->vlan_present && !plan->ipv6 && frame + overhead(plan) <= plan->mtu &&
	       (!packet_length || frame <= packet_length) && skb->len + overhead(plan) <= 0xffff;
}

/* offer meets a clone before it is cut: it finds the way for all frames of it, and sends
 * it off at once where none of them has to be touched. */
SEC("tc")
int offer(struct __sk_buff *skb)
{
	__u32 mark = skb->mark, index = mark & MARK_DELIVERY_MASK, zero = 0;
	const struct delivery *d = bpf_map_lookup_elem(&deliveries, &index);
	struct plan *plan = bpf_map_lookup_elem(&plans, &zero);
	struct session_counters *counters;
	struct packet p = {};
	struct copy c = {};
	__u64 bytes;
	int parsed;

	if (!(mark & MARK_COPY) || !d || !plan)
		return DROP;
	counters = counters_of(d, mark);
	if (!counters)
		return DROP;
	make_plan(skb, d, plan);
	if (plan->mtu > overhead(plan) + ETH_HLEN && !skb->gso_size)
		return NEXT;
	parsed = parse(skb, &p);
	bytes = frame_bytes(skb, &p);
	if (plan->mtu <= overhead(plan) + ETH_HLEN) {
		count(counters, FATE_NO_ROUTE, p.packets, bytes);
		return DROP;
	}
	if (parsed != PARSED || !goes_whole(skb, &p, plan, d->packet_length)) {
		hide_destination(skb, plan);
		return NEXT;
	}
	c.vni = d->vni;
	c.length = skb->len;
	if (wrap_super(skb, plan, &c)) {
		count(counters, FATE_ERROR, p.packets, bytes);
		return DROP;
	}
	count(counters, FATE_MIRRORED, p.packets, bytes);
	note_room(counters, plan, longest_frame(skb, &p), 0);
	return leave(skb, plan);
}

/* encap meets each frame of a clone. */
SEC("tc")
int encap(struct __sk_buff *skb)
{
	__u32 mark = skb->mark, index = mark & MARK_DELIVERY_MASK, zero = 0, most;
	__u32 frame = skb->len + (skb->vlan_present ? VLAN_TAG : 0);
	const struct delivery *d = bpf_map_lookup_elem(&deliveries, &index);
	struct plan *plan = bpf_map_lookup_elem(&plans, &zero);
	struct session_counters *counters;
	struct copy c = {};
	enum fate cut = FATES;

	if (!(mark & MARK_COPY) || !d || !plan)
		return DROP;
	counters = counters_of(d, mark);
	if (!counters)
		return DROP;
	c.vni = d->vni;
	c.length = frame;
	if (d->packet_length && d->packet_length < c.length) {
		c.length = d->packet_length;
		cut = FATE_SLICED;
	}
	most = plan->mtu - overhead(plan);
	if (most < c.length) {
		c.length = most;
		cut = FATE_TRUNCATED;
	}
	if (plan->mark != mark || c.length > 0xffff - overhead(plan) || take_tags(skb, plan, &c) || wrap(skb, plan, &c)) {
		count(counters, FATE_ERROR, 1, frame);
		return DROP;
	}
	note_room(counters, plan, frame, cut == FATE_TRUNCATED ? most : 0);
	count(counters, FATE_MIRRORED, 1, c.length);
	if (cut != FATES) {
		count(counters, cut, 1, c.length);
		counters->cut += frame - c.length;
	}
	return leave(skb, plan);
}

char mirror_license[] SEC("license") = "Dual BSD/GPL";
