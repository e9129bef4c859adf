#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""From close() of a new blob to its being safe: latency.py OFFILES TAG RATE SECONDS ask SOCKET PROFILE | arrive FOLDER

RATE blobs of 4 KiB a second for SECONDS, at least ten.  At most PROBES a second are looked at, in OFFILES/fd0; another process makes
the others, in the next folders, so that looking does not slow them down.

ask: as soon as a blob is closed a sync is asked for.  It is answered when every change made before it is durable on the server, so the time
from close() to the answer is an upper bound of the blob's own: it holds the question, a cookie's way through the watcher, and the
answer.  The connection is made before the clock starts.
arrive: FOLDER is the copy of fd0; the clock ends when the blob stands there under its name, closed or renamed."""
import ctypes
import json
import os
import select
import socket
import struct
import sys
import time

PROBES = 20
PATIENCE = 60
IN_CLOSE_WRITE, IN_MOVED_TO = 0x8, 0x80

offiles, tag, rate, seconds, way = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
probe_rate = min(rate, PROBES)
count = max(10, int(probe_rate * seconds))


def make(folder, name):
    fd = os.open("%s/fd%X/%s" % (offiles, folder, name), os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, os.urandom(4096))
    os.close(fd)
    return time.monotonic()


def load(others):
    """Makes the blobs nobody looks at, until it is killed; a sleep that ended late is made up for."""
    due, made = time.monotonic(), 0
    while True:
        make(1 + made % 200, "load-%s-%d" % (tag, made))
        made += 1
        due += 1 / others
        time.sleep(max(0.0, due - time.monotonic()))


def ask(path, profile):
    body = json.dumps({"wait": True}).encode()
    request = (b"POST /v1/profiles/%s/sync HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
               b"Content-Length: %d\r\n\r\n" % (profile.encode(), len(body))) + body
    times = []
    for i in range(count):
        start = time.monotonic()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            closed = make(0, "probe-%s-%d" % (tag, i))
            s.sendall(request)
            answer = b""
            while b'"type":"done"' not in answer and b'"type":"error"' not in answer:
                piece = s.recv(65536)
                if not piece:
                    break
                answer += piece
            times.append(time.monotonic() - closed)
            if b'"type":"done"' not in answer:
                sys.exit(answer.decode())
        time.sleep(max(0.0, 1 / probe_rate - (time.monotonic() - start)))
    return times


def arrive(folder):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC)
    if libc.inotify_add_watch(fd, folder.encode(), IN_CLOSE_WRITE | IN_MOVED_TO) < 0:
        sys.exit("%s cannot be watched" % folder)
    closed, times, made = {}, [], 0
    due = time.monotonic()
    while made < count or (len(times) < count and time.monotonic() < due + PATIENCE):
        if made < count and time.monotonic() >= due:
            name = "probe-%s-%d" % (tag, made)
            closed[name] = make(0, name)
            made += 1
            due += 1 / probe_rate
        if not select.select([fd], [], [], max(0.0, due - time.monotonic()) if made < count else 1)[0]:
            continue
        seen, events, at = time.monotonic(), os.read(fd, 65536), 0
        while at < len(events):
            length = struct.unpack_from("iIII", events, at)[3]
            name = events[at + 16:at + 16 + length].rstrip(b"\0").decode()
            at += 16 + length
            if name in closed:
                times.append(seen - closed.pop(name))
    return times


child = 0
if rate > probe_rate:
    child = os.fork()
    if not child:
        load(rate - probe_rate)
try:
    waits = sorted(ask(*sys.argv[6:]) if way == "ask" else arrive(*sys.argv[6:]))
finally:
    if child:
        os.kill(child, 9)
        os.waitpid(child, 0)
if waits:
    print("close_p50 ms %.3f" % (waits[len(waits) // 2] * 1000))
    print("close_p99 ms %.3f" % (waits[min(len(waits) - 1, len(waits) * 99 // 100)] * 1000))
print("close_lost count %d" % (count - len(waits)))
