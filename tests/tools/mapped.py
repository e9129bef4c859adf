#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that writes through a mapping and closes nothing: mapped.py FILE maps it and obeys one line of standard input after the
other, answering "done": `store OFFSET WORD` writes into the mapping, `sync` calls msync."""
import mmap
import sys

with open(sys.argv[1], "r+b") as f:
    view = mmap.mmap(f.fileno(), 0)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "store":
            view[int(words[1]):int(words[1]) + len(words[2])] = words[2].encode()
        elif words[0] == "sync":
            view.flush()
        print("done", flush=True)
