#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""More events than the kernel's queue holds, and no change in the end: flood.py DIR makes two files there, and gives them modes in
turns until the queue of whoever watches DIR, and does not read, has overflown.  The kernel folds only equal neighbours."""
import os
import sys

with open("/proc/sys/fs/inotify/max_queued_events") as f:
    count = int(f.read()) + 100
names = [os.path.join(os.fsencode(sys.argv[1]), b"flood%d" % i) for i in (1, 2)]
for name in names:
    with open(name, "w"):
        os.chmod(name, 0o640)
for i in range(count):
    os.chmod(names[i % 2], 0o600)
for name in names:
    os.chmod(name, 0o640)
