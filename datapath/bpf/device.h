/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a program is told of the device that it runs on. */
#ifndef SLUICE_DEVICE_H
#define SLUICE_DEVICE_H

#include <linux/types.h>

/* Constants of one loaded program; user space sets them before it loads. */
volatile const __u8 at_ingress; /* 1 at ingress, 0 at egress */
volatile const __u32 link_header; /* bytes before the IP header: 14, or 0 */
volatile const __u32 copy_mark; /* skb->mark of copies that leave for their target */

/* What a copy's VXLAN header begins with, the I flag: the network identifier is valid
 * (RFC 7348 §5). */
#define VXLAN_FLAGS 0x08000000

#endif
