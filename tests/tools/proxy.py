#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A network that can fail: proxy.py PORT TARGET_PORT forwards connections of 127.0.0.1.

SIGUSR1 cuts all connections at once (resets them), SIGUSR2 swallows everything without a word, SIGHUP lets it flow again.
--cut-every BYTES CUTS resets the connection after so many bytes, CUTS times.  --count FILE keeps the number of all bytes that went
through, in both directions, in FILE.  Prints "listening", and one line a cut."""
import os
import selectors
import signal
import socket
import struct
import sys

port, target = int(sys.argv[1]), int(sys.argv[2])
cut_every, cuts = (int(sys.argv[4]), int(sys.argv[5])) if sys.argv[3:4] == ["--cut-every"] else (0, 0)
counter = os.open(sys.argv[4], os.O_WRONLY | os.O_CREAT, 0o600) if sys.argv[3:4] == ["--count"] else None
total = 0
sel = selectors.DefaultSelector()
pairs = {}      # socket -> its other end
passed = 0
asked = set()
swallow = False
signal.signal(signal.SIGUSR1, lambda *_: asked.add("cut"))
signal.signal(signal.SIGUSR2, lambda *_: asked.add("swallow"))
signal.signal(signal.SIGHUP, lambda *_: asked.add("flow"))
wake_r, wake_w = socket.socketpair()
wake_r.setblocking(False)
wake_w.setblocking(False)
signal.set_wakeup_fd(wake_w.fileno())
listener = socket.create_server(("127.0.0.1", port))
sel.register(listener, selectors.EVENT_READ)
sel.register(wake_r, selectors.EVENT_READ)
print("listening", flush=True)


def end(s):
    for each in (s, pairs.get(s)):
        if each and each in pairs:
            del pairs[each]
            sel.unregister(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()


def cut():
    global passed
    passed = 0
    for s in list(pairs):
        end(s)
    print("cut", flush=True)


while True:
    for key, _ in sel.select():
        s = key.fileobj
        if s is wake_r:
            wake_r.recv(4096)
            if "cut" in asked:
                cut()
            if "swallow" in asked:
                swallow = True
            if "flow" in asked:
                swallow = False
                cut()
            asked.clear()
        elif s is listener:
            near, _ = listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", target))
            except OSError:
                near.close()
                continue
            pairs[near], pairs[far] = far, near
            sel.register(near, selectors.EVENT_READ)
            sel.register(far, selectors.EVENT_READ)
        elif s in pairs:
            try:
                data = s.recv(65536)
                if data and not swallow:
                    pairs[s].sendall(data)
                    passed += len(data)
                    total += len(data)
                    if counter is not None:
                        os.pwrite(counter, b"%d\n" % total, 0)
                    if cuts and passed >= cut_every:
                        cuts -= 1
                        cut()
                        break
                elif not data:
                    end(s)
            except OSError:
                end(s)
