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
/* The same for a RST. It closes a flow until one of the two sides shows that it took
 * no notice. */
#define RESET_WINDOW (1 << 20)

static __always_inline int near(__u32 a, __u32 b, __s32 window)
{
	__s32 distance = a - b;

	return distance > -window && distance < window;
}

/* answers_syn tells whether an acknowledgement is one of the SYN of side o, and of no
 * more data than came with it (RFC 9293 §3.10.7.3, RFC 7413). */
static __always_inline int answers_syn(const struct flow *f, const struct packet *p, __u32 o)
{
	return p->ack - f->seq[o & 1] - 1 <= f->syn_data[o & 1];
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
		/* The answer to a SYN acknowledges it; who sent one of his own may give up. */
		return ((p->flags & TCP_ACK) && answers_syn(f, p, o)) ||
		       ((status & STATUS_SYN0 << d) && ((status & STATUS_ACKED0 << d) ||
							p->seq - f->seq[d] - 1 <= f->syn_data[d & 1]));
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
		if (!answers_syn(f, p, o))
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

/* current_timeout is that of a TCP flow that is not closed. */
static __always_inline __u32 current_timeout(const struct flow *f, __u32 status)
{
	return flow_is_established(f, status) ? (__u32)f->established_timeout * 1000 : TIMEOUT_TCP_NEW;
}

/* reopen is for what comes after a flow was taken for closed: whoever goes on after a
 * RST shows that it was forged, or not meant for this connection, and who sends data
 * behind his FIN has not finished. A flow that carries traffic must be in captures. */
static __always_inline __u32 reopen(struct flow *f, const struct packet *p, __u32 d, __u32 status)
{
	__u32 bits = 0;

	if (p->flags & TCP_RST)
		return status;
	if (status & STATUS_CLOSED)
		bits = STATUS_CLOSED;
	else if (p->payload && !(p->flags & TCP_FIN))
		bits = STATUS_FIN0 << d;
	if (!(status & bits))
		return status;
	status = __sync_fetch_and_and(&f->status, ~bits) & ~bits;
	if (!flow_is_closed(status))
		f->timeout = current_timeout(f, status);
	return status;
}

/* tcp_track moves a flow on by a segment that side d sent. */
static __always_inline void tcp_track(struct flow *f, const struct packet *p, __u32 d)
{
	__u32 status = f->status, o = d ^ 1;

	d &= 1;
	o &= 1;
	if (flow_is_closed(status))
		status = reopen(f, p, d, status);
	if ((status & STATUS_MIDSTREAM) && !(status & STATUS_REPLIED) && f->packets[0] && f->packets[1]) {
		status |= __sync_fetch_and_or(&f->status, STATUS_REPLIED) | STATUS_REPLIED;
		if (!flow_is_closed(status))
			f->timeout = current_timeout(f, status);
	}
	if ((p->flags & TCP_SYN) && !(status & STATUS_ACKED0 << d)) {
		f->seq[d] = p->seq;
		f->syn_data[d] = p->payload;
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
	} else if (f->status & STATUS_CLOSED) { /* goes on: as in reopen */
		__sync_fetch_and_and(&f->status, ~STATUS_CLOSED);
		f->timeout = f->status & STATUS_REPLIED ? TIMEOUT_ESTABLISHED : TIMEOUT_NEW;
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

/* out_of_handshake tells a segment that can't come yet: before both sides have sent
 * their SYN there is nothing but SYN and RST. Without this, a SYN alone would let the
 * rest of an old connection through. */
static __always_inline int out_of_handshake(const struct flow *f, const struct packet *p)
{
	__u32 status = f->status;

	return !(status & STATUS_MIDSTREAM) && (status & (STATUS_SYN0 | STATUS_SYN1)) != (STATUS_SYN0 | STATUS_SYN1) &&
	       !(p->flags & (TCP_SYN | TCP_RST)) && p->fragment != FRAGMENT_LATER;
}

/* start_state fills in how a flow begins whose first packet is p. A TCP flow without a
 * SYN is taken up in mid-stream, and established once both sides have sent; a SYN with
 * ACK is the answer of a server, whose client is the source. */
static __always_inline void start_state(struct flow_start *s, const struct packet *p)
{
	s->timeout = TIMEOUT_NEW;
	if (p->key.protocol != PROTO_TCP)
		return;
	s->timeout = TIMEOUT_TCP_NEW;
	if (opens(p))
		return;
	s->status = STATUS_MIDSTREAM | STATUS_ACKED;
	s->reverse = (p->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK);
	s->seq[0] = s->reverse ? p->seq : p->ack;
	s->seq[1] = s->reverse ? p->ack : p->seq;
}

#endif
