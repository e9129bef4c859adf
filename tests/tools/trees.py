#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a tree holds, told without a line of the product's code.

  trees.py compare LIVE COPY [--only AREA]... [--plain] [--content]
      every name, kind, size, mode, mtime and SHA-256 of what a backup of LIVE must hold; prints each difference, 14 when there
      is one.  --plain compares two trees as they are; --only offiles looks at one area; --content leaves mode and mtime out,
      --files folders; --subset lets the copy have more.
  trees.py replica LIVE BLOBS AREA
      every file of LIVE/AREA lies below BLOBS, and its newest version there has its SHA-256 (BLOBS/versions/N/AREA before BLOBS/AREA)
  trees.py sums DIR     "sha256 mode mtime inode path" of everything below DIR, for `cmp`

Names are bytes; they are printed escaped.  Links, FIFOs, sockets and devices are not compared.
"""
import argparse
import fnmatch
import hashlib
import os
import stat
import sys

AREAS = {b"ofuser", b"ofmsg", b"offiles", b"ofviews", b"gwdms"}
ROOT_FILES = ("wphost.db", "wpdomain.db", "ngwguard.*", "ngwcheck.db", "*.dc", "mtaname")


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            h.update(piece)
    return h.hexdigest()


def walk(top, prefix=b""):
    with os.scandir(top) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            path = prefix + entry.name
            yield path, entry
            if entry.is_dir(follow_symlinks=False):
                yield from walk(entry.path, path + b"/")


def belongs(path, is_dir, only):
    head, _, rest = path.partition(b"/")
    area = head.lower()
    if only:
        return area in only
    if area in AREAS:
        return not fnmatch.fnmatch(os.path.basename(path).lower(), b"????gwbk.*")
    return not rest and not is_dir and any(fnmatch.fnmatch(area, p.encode()) for p in ROOT_FILES)


def facts(entry, content):
    st = entry.stat(follow_symlinks=False)
    if content:
        return ("directory",) if stat.S_ISDIR(st.st_mode) else ("file", st.st_size, sha256(entry.path))
    if stat.S_ISDIR(st.st_mode):
        return ("directory", oct(st.st_mode & 0o7777))
    return ("file", oct(st.st_mode & 0o7777), st.st_size, st.st_mtime_ns, sha256(entry.path))


def manifest(top, plain, only, content, files):
    found = {}
    for path, entry in walk(os.fsencode(top)):
        is_dir = entry.is_dir(follow_symlinks=False)
        if not is_dir and not entry.is_file(follow_symlinks=False):
            continue
        if is_dir and files:
            continue
        if not plain and not belongs(path, is_dir, only):
            continue
        head, slash, rest = path.partition(b"/")
        parts = [head.lower()] + ([rest] if slash else [])
        key = path if plain else b"/".join(parts)
        if not plain and key.lower().startswith(b"ofuser/index"):
            key = b"ofuser/index" + key[12:]
        found[key] = facts(entry, content)
    return found


def shown(path):
    return path.decode("utf-8", "backslashreplace").replace("\n", "\\n")


def compare(args):
    only = {a.encode() for a in args.only}
    live, copy = (manifest(top, args.plain, only, args.content, args.files) for top in (args.live, args.copy))
    differences = 0
    for path in sorted(live.keys() if args.subset else live.keys() | copy.keys()):
        a, b = live.get(path), copy.get(path)
        if a == b:
            continue
        differences += 1
        if differences <= 20:
            print("%s: %s, but %s" % (shown(path), a or "not in the live tree", b or "not in the copy"))
    print("%d names compared, %d differences" % (len(live), differences) if live else "there is nothing to compare in the live tree")
    return 14 if differences or not live else 0


def newest(blobs, path):
    """The file that holds the newest version of a blob."""
    versions = os.path.join(blobs, "versions")
    numbers = sorted((int(n) for n in os.listdir(versions)), reverse=True) if os.path.isdir(versions) else []
    for place in [os.path.join(versions, str(n)) for n in numbers] + [blobs]:
        found = os.path.join(os.fsencode(place), path)
        if os.path.isfile(found):
            return found
    return None


def replica(args):
    files = differences = 0
    for path, entry in walk(os.fsencode(os.path.join(args.live, args.area)), os.fsencode(args.area) + b"/"):
        if not entry.is_file(follow_symlinks=False):
            continue
        files += 1
        found = newest(args.blobs, path)
        if not found or sha256(found) != sha256(entry.path):
            differences += 1
            print("%s: %s" % (shown(path), "other bytes in " + shown(found) if found else "not there"))
    print("%d files compared, %d differences" % (files, differences) if files else "there is nothing to compare in the live tree")
    return 14 if differences or not files else 0


def sums(args):
    for path, entry in walk(os.fsencode(args.dir)):
        st = entry.stat(follow_symlinks=False)
        digest = sha256(entry.path) if stat.S_ISREG(st.st_mode) else "-"
        print(digest, oct(st.st_mode), st.st_mtime_ns, st.st_ino, shown(path))
    return 0


def main():
    parser = argparse.ArgumentParser()
    verbs = parser.add_subparsers(dest="verb", required=True)
    c = verbs.add_parser("compare")
    c.add_argument("live")
    c.add_argument("copy")
    c.add_argument("--only", action="append", default=[])
    c.add_argument("--plain", action="store_true")
    c.add_argument("--content", action="store_true")
    c.add_argument("--files", action="store_true")
    c.add_argument("--subset", action="store_true")
    r = verbs.add_parser("replica")
    r.add_argument("live")
    r.add_argument("blobs")
    r.add_argument("area")
    s = verbs.add_parser("sums")
    s.add_argument("dir")
    args = parser.parse_args()
    return {"compare": compare, "replica": replica, "sums": sums}[args.verb](args)


if __name__ == "__main__":
    sys.exit(main())
