#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that do nothing, or next to nothing: flood.py idle|slow PORT COUNT.

Opens them all and says "open N" (how many the server has let in until then), holds them until its standard input ends, then says how many were
still open.  A slow one sends a byte of a TLS greeting a second.
"""
import resource
import select
import socket
import sys

GREETING = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505)


def open_all(port, count):
    sockets = []
    for _ in range(count):
        try:
            sockets.append(socket.create_connection(("127.0.0.1", port), 10))
        except OSError:     # the kernel's own queue is full: that is the server's right
            pass
    return sockets


def is_open(s):
    try:
        return s.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def drip(sockets, turn):
    for s in sockets:
        try:
            s.send(GREETING[turn % len(GREETING):][:1], socket.MSG_DONTWAIT)
        except OSError:
            pass


def main(kind, port, count):
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(count) + 100, max(limit[1], int(count) + 100)))
    sockets = open_all(int(port), int(count))
    print("open", len(sockets), flush=True)
    turn = 0
    while not select.select([sys.stdin], [], [], 1)[0]:
        if kind == "slow":
            drip(sockets, turn)
            turn += 1
    print("left", sum(map(is_open, sockets)), flush=True)


main(*sys.argv[1:])
