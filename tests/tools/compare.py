#!/usr/bin/env python3
"""Compares a restored post office or domain with the live one, sharing no code with tidemark.

usage: compare.py LIVE RESTORED [--since UNIXTIME]

Every file that a set must hold is there with the same SHA-256, and nothing else is.  With --since, what the live tree
changed at or after that time is left out: it is in use.  Exit status 0 equal, 14 different; every difference is named.
"""
import hashlib, os, re, stat, sys

AREAS = ("ofuser", "ofmsg", "offiles", "ofviews", "gwdms")
ROOT = re.compile(r"(wphost\.db|ngwguard\..*|ngwcheck\.db|.*\.dc|wpdomain\.db|mtaname)$", re.I)
NEVER = re.compile(r"....gwbk\..*$", re.I)


def files(root):
    """Relative path -> full path of every file that belongs into a set, fixed directories in lower case."""
    found = {}
    for name in os.listdir(os.fsencode(root)):
        full = os.path.join(os.fsencode(root), name)
        text = name.decode("utf-8", "surrogateescape")
        mode = os.lstat(full).st_mode
        if stat.S_ISREG(mode) and ROOT.match(text):
            found[name] = full
        elif (stat.S_ISDIR(mode) or os.path.isdir(full)) and text.lower() in AREAS:
            for folder, _, names in os.walk(full, followlinks=False):
                for n in names:
                    path = os.path.join(folder, n)
                    if stat.S_ISREG(os.lstat(path).st_mode) and not NEVER.match(n.decode("utf-8", "surrogateescape")):
                        inside = os.path.relpath(path, full)
                        if text.lower() == "ofuser" and inside.lower().startswith(b"index/"):
                            inside = b"index/" + inside[6:]
                        found[text.lower().encode() + b"/" + inside] = path
    return found


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            h.update(piece)
    return h.digest()


def main():
    live_root, restored_root = sys.argv[1:3]
    since = float(sys.argv[4]) if len(sys.argv) > 4 else float("inf")
    live, restored = files(live_root), files(restored_root)
    bad = checked = size = 0
    for path in sorted(set(live) | set(restored)):
        try:
            recent = path in live and os.lstat(live[path]).st_mtime >= since
            if path not in live:
                # Deleted while in use: the folder it lay in says when.
                folder = os.path.join(os.fsencode(live_root), os.path.dirname(path))
                if since != float("inf") and os.path.isdir(folder) and os.stat(folder).st_mtime >= since:
                    continue
                what = "not in the live tree"
            elif path not in restored:
                what = None if recent else "missing from the restored tree"
            else:
                checked += 1
                size += os.lstat(restored[path]).st_size
                same = sha256(live[path]) == sha256(restored[path])
                what = None if same or recent or os.lstat(live[path]).st_mtime >= since else "content differs"
        except FileNotFoundError:
            continue
        if what:
            bad += 1
            print(f"{path.decode('utf-8', 'backslashreplace')}: {what}")
    print(f"compared {checked} files, {size / 1048576:.1f} MiB: {bad} differences", file=sys.stderr)
    return 14 if bad or not checked else 0


sys.exit(main())
