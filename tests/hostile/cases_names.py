# SPDX-License-Identifier: GPL-2.0-or-later
"""C1, C2, C3, C6: names that lead elsewhere, links under way, kinds that are no files, and somebody else's names."""
import os
import shutil
import subprocess
import threading

import wire
from case import case
from mutate import BAD_PATHS, CLIMBING, ODD_NAMES, OUTSIDE
from peer import Peer, Violation, live

TINY = b"hostile"


def _naming(peer, path):
    """One message of each kind that names a path."""
    op = peer.op + 1
    facts = {"hash": wire.digest(peer.secret, TINY), "size": len(TINY)}
    yield wire.message("PUT", op=op, path=path, entry=wire.entry(wire.FILE, **facts), data=TINY)
    yield wire.message("BEGIN", op=op, path=path, mode=0, size=1)
    yield wire.message("BEGIN", op=op, path=path, mode=1, size=1)
    yield wire.message("ENTRY", op=op, path=path, entry=wire.entry(wire.DIRECTORY))
    yield wire.message("ENTRY", op=op, path=path, entry=wire.entry(wire.LINK, target=b"/etc/passwd"))
    yield wire.message("REMOVE", op=op, path=path)


def _asking(path):
    yield wire.message("LIST_REQ", dir=path)
    yield wire.message("SUMS_REQ", after=path)
    yield wire.message("BLOCKS_REQ", path=path, count=1)


@case("C1", "a path that climbs, is absolute, empty, too long or holds a NUL ends the connection, in every message of data")
def bad_paths_in_data(w):
    for path in BAD_PATHS:
        for which in range(6):
            with live(w) as peer:
                peer.send_all([list(_naming(peer, path))[which]])
                peer.expect_end("PEER")
            w.tried()


@case("C1", "so it does in every question")
def bad_paths_in_questions(w):
    for path in BAD_PATHS:
        for which, bytes_ in enumerate(_asking(path)):
            if path == b"" and which < 2:
                continue        # the top, which may be asked for
            with live(w) as peer:
                peer.send_all([bytes_], wire.CONTROL)
                peer.expect_end("PEER")
            w.tried()


@case("C1", "`after` in a question for names is a name or nothing")
def bad_names_after(w):
    for name in CLIMBING + [b"a/b", b"n" * 256, b"a\0b"]:
        if name:
            with live(w) as peer:
                peer.send("LIST_REQ", dir=b"offiles", after=name)
                peer.expect_end("PEER")
            w.tried()


@case("C1", "a path outside the layout is refused, and the connection goes on")
def paths_outside_the_layout(w):
    with live(w) as peer:
        for path in OUTSIDE:
            for which in range(6):
                message = list(_naming(peer, path))[which]
                if path in (b"ofuser", b"offiles", b"ofuser/0101gwbk.001") and which in (3, 5):
                    continue        # as a folder it may be there
                op = peer.next_op()
                peer.send_all([message] + ([wire.message("ABORT", op=op)] if which in (1, 2) else []))
                peer.expect_nak(op, "UNSUPPORTED")
                w.tried()


@case("C1", "what lies outside the layout is not there when it is asked for")
def questions_outside_the_layout(w):
    with live(w) as peer:
        for path in OUTSIDE:
            peer.send("BLOCKS_REQ", path=path, count=4096)
            _, blocks = peer.expect("BLOCKS")
            if blocks["present"] or blocks["v"]:
                raise Violation("%r is shown" % path)
            w.tried()


@case("C1", "odd but lawful names are taken as bytes, and none gets into the log or leaves its folder")
def odd_names(w):
    with live(w) as peer:
        for path in ODD_NAMES:
            peer.send_all([peer.put(path, TINY)])
            peer.expect_durable()
            peer.send_all([peer.remove(path)])
            peer.expect_durable()
            w.tried(2)
        if peer.naks:
            raise Violation("refused: %r" % peer.naks)


@case("C1", "a path far deeper than the system's own limit is a path like any other")
def deep_paths(w):
    for depth in (100, 2000, 8000):
        with live(w) as peer:
            peer.send_all([peer.put(b"ofuser/deep" + b"/d" * depth + b"/x", TINY)])
            peer.expect_durable()
            if peer.naks:
                raise Violation("refused: %r" % peer.naks)
            peer.send("BLOCKS_REQ", path=b"ofuser/deep" + b"/d" * depth + b"/x", count=1)
            if not peer.expect("BLOCKS")[1]["present"]:
                raise Violation("it is not there")
            peer.send_all([peer.remove(b"ofuser/deep" + b"/d" * depth + b"/x")])
            peer.expect_durable()
        w.tried(3)


class Swapper(threading.Thread):
    """Makes a folder of our staging a link to somewhere else and back, as fast as it can: what a helper on the server would do."""

    def __init__(self, folder, elsewhere):
        super().__init__(daemon=True)
        self.folder, self.elsewhere, self.swaps, self.over = folder, elsewhere, 0, threading.Event()
        os.makedirs(folder, exist_ok=True)

    def swap(self):
        aside = self.folder + ".aside"
        os.rename(self.folder, aside)
        os.symlink(self.elsewhere, self.folder)
        os.unlink(self.folder)
        os.rename(aside, self.folder)
        self.swaps += 1

    def run(self):
        while not self.over.is_set():
            try:
                self.swap()
            except OSError:     # the server made the folder anew meanwhile: that one is it now
                shutil.rmtree(self.folder + ".aside", ignore_errors=True)
                if os.path.islink(self.folder):
                    os.unlink(self.folder)
                os.makedirs(self.folder, exist_ok=True)

    def __exit__(self, *_):
        self.over.set()
        self.join()

    def __enter__(self):
        self.start()
        return self


def _under_swaps(w, folder, prefix):
    """Files are written while their folder changes; each is refused or written, the session may end, nothing leaves the folder."""
    elsewhere = w.elsewhere()
    with Swapper(os.path.join(w.store, "evil", folder), elsewhere) as swapper:
        for round_ in range(6):
            with live(w) as peer:
                peer.send_all([peer.put(prefix + b"/swap%d-%d" % (round_, i), TINY) for i in range(200)])
                peer.send_all([peer.remove(prefix + b"/swap%d-%d" % (round_, i)) for i in range(200)])
                peer.settle(30)
                w.tried(400)
    if os.listdir(elsewhere):
        raise Violation("written through a link: %r" % os.listdir(elsewhere)[:5])
    if swapper.swaps < 100:
        raise Violation("only %d swaps" % swapper.swaps)


@case("C2", "a folder of databases that becomes a link while it is written leads nowhere")
def swapped_database_folder(w):
    _under_swaps(w, "gre_data/sync/ofuser/swapped", b"ofuser/swapped")


@case("C2", "a folder of blobs that becomes a link while it is written leads nowhere")
def swapped_blob_folder(w):
    _under_swaps(w, "blobs/offiles/swapped", b"offiles/swapped")


@case("C3", "kinds that are none and bits that are none end the connection")
def kinds_that_are_none(w):
    entries = [wire.entry(kind) for kind in (0, 8, 9, 128, 255)]
    entries += [wire.entry(wire.DIRECTORY, mode=mode) for mode in (0o10000, 0o100644, 0xffff)]
    entries += [wire.entry(wire.LINK, target=target) for target in (b"", b"t" * 4096, b"a\0b")]
    entries += [wire.entry(wire.FILE, size=1 << 63), wire.entry(wire.FILE, size=(1 << 64) - 1)]
    for entry in entries:
        with live(w) as peer:
            peer.send_all([wire.message("ENTRY", op=1, path=b"ofuser/odd", entry=entry)])
            peer.expect_end("PEER")
        w.tried()


@case("C3", "links, devices, pipes and set-id bits are recorded, and none is made on the server's disk")
def specials_are_only_recorded(w):
    with live(w) as peer:
        for area in (b"ofuser/", b"offiles/fd1/", b"ofuser/index/"):
            for kind in (wire.LINK, wire.FIFO, wire.SOCKET, wire.CHAR, wire.BLOCK):
                entry = wire.entry(kind, mode=0o7777, rdev=0x801, target=b"/etc/passwd")
                peer.send_all([wire.message("ENTRY", op=peer.next_op(), path=area + b"special%d" % kind, entry=entry)])
                w.tried()
            peer.send_all([peer.put(area + b"setid", TINY, mode=0o7777, uid=0, gid=0)])
        peer.expect_durable()
        _only_plain_files(os.path.join(w.store, "evil"))
        peer.send_all([peer.remove(area + b"special%d" % kind) for kind in (3, 4, 5, 6, 7) for area in (b"ofuser/", b"offiles/fd1/", b"ofuser/index/")])
        peer.send_all([peer.remove(area + b"setid") for area in (b"ofuser/", b"offiles/fd1/", b"ofuser/index/")])
        peer.expect_durable()


def _only_plain_files(top):
    for folder in ("gre_data", "blobs", "state"):
        found = subprocess.run(["find", os.path.join(top, folder), "(", "-not", "-type", "f", "-not", "-type", "d", ")", "-o", "-perm", "/7000"],
                               check=True, capture_output=True).stdout
        if found:
            raise Violation("on the disk: %r" % found)


@case("C3", "what lies below the name of a link, a pipe or a file stays in our folder")
def files_below_what_is_no_folder(w):
    with live(w) as peer:
        for area in (b"ofuser/", b"offiles/fd1/"):
            for kind in (wire.LINK, wire.FIFO, wire.FILE):
                name = area + b"below%d" % kind
                if kind == wire.FILE:
                    peer.send_all([peer.put(name, TINY)])
                else:
                    peer.send_all([wire.message("ENTRY", op=peer.next_op(), path=name, entry=wire.entry(kind, target=w.elsewhere().encode()))])
                peer.send_all([peer.put(name + b"/passwd", TINY)])
                peer.settle()
                peer.send_all([peer.remove(name + b"/passwd"), peer.remove(name)])
                w.tried()
        peer.expect_durable()
    if os.listdir(w.elsewhere()):
        raise Violation("written through a recorded link")


@case("C6", "another profile's name changes nothing, wherever it is said")
def the_name_of_another(w):
    with Peer(w) as peer:
        peer.hello(host=b"po1", journal=b"po1", build=b"po1")
        _, welcome = peer.expect("WELCOME")
        peer.secret = wire.secret_of(welcome["key"])
        own = welcome["instance"]
        for path in (b"po1/wphost.db", b"po1/offiles/fd0/x", b"po1/ofuser/userabc.db"):
            peer.send_all([peer.put(path, TINY)])
            peer.expect_nak(peer.op, "UNSUPPORTED")
            w.tried()
        peer.send("SEAL", job=1, date=20200101, t0=1, note=b"po1")
        peer.expect("JOB_FAILED")
        w.tried()
    with live(w) as peer:
        peer.send("STOP", job=1, origin=b"po1")
        peer.send("JOB_END", job=1)
        if not peer.settle():
            raise Violation("a job that is not ours ended the connection")
        w.tried(2)
    with Peer(w) as peer:
        peer.hello()
        if peer.expect("WELCOME")[1]["instance"] != own:
            raise Violation("we are somebody else now")


@case("C6", "what only another profile holds is not shown: neither its names nor its blocks")
def what_another_holds(w):
    with live(w) as peer:
        for path in (b"offiles/fd0/only-po1", b"ofuser/index/only-po1"):
            if not any(os.path.exists(os.path.join(w.store, "po1", place, os.fsdecode(path))) for place in ("blobs", "gre_data")):
                raise Violation("the case means nothing: %r is not there" % path)
            peer.send("BLOCKS_REQ", path=path, count=4096)
            if peer.expect("BLOCKS")[1]["present"]:
                raise Violation("%r is shown" % path)
            folder, _, name = path.rpartition(b"/")
            peer.send("LIST_REQ", dir=folder)
            if name in [shown for shown, _ in peer.expect("LIST")[1]["v"]]:
                raise Violation("the name %r is shown" % path)
            w.tried(2)


@case("C6", "one who is enrolled cannot enrol again inside his session, for himself or another")
def enrolling_from_inside(w):
    for profile in (b"po1", b"evil", b"..", b"new", b"../../x", b""):
        with live(w) as peer:
            peer.send("ENROL", profile=profile, csr=b"x" * 200)
            peer.expect_end("PEER")
        with Peer(w) as peer:
            peer.send("ENROL", profile=profile, csr=b"x" * 200)
            peer.expect_end("PEER")
        w.tried(2)
