/* SPDX-License-Identifier: GPL-2.0-or-later */
/* version - which version of tidemark this program is: "1.2.3".  In an object of its own, so that tests link the same program as another one. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

extern const char tidemark_version[];

#endif
