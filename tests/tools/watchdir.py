#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to the names of a folder: watchdir.py DIR prints one line an event ("create NAME", "moved_to NAME", ...) until it is ended.

Prints "watching" first, so that one can wait for it."""
import ctypes
import os
import struct
import sys

EVENTS = {0x2: "modify", 0x4: "attrib", 0x8: "close_write", 0x40: "moved_from", 0x80: "moved_to", 0x100: "create", 0x200: "delete"}
libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(0)
if libc.inotify_add_watch(fd, os.fsencode(sys.argv[1]), 0x2 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200) < 0:
    sys.exit("%s: %s" % (sys.argv[1], os.strerror(ctypes.get_errno())))
print("watching", flush=True)
while True:
    data = os.read(fd, 65536)
    while data:
        _, mask, _, n = struct.unpack_from("iIII", data)
        name = data[16:16 + n].rstrip(b"\0")
        data = data[16 + n:]
        for bit, word in EVENTS.items():
            if mask & bit:
                print(word, os.fsdecode(name), flush=True)
