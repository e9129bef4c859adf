#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""close() to durable: latency.py SOCKET PROFILE FOLDER COUNT RATE ROUND

Writes COUNT blobs of 4 KiB at RATE a second and asks for a sync as soon as each is closed.  A sync is answered when every change
made before it is durable on the server, so the time from close() to the answer is an upper bound of the blob's own: it
holds the question, a cookie's way through the watcher, and the answer.  The connection is made before the clock starts."""
import json
import os
import socket
import sys
import time

path, profile, folder, count, rate, round_ = sys.argv[1:]
times = []
body = json.dumps({"wait": True}).encode()
request = (b"POST /v1/profiles/%s/sync HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
           b"Content-Length: %d\r\n\r\n" % (profile.encode(), len(body))) + body
for i in range(int(count)):
    start = time.monotonic()
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        fd = os.open("%s/lat%s-%d" % (folder, round_, i), os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(fd, os.urandom(4096))
        os.close(fd)
        closed = time.monotonic()
        s.sendall(request)
        answer = b""
        while b'"type"' not in answer:
            piece = s.recv(65536)
            if not piece:
                break
            answer += piece
        done = time.monotonic()
        if b'"error"' in answer or b'"done"' not in answer:
            sys.exit(answer.decode())
    times.append((done - closed) * 1000)
    time.sleep(max(0.0, 1 / float(rate) - (time.monotonic() - start)))
times.sort()
print("latency.p50 %.2f" % times[len(times) // 2])
print("latency.p99 %.2f" % times[len(times) * 99 // 100])
