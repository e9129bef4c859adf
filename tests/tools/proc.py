#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes, as the tests need them: everything is awaited through the kernel, nothing is guessed by sleeping.

  proc.py port                    a free TCP port of 127.0.0.1
  proc.py launch LOG CMD...       starts a daemon in the background, prints its pid once it says READY=1 (sd_notify);
                                  when it ends before that: its exit status
  proc.py gone PID SECONDS        returns when the process has ended; 1 after the time
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


def launch(log, *command):
    name = "\0tidemark-test-%d" % os.getpid()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    listener.bind(name)
    env = dict(os.environ, NOTIFY_SOCKET="@" + name[1:])
    with open(log, "ab") as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env)
    ended = os.pidfd_open(child.pid)
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    poll.register(ended, select.POLLIN)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        events = dict(poll.poll(1000))
        if listener.fileno() in events:
            data, controls, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(12))
            sender = struct.unpack("iII", controls[0][2])[0]
            # Children of the daemon inherit the address; faketime and the like exec, so the pid is the daemon's.
            if sender == child.pid and b"READY=1" in data.split(b"\n"):
                print(child.pid)
                return 0
        elif ended in events:
            status = child.wait()
            return status if status > 0 else 1
    os.kill(child.pid, signal.SIGKILL)
    print("not ready after a minute", file=sys.stderr)
    return 1


def gone(pid, seconds):
    try:
        fd = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return 0
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return 0 if poll.poll(float(seconds) * 1000) else 1


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
