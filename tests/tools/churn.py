#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Random edits below a folder: churn.py DIR SEED SECONDS [--write-once].  Creates, changes, renames and deletes files and folders, moves
trees in and out, with every odd name a file system takes.  Prints one line of totals.  SIGTERM ends it between two edits.

A blob is written as an agent writes it: opened, written, closed; now and then in place (not with --write-once), now and then by a
rename."""
import os
import random
import shutil
import signal
import sys
import time

top, seed, seconds = os.fsencode(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
write_once = "--write-once" in sys.argv[4:]
rng = random.Random(seed)
outside = os.path.join(os.fsencode(os.environ.get("OUTSIDE", os.path.dirname(os.path.normpath(top)))), b".outside-%d" % os.getpid())
os.mkdir(outside)
running = True
counts = {}


def stop(*_):
    global running
    running = False


signal.signal(signal.SIGTERM, stop)


def odd_name():
    kind = rng.randrange(10)
    stem = b"%x" % rng.getrandbits(40)
    if kind == 0:
        return b"new\nline " + stem
    if kind == 1:
        return b"bad\xff\xfe\x80utf" + stem
    if kind == 2:
        return (stem * 30)[:255]
    if kind == 3:
        return b"-rf " + stem + b" *?$(x)`'\""
    if kind == 4:
        return b"\xc3\xa4\xe2\x82\xac\xf0\x9f\x93\xac" + stem
    if kind == 5:
        return b".hidden\t" + stem + b"\\n%41"
    return stem


def everything():
    files, folders = [], [top]
    for path, names, found in os.walk(top):
        folders += [os.path.join(path, n) for n in names]
        files += [os.path.join(path, n) for n in found]
    return files, folders


blocks = [bytes(4096)] + [rng.randbytes(4096) for _ in range(3)]


def content():
    """A file's bytes; of one in three made of few blocks that come again: what was known of the file before it must not be believed of it."""
    size = rng.choice((0, 1, 100, 4095, 4096, 4097, 20000, 70000, 300000))
    if rng.randrange(3) == 0:
        return b"".join(rng.choices(blocks, k=size // 4096 + 1))[:size]
    return rng.randbytes(size)


def create(files, folders):
    path = os.path.join(rng.choice(folders), odd_name())
    with open(path, "wb") as f:
        f.write(content())
    files.append(path)


def burst(files, folders):
    for _ in range(rng.randrange(5, 60)):
        create(files, folders)


def change(files, folders):
    path = rng.choice(files)
    with open(path, "r+b") as f:
        f.seek(rng.randrange(0, 20000))
        f.write(rng.randbytes(rng.randrange(1, 9000)))


def truncate(files, folders):
    with open(rng.choice(files), "r+b") as f:  # truncate(2) by name raises no event; agents do not use it
        f.truncate(rng.randrange(0, 10000))


def replace(files, folders):
    path = rng.choice(files)
    temporary = os.path.join(os.path.dirname(path), b"tmp%x" % rng.getrandbits(30))
    with open(temporary, "wb") as f:
        f.write(content())
    os.rename(temporary, path)


def rename(files, folders):
    old = rng.choice(files)
    new = os.path.join(rng.choice(folders), odd_name())
    os.rename(old, new)
    files.remove(old)
    files.append(new)


def delete(files, folders):
    path = rng.choice(files)
    os.unlink(path)
    files.remove(path)


def make_folder(files, folders):
    parent = rng.choice(folders)
    if parent.count(b"/") - top.count(b"/") < 4:
        path = os.path.join(parent, odd_name())
        os.mkdir(path)
        folders.append(path)


def move_folder(files, folders):
    old = rng.choice(folders[1:] or folders)
    new = os.path.join(rng.choice(folders), odd_name())
    if old != top and not (new + b"/").startswith(old + b"/"):
        os.rename(old, new)
        return True


def remove_folder(files, folders):
    path = rng.choice(folders[1:] or folders)
    if path != top and rng.randrange(4) == 0:
        shutil.rmtree(path)
        return True


def tree_in(files, folders):
    tree = os.path.join(outside, b"t%x" % rng.getrandbits(40))
    os.makedirs(os.path.join(tree, odd_name()))
    for path, _, _ in list(os.walk(tree)):
        for _ in range(4):
            with open(os.path.join(path, odd_name()), "wb") as f:
                f.write(content())
    os.rename(tree, os.path.join(rng.choice(folders), odd_name()))
    return True


def tree_out(files, folders):
    path = rng.choice(folders[1:] or folders)
    if path != top and rng.randrange(4) == 0:
        os.rename(path, os.path.join(outside, b"o%x" % rng.getrandbits(40)))
        return True


def modes(files, folders):
    os.chmod(rng.choice(files), rng.choice((0o600, 0o644, 0o640, 0o664)))


edits = [create] * 8 + [burst, change, change, change, truncate, replace, replace, rename, rename, delete, delete, delete,
                        make_folder, make_folder, move_folder, remove_folder, tree_in, tree_out, modes]
if write_once:
    edits = [edit for edit in edits if edit not in (change, truncate)]
end = time.monotonic() + seconds
files, folders = everything()
done = 0
try:
    while running and time.monotonic() < end:
        edit = rng.choice(edits)
        if edit in (change, truncate, replace, rename, delete, modes) and not files:
            edit = create
        try:
            if edit(files, folders):
                files, folders = everything()
        except OSError as error:
            if error.errno not in (36,):  # a path that grew too long
                raise
            files, folders = everything()
        counts[edit.__name__] = counts.get(edit.__name__, 0) + 1
        done += 1
finally:
    shutil.rmtree(outside)
print("seed=%d edits=%d " % (seed, done) + " ".join("%s=%d" % c for c in sorted(counts.items())))
