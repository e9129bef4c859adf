#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a disk may hold after its power failed, made from the log of tests/tools/blocklog.c.

  powercut.py LOG BASE OUT SEED [--liar]    prints one line of what was chosen
  powercut.py --shutdown DIR                the file system at DIR drops what it has not written, and does nothing any more

OUT becomes BASE with everything of the log up to its last flush, and then a seeded choice of the writes since, which the disk had only
in its cache: none, all, the first few, any subset, all but one, one alone; and of each of them all sectors, or some: a write is torn
between sectors, never within one.  A write that is left out leaves what an earlier one wrote to the same sector: so a subset in the
order of the log is every order in which a cache may have been emptied.

--liar: a disk that acknowledges flushes and does nothing.  From a seeded record on all is lost, or the choice is made among all
writes since that record, as if no flush had come after it.
"""
import argparse
import fcntl
import os
import random
import struct
import subprocess
import sys

HEADER = struct.Struct("=IIQQ")
SECTOR = 512
FS_IOC_SHUTDOWN, NOFLUSH = 0x8004587D, 2  # ext4 and XFS alike


def records(path):
    """(kind, offset, length, data) in order; a record that the end of the log cuts off never happened."""
    with open(path, "rb") as f:
        while len(head := f.read(HEADER.size)) == HEADER.size:
            kind, _, offset, length = HEADER.unpack(head)
            data = f.read(length) if chr(kind) == "w" else b""
            if chr(kind) == "w" and len(data) < length:
                return
            yield chr(kind), offset, length, data


def last_flush(log):
    """What stands before the last flush is on the medium."""
    return max((i + 1 for i, r in enumerate(log) if r[0] == "f"), default=0)


def choose(pending, rng):
    """Indexes of the unflushed writes that reached the medium, and in which way they were chosen."""
    n = len(pending)
    way = rng.choice(("none", "all", "first", "subset", "subset", "all but one", "one"))
    if way == "none" or not n:
        return "none", set()
    if way == "all":
        return way, set(range(n))
    if way == "first":
        return way, set(range(rng.randrange(n + 1)))
    if way == "subset":
        share = rng.choice((0.1, 0.5, 0.9))
        return way, {i for i in range(n) if rng.random() < share}
    one = rng.randrange(n)
    return way, {one} if way == "one" else set(range(n)) - {one}


def torn(offset, data, rng):
    """Pieces of a write of which the power cut off a part: a head, a tail, or any sectors."""
    sectors = len(data) // SECTOR
    way = rng.randrange(3)
    at = rng.randrange(1, sectors)
    if way == 0:
        return [(offset, data[:at * SECTOR])]
    if way == 1:
        return [(offset + at * SECTOR, data[at * SECTOR:])]
    return [(offset + i * SECTOR, data[i * SECTOR:(i + 1) * SECTOR]) for i in range(sectors) if rng.random() < 0.5]


def zero(fd, offset, length):
    while length > 0:
        piece = min(length, 1 << 20)
        os.pwrite(fd, bytes(piece), offset)
        offset, length = offset + piece, length - piece


def apply(fd, record, pieces=None):
    kind, offset, length, data = record
    if kind == "d":
        zero(fd, offset, length)
    for at, piece in pieces if pieces is not None else [(offset, data)]:
        os.pwrite(fd, piece, at)


def make(log, stable, kept, fd, rng):
    """Writes the image; returns how many writes were torn."""
    for record in log[:stable]:
        apply(fd, record)
    tears = 0
    for record in kept:
        pieces = None
        if len(record[3]) > SECTOR and rng.random() < 0.3:
            pieces = torn(record[1], record[3], rng)
            tears += 1
        apply(fd, record, pieces)
    return tears


def shutdown(mount):
    fd = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("=I", NOFLUSH))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="+")
    parser.add_argument("--liar", action="store_true")
    parser.add_argument("--shutdown", action="store_true")
    args = parser.parse_args()
    if args.shutdown:
        shutdown(args.files[0])
        return 0
    path, base, out, seed = args.files
    log = list(records(path))
    rng = random.Random(int(seed))
    stable, more = last_flush(log), True
    if args.liar:
        stable, more = rng.randrange(len(log) + 1), rng.random() < 0.5
    pending = [r for r in log[stable:] if r[0] != "f"]
    way, chosen = choose(pending, rng) if more else ("all is lost", set())
    subprocess.run(["cp", "--sparse=always", base, out], check=True)
    fd = os.open(out, os.O_RDWR)
    tears = make(log, stable, [pending[i] for i in sorted(chosen)], fd, rng)
    os.close(fd)
    print("%d records stable, %d writes unflushed, %d of them kept (%s), %d torn" % (stable, len(pending), len(chosen), way, tears))
    return 0


sys.exit(main())
