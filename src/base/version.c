/* SPDX-License-Identifier: GPL-2.0-or-later */
/* version - the number that the Makefile gives. */
#include "base/version.h"

const char tidemark_version[] = TIDEMARK_VERSION;
