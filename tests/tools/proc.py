#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes, as the tests need them: what can be awaited is awaited, nothing is guessed by sleeping.

  proc.py port                    a free TCP port of 127.0.0.1
  proc.py launch LOG SOCKET CMD...  starts a daemon in the background, prints its pid once its control socket answers; when it
                                  ends before that: its exit status
  proc.py gone PIDS SECONDS       returns when the processes ("1 2 3") have ended; 1 after the time
  proc.py owner SOCKET            pid of the process that listens on a Unix socket, also when that process is stopped
  proc.py children PID            pids of its children
  proc.py memory PID...           private bytes of all of them together
"""
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        print(s.getsockname()[1])


def answers(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        try:
            s.connect(path)
        except OSError:
            return False
    return True


def launch(log, path, *command):
    # Not through sd_notify: under systemd the collector leaves the watcher to its unit.
    with open(log, "ab") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    poll = select.poll()
    poll.register(os.pidfd_open(child.pid), select.POLLIN)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if poll.poll(20):
            status = child.wait()
            return status if status > 0 else 1
        if answers(path):
            print(child.pid)
            return 0
    os.kill(child.pid, signal.SIGKILL)
    print("not ready after a minute", file=sys.stderr)
    return 1


def gone(pids, seconds):
    until = time.monotonic() + float(seconds)
    for pid in pids.split():
        try:
            fd = os.pidfd_open(int(pid))
        except ProcessLookupError:
            continue
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            return 1
    return 0


def owner(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        try:
            s.connect(path)
        except OSError:
            return 1
        print(struct.unpack("iII", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    return 0


def children(pid):
    for tid in os.listdir("/proc/%s/task" % pid):
        with open("/proc/%s/task/%s/children" % (pid, tid)) as f:
            for child in f.read().split():
                print(child)


def memory(*pids):
    total = 0
    for pid in pids:
        with open("/proc/%s/smaps_rollup" % pid) as f:
            for line in f:
                if line.startswith(("Private_Clean:", "Private_Dirty:")):
                    total += int(line.split()[1]) * 1024
    print(total)


if __name__ == "__main__":
    verbs = {"port": port, "launch": launch, "gone": gone, "owner": owner, "children": children, "memory": memory}
    sys.exit(verbs[sys.argv[1]](*sys.argv[2:]) or 0)
