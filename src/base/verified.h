/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verified - what re-reading a sealed set from its disk has found: the same numbers in catalogue, orders, messages and status.
 */
#ifndef BASE_VERIFIED_H
#define BASE_VERIFIED_H

enum set_verified {
	SET_UNKNOWN, /* not yet re-read */
	SET_GOOD,
	SET_DIFFERS, /* from its manifest */
};

#endif
