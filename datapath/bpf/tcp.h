/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a flow comes to: handshake, closing, and the same for other protocols. */
#ifndef SLUICE_TCP_H
#define SLUICE_TCP_H

#include "table.h"

/* flow.seq[d] is, until the SYN of side d has been acknowledged, the sequence number
 * of that SYN; from then on the last acknowledgement that side d sent, which is the
 * sequence number that it expects next. */

/* How far data may be ahead of the last acknowledgement that we saw. */
#define IN_FLIGHT (1 << 24)
/* The same for a RST, which closes: nobody who doesn't see the flow guesses it. */
#define RESET_WINDOW (1 << 20)
/* How much data a SYN may carry that its acknowledgement covers (RFC 7413). */
#define SYN_DATA 65536

static __always_inline int near(__u32 a, __u32 b, __s32 window)
{
	__s32 distance = a - b;

	return distance > -window && distance < window;
}

static __always_inline void close_flow(struct flow *f, __u32 bits)
{
	__sync_fetch_and_or(&f->status, bits);
	f->timeout = TIMEOUT_TCP_CLOSED;
}

/* reset_acceptable tells whether the RST that side d sent is one that the other side
 * would act upon (RFC 9293 §3.10.7, with a wider window: our view lags). */
static __always_inline int reset_acceptable(const struct flow *f, const struct packet *p, __u32 d, __u32 status)
{
	__u32 o = d ^ 1;

	if (status & STATUS_ACKED0 << o)
		return near(p->seq, f->seq[o], RESET_WINDOW);
	if (status & STATUS_SYN0 << o) {
		if (status & STATUS_SYN0 << d)
			return 1; /* in the middle of the handshake */
		/* The answer to a SYN acknowledges it. */
		return (p->flags & TCP_ACK) && p->ack - f->seq[o] - 1 < SYN_DATA;
	}
	if (status & STATUS_ACKED0 << d)
		return 1; /* acknowledged by somebody who never sent a SYN */
	return near(p->seq, f->seq[d], RESET_WINDOW);
}

/* tcp_acknowledge takes in the acknowledgement that side d sent. */
static __always_inline void tcp_acknowledge(struct flow *f, const struct packet *p, __u32 d, __u32 status)
{
	__u32 o = d ^ 1;

	if ((status & STATUS_SYN0 << o) && !(status & STATUS_ACKED0 << o)) {
		if (p->ack - f->seq[o] - 1 >= SYN_DATA)
			return;
		f->seq[o] = p->seq; /* about what it will acknowledge */
		status |= __sync_fetch_and_or(&f->status, STATUS_ACKED0 << o);
		status |= STATUS_ACKED0 << o;
		if ((status & STATUS_ACKED) == STATUS_ACKED && !flow_is_closed(status))
			f->timeout = (__u32)f->established_timeout * 1000;
		return;
	}
	/* A forged segment must not move what the next RST is compared with. */
	if ((status & STATUS_ACKED0 << d) && near(p->seq, f->seq[o], IN_FLIGHT))
		f->seq[d] = p->ack;
}

/* tcp_track moves a flow on by a segment that side d sent. */
static __always_inline void tcp_track(struct flow *f, const struct packet *p, __u32 d)
{
	__u32 status = f->status, o = d ^ 1;

	d &= 1;
	o &= 1;
	if ((p->flags & TCP_SYN) && !(status & STATUS_ACKED0 << d)) {
		f->seq[d] = p->seq;
		if (!(status & STATUS_SYN0 << d))
			status |= __sync_fetch_and_or(&f->status, STATUS_SYN0 << d) | STATUS_SYN0 << d;
	}
	if (p->flags & TCP_RST) {
		if (reset_acceptable(f, p, d, status))
			close_flow(f, STATUS_CLOSED);
		return;
	}
	if (p->flags & TCP_ACK)
		tcp_acknowledge(f, p, d, status);
	if (!(p->flags & TCP_FIN) || (status & STATUS_FIN0 << d))
		return;
	if ((status & STATUS_ACKED0 << o) && !near(p->seq, f->seq[o], IN_FLIGHT))
		return;
	status |= __sync_fetch_and_or(&f->status, STATUS_FIN0 << d) | STATUS_FIN0 << d;
	if (flow_is_closed(status))
		f->timeout = TIMEOUT_TCP_CLOSED;
}

/* track moves a flow on by a packet that side d sent. */
static __always_inline void track(struct flow *f, const struct packet *p, __u32 d)
{
	if (p->key.protocol == PROTO_TCP) {
		if (p->fragment != FRAGMENT_LATER)
			tcp_track(f, p, d);
		return;
	}
	if (d && !(f->status & STATUS_REPLIED)) {
		__sync_fetch_and_or(&f->status, STATUS_REPLIED);
		f->timeout = TIMEOUT_ESTABLISHED;
	}
	if (p->chunk == SCTP_ABORT || p->chunk == SCTP_SHUTDOWN_COMPLETE) {
		__sync_fetch_and_or(&f->status, STATUS_CLOSED);
		f->timeout = TIMEOUT_SCTP_CLOSED;
	}
}

/* opens tells whether a packet begins a connection, so that a closed flow of the same
 * key makes way. */
static __always_inline int opens(const struct packet *p)
{
	if (p->fragment == FRAGMENT_LATER)
		return 0;
	if (p->key.protocol == PROTO_TCP)
		return (p->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
	return p->chunk == SCTP_INIT;
}

/* start_state fills in how a flow begins whose first packet is p. A TCP flow without a
 * SYN is taken up in mid-stream, as established; a SYN with ACK is the answer of a
 * server, whose client is the source. */
static __always_inline void start_state(struct flow_start *s, const struct packet *p)
{
	s->timeout = TIMEOUT_NEW;
	if (p->key.protocol != PROTO_TCP)
		return;
	s->timeout = TIMEOUT_TCP_NEW;
	if (opens(p))
		return;
	s->status = STATUS_MIDSTREAM | STATUS_ACKED;
	s->timeout = (__u32)s->established_timeout * 1000;
	s->reverse = (p->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
	s->seq[0] = s->reverse ? p->seq : p->ack;
	s->seq[1] = s->reverse ? p->ack : p->seq;
}

#endif
