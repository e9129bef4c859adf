#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of every kind, made, changed and compared through directory descriptors, so that no path is too long.

  oddnames.py short DIR SEED         a file for every name of one and of two bytes; each holds its name
  oddnames.py churn DIR SEED         of these, a third is deleted, a third is renamed among the rest, a third is replaced
  oddnames.py deep DIR BYTES         folders with names of 255 bytes below each other until the path from DIR has BYTES, a file in each
  oddnames.py touch DIR BYTES        changes the file in each of those: replaced by a rename
  oddnames.py compare LIVE COPY      names, kinds and contents of both trees; prints each difference, 14 when there is one
"""
import hashlib
import os
import random
import sys

LONG = b"n" * 255


def write(name, data, fd):
    out = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640, dir_fd=fd)
    os.write(out, data)
    os.close(out)


def replace(name, data, fd):
    write(b"tmp-name", data, fd)
    os.rename(b"tmp-name", name, src_dir_fd=fd, dst_dir_fd=fd)


def all_short():
    letters = [bytes((c,)) for c in range(1, 256) if c != ord("/")]
    return sorted(set(letters + [a + b for a in letters for b in letters]) - {b".", b".."})


def short(top, seed):
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    names = all_short()
    random.Random(seed).shuffle(names)
    for name in names:
        write(name, name, fd)
    print(len(names))


def churn(top, seed):
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    names = all_short()
    random.Random(seed + 1).shuffle(names)
    third = len(names) // 3
    for name in names[:third]:
        os.unlink(name, dir_fd=fd)
    for old, new in zip(names[third:2 * third], names[:third]):
        os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd)
    for name in names[2 * third:]:
        replace(name, b"again " + name, fd)


def levels(top, limit, visit):
    fd, length = os.open(top, os.O_RDONLY | os.O_DIRECTORY), 0
    while length + 256 <= limit:
        visit(fd)
        below = os.open(LONG, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd, length = below, length + 256
    os.close(fd)


def deep(top, limit):
    def make(fd):
        os.mkdir(LONG, 0o750, dir_fd=fd)
        write(b"file", os.urandom(100), fd)
    levels(top, int(limit), make)


def touch(top, limit):
    levels(top, int(limit), lambda fd: replace(b"file", os.urandom(200), fd))


def manifest(top):
    """Path -> kind and sum, without recursion: one descriptor for each level of the way down."""
    found = {}
    waiting = [(os.open(top, os.O_RDONLY | os.O_DIRECTORY), b"")]
    while waiting:
        fd, path = waiting.pop()
        for entry in os.scandir(fd):
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                found[path + name] = "directory"
                waiting.append((os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd), path + name + b"/"))
            else:
                inside = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
                with open(inside, "rb") as f:
                    found[path + name] = hashlib.sha256(f.read()).hexdigest()
        os.close(fd)
    return found


def compare(live, copy):
    a, b = manifest(live), manifest(copy)
    differences = [p for p in sorted(a.keys() | b.keys()) if a.get(p) != b.get(p)]
    for path in differences[:10]:
        print("...%s (%d bytes): %s, but %s" % (path[-60:], len(path), a.get(path), b.get(path)))
    print("%d names compared, %d differences" % (len(a), len(differences)))
    return 14 if differences or not a else 0


verbs = {"short": short, "churn": churn, "deep": deep, "touch": touch, "compare": compare}
arguments = [int(a) if a.isdigit() else os.fsencode(a) for a in sys.argv[2:]]
sys.exit(verbs[sys.argv[1]](*arguments) or 0)
