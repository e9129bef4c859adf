#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Waits for programs that do not say when they are done.

  until.py listens PORT [SECONDS]            a TCP port of 127.0.0.1 accepts
  until.py equal SOURCE COPY [SECONDS]       the same files, sizes and times of change below both
  until.py cpu SECONDS PID...                processor time of these in that time, as a part of one core

Systems of others are looked at from outside, so this looks again and again; less often while a look takes long, so that looking
does not slow down what is measured."""
import os
import socket
import sys
import time


def listens(port, seconds="30"):
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", int(port))) == 0:
                return 0
        time.sleep(0.02)
    return 1


def tree(top):
    found = {}
    stack = [""]
    while stack:
        below = stack.pop()
        try:
            with os.scandir(os.path.join(top, below)) as entries:
                for entry in entries:
                    path = os.path.join(below, entry.name)
                    if entry.name.startswith(".st") or (not below and entry.name.lower() in ("ofwork", "oftemp", "wpcsin", "wpcsout")):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(path)
                    else:
                        st = entry.stat(follow_symlinks=False)
                        found[path] = (st.st_size, st.st_mtime_ns)
        except FileNotFoundError:
            pass
    return found


def equal(source, copy, seconds="600"):
    end = time.monotonic() + float(seconds)
    want = tree(source)
    while time.monotonic() < end:
        start = time.monotonic()
        have = tree(copy)
        if want == have:
            return 0
        time.sleep(max(0.05, 2 * (time.monotonic() - start)))
    wrong = [path for path in want.keys() | have.keys() if want.get(path) != have.get(path)]
    print("%d files differ, such as %s" % (len(wrong), sorted(wrong)[:3]), file=sys.stderr)
    return 1


def spent(pids):
    total = 0
    for pid in pids:
        for task in os.listdir("/proc/%s/task" % pid):
            with open("/proc/%s/task/%s/schedstat" % (pid, task)) as f:
                total += int(f.read().split()[0])
    return total


def cpu(seconds, *pids):
    before = spent(pids)
    start = time.monotonic()
    time.sleep(float(seconds))
    print("%.6f" % ((spent(pids) - before) / 1e9 / (time.monotonic() - start)))
    return 0


if __name__ == "__main__":
    sys.exit({"listens": listens, "equal": equal, "cpu": cpu}[sys.argv[1]](*sys.argv[2:]))
