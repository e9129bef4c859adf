#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What was promised and must be there after the power failed: a writer that keeps its own books, and the auditor who reads them.

  witness.py edit PO LEDGER SEED      a few seeded edits below PO, each path written down before it is touched
  witness.py forget LEDGER all|others     nothing of what is live is promised any more, or only what this writer made
  witness.py unpromised PO LEDGER     bytes of the files that may have to travel, because nothing was promised of them
  witness.py promise PO LEDGER        a sync just ended: everything that PO holds is durable on the server from now on
  witness.py promise-set PO LEDGER SET    a backup was just reported good: SET holds what PO holds
  witness.py sets STORE               every set that has its name is whole, by its own manifest
  witness.py kept PO LEDGER PATH FILE    FILE, on the server, is what PATH was once promised to hold, and the live file is that but for
                                          bytes that are zero now: a power failure took them, and left size and times
  witness.py check STORE LEDGER       the same, and the profile's folder on the server keeps all that was promised

The ledger is text of lines: "touched PATH", "forget WHAT", "durable", "set NAME", each of the last two followed by the lines "holds
SHA256 PATH".  What is touched or forgotten is promised nothing until the next "durable".

Shares no code with the product.  Prints each violation; 14 for any.
"""
import hashlib
import os
import random
import re
import sys

BLOBS, INDEX = "offiles", "ofuser/index"
SIZES = (1, 200, 4096, 5000, 9000, 40000)
KINDS = ["make"] * 12 + ["remove", "rename", "replace", "folder", "index", "patch"] * 3 + ["large"]


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while piece := f.read(1 << 20):
            h.update(piece)
    return h.hexdigest()


def files(top, *areas):
    for area in areas:
        for folder, _, names in os.walk(os.path.join(top, area)):
            for name in names:
                yield os.path.relpath(os.path.join(folder, name), top)


def write_down(ledger, lines):
    """At once or, when somebody kills us, not at all: a promise is whole."""
    fd = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, "".join(line + "\n" for line in lines).encode())
    os.close(fd)


# ---- the writer ----

def is_ours(path):
    """A blob that no database knows, and no simulated agent."""
    return path.startswith(BLOBS) and os.path.basename(path).startswith(("w", "keep"))


def make(path, rng, sizes):
    with open(path, "wb") as f:
        f.write(rng.randbytes(rng.choice(sizes)))


def edit_once(top, ledger, rng):
    blobs = [p for p in files(top, BLOBS) if is_ours(p) and not p.endswith("keep")]
    folder = "%s/fd%X" % (BLOBS, rng.randrange(16))
    new = "%s/w%08x" % (folder, rng.getrandbits(32))
    kind = rng.choice(KINDS)
    old = rng.choice(blobs) if blobs and kind in ("remove", "rename", "replace") else None
    index = "%s/witness%d.idx" % (INDEX, rng.randrange(3))
    if kind == "folder":
        new = "%s/deep%d/w%08x" % (folder, rng.randrange(4), rng.getrandbits(32))
    write_down(ledger, ["touched " + p for p in (old, new, index) if p])
    os.makedirs(os.path.join(top, os.path.dirname(new)), exist_ok=True)
    if kind == "remove" and old:
        os.unlink(os.path.join(top, old))
    elif kind == "rename" and old:
        os.rename(os.path.join(top, old), os.path.join(top, new))
    elif kind in ("index", "patch"):
        fd = os.open(os.path.join(top, index), os.O_WRONLY | os.O_CREAT, 0o640)
        size = os.fstat(fd).st_size
        os.pwrite(fd, rng.randbytes(rng.randrange(1, 6000)), size if kind == "index" else rng.randrange(size + 1))
        os.close(fd)
    else:
        make(os.path.join(top, new), rng, (300000, 900000) if kind == "large" else SIZES)
        if kind == "replace" and old:
            os.rename(os.path.join(top, new), os.path.join(top, old))


def edit(top, ledger, seed):
    rng = random.Random(int(seed))
    for _ in range(rng.choice((1, 5, 10, 60))):
        edit_once(top, ledger, rng)


def promise(top, ledger):
    write_down(ledger, ["durable"] + holds(top, BLOBS, INDEX))


def promise_set(top, ledger, name):
    write_down(ledger, ["set " + name] + holds(top, BLOBS, "ofuser", "ofmsg", "ofviews", "gwdms"))


def holds(top, *areas):
    return ["holds %s %s" % (sha256(os.path.join(top, p)), p) for p in files(top, *areas)]


# ---- the auditor ----

def read_ledger(path):
    """What is durable (path -> SHA-256), and what each set holds."""
    durable, sets, into = {}, {}, None
    with open(path) as f:
        lines = f.read().splitlines()
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "forget":
            for name in [n for n in durable if rest == "all" or not is_ours(n)]:
                del durable[name]
        elif word == "touched":
            durable.pop(rest, None)
        elif word == "durable":
            durable.clear()
            into = durable
        elif word == "set":
            into = sets.setdefault(rest, {})
        elif word == "holds":
            digest, _, name = rest.partition(" ")
            into[name] = digest
    return durable, sets


def versions(store, path):
    """Every place on the server where content of this blob may lie."""
    yield os.path.join(store, "blobs", path)
    folder = os.path.join(store, "blobs/versions")
    for number in os.listdir(folder) if os.path.isdir(folder) else ():
        yield os.path.join(folder, number, path)


def place_has(places, digest):
    return any(os.path.isfile(p) and sha256(p) == digest for p in places)


def check_durable(store, durable):
    for path, digest in sorted(durable.items()):
        places = versions(store, path) if path.startswith(BLOBS + "/") else [os.path.join(store, "gre_data", path)]
        if not place_has(places, digest):
            yield "%s was acknowledged as durable, and is not there with its content" % path


def check_promised_set(store, name, content):
    top = os.path.join(store, "backups/weeknow", name)
    if not os.path.isdir(top):
        yield "set %s was reported good, and is not there" % name
        return
    for path, digest in sorted(content.items()):
        places = versions(store, path) if path.startswith(BLOBS + "/") else [os.path.join(top, path)]
        if not place_has(places, digest):
            yield "set %s: %s is not there with the content that was backed up" % (name, path)


def unescape(text):
    return re.sub(rb"\\(\\|x[0-9a-fA-F]{2})", lambda m: b"\\" if m[1] == b"\\" else bytes.fromhex(m[1][1:].decode()), text)


def check_manifest(top, manifest):
    """Lines of kind, new, mode, uid, gid, size, mtime, xxh128, sha256, path, extra; the last one holds the sum of all before."""
    if not os.path.isfile(manifest):
        yield "it has no manifest"
        return
    with open(manifest, "rb") as f:
        data = f.read()
    body, _, end = data.rpartition(b"end\t")
    if not end or hashlib.sha256(body).hexdigest() != end.split(b"\t")[1].strip().decode():
        yield "its manifest is not whole"
        return
    for line in body.splitlines()[1:]:
        kind, _, _, _, _, size, _, _, digest, path = line.split(b"\t")[:10]
        full = os.path.join(os.fsencode(top), unescape(path))
        if kind == b"d" and not os.path.isdir(full):
            yield "the folder %s is missing" % path.decode()
        elif kind == b"A" and not os.path.islink(full):
            yield "the link %s is missing" % path.decode()
        elif kind == b"f" and not (os.path.isfile(full) and os.path.getsize(full) == int(size) and sha256(full) == digest.decode()):
            yield "%s is not what the manifest says" % path.decode()


def check_sets(store):
    folder = os.path.join(store, "backups/weeknow")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        for violation in check_manifest(os.path.join(folder, name), os.path.join(store, "state/manifests", name)):
            yield "set %s: %s" % (name, violation)


def kept(top, ledger, path, stored):
    """A file system may give a file that nobody synced its size and times back, and zeros for its bytes: its stat tells nobody."""
    with open(ledger) as f:
        promised = {line.split(" ")[1] for line in f.read().splitlines() if line.startswith("holds ") and line.split(" ", 2)[2] == path}
    live = os.path.join(top, path)
    a, b = os.stat(live), os.stat(stored)
    if sha256(stored) not in promised or (a.st_size, a.st_mtime_ns) != (b.st_size, b.st_mtime_ns):
        return False
    with open(live, "rb") as f, open(stored, "rb") as g:
        return all(x in (0, y) for x, y in zip(f.read(), g.read()))


def check(store, ledger):
    yield from check_sets(store)
    durable, sets = read_ledger(ledger)
    yield from check_durable(store, durable)
    for name, content in sets.items():
        yield from check_promised_set(store, name, content)
    print("# %d durable files, %d sets were promised" % (len(durable), len(sets)))


def main():
    verb, args = sys.argv[1], sys.argv[2:]
    if verb == "forget":
        write_down(args[0], ["forget " + args[1]])
        return 0
    if verb == "unpromised":
        durable, _ = read_ledger(args[1])
        print(sum(os.path.getsize(os.path.join(args[0], p)) for p in files(args[0], BLOBS, INDEX) if p not in durable))
        return 0
    if verb in ("edit", "promise", "promise-set"):
        {"edit": edit, "promise": promise, "promise-set": promise_set}[verb](*args)
        return 0
    if verb == "kept":
        return 0 if kept(*args) else 1
    violations = list({"check": check, "sets": check_sets}[verb](*args))
    for violation in violations[:20]:
        print(violation)
    return 14 if violations else 0


sys.exit(main())
