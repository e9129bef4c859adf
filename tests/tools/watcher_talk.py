#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Talks with a watcher; waits for its pokes, never for the clock.

  watcher_talk.py status SOCKET                          its figures
  watcher_talk.py quit SOCKET                            asks it to end
  watcher_talk.py until SOCKET WORDS                     asks for figures until they hold WORDS (it tells of each commit by a poke)
  watcher_talk.py barrier SOCKET COOKIES DUMP...         makes a cookie, returns when DUMP... prints its row; prints all rows
  watcher_talk.py latency SOCKET DIR TIMES               median milliseconds from a file's close to the poke
"""
import os
import select
import socket
import subprocess
import sys
import time

PATIENCE = 60


class Talk:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.rest = b""
        self.hello = self.line()

    def line(self, seconds=PATIENCE):
        while b"\n" not in self.rest:
            if not select.select([self.socket], [], [], seconds)[0]:
                return None
            data = self.socket.recv(65536)
            if not data:
                sys.exit("the watcher hung up")
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def ask(self, words):
        self.socket.sendall(words.encode() + b"\n")

    def status(self):
        self.ask("status")
        while True:
            line = self.line()
            if line is None:
                sys.exit("the watcher does not answer")
            if line.startswith("status "):
                return line


def barrier(talk, cookies, dump):
    name = "cookie-%d-%d" % (os.getpid(), time.monotonic_ns())
    with open(os.path.join(cookies, name), "w"):
        pass
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        rows = subprocess.run(dump, capture_output=True, check=True).stdout
        if (" " + name + "\n").encode() in rows:
            os.unlink(os.path.join(cookies, name))
            sys.stdout.buffer.write(rows)
            return 0
        talk.line(1)
    print("the cookie did not come back", file=sys.stderr)
    return 1


def latency(talk, folder, times):
    took = []
    for i in range(times):
        with open(os.path.join(folder, "latency-%d" % i), "w") as f:
            f.write("x")
        start = time.monotonic()
        while True:
            line = talk.line()
            if line is None:
                sys.exit("no poke")
            if line.startswith("poke "):
                break
        took.append((time.monotonic() - start) * 1000)
    print("%d" % sorted(took)[times // 2])
    return 0


def until(talk, words):
    end = time.monotonic() + PATIENCE
    while words not in talk.status():
        if time.monotonic() > end:
            return 1
        select.select([talk.socket], [], [], 0.2)
    return 0


def main(verb, path, *rest):
    talk = Talk(path)
    if verb == "status":
        print(talk.status())
        return 0
    if verb == "quit":
        talk.ask("quit")
        return 0
    if verb == "until":
        return until(talk, rest[0])
    if verb == "barrier":
        return barrier(talk, rest[0], rest[1:])
    if verb == "latency":
        return latency(talk, rest[0], int(rest[1]))
    return 2


sys.exit(main(*sys.argv[1:]))
