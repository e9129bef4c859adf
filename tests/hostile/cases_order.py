# SPDX-License-Identifier: GPL-2.0-or-later
"""C7, C8, C10, C15, C16: seals, replays, floods, twins, and a collector that destroys its own data."""
import os
import time

import wire
from case import case
from peer import Peer, Violation, live

DAY_NS = 86400 * 10**9
DATE = 20240227     # of a Tuesday; C16 goes on from here


def _begin(peer, job, date=DATE, t0=5):
    peer.send("JOB_BEGIN", job=job, date=date, t0=t0)
    return peer.expect("PROGRESS", "JOB_FAILED")[0]


def _seal(peer, job, date=DATE, t0=5, total=None, note=b""):
    """The name of what ends it, and its values."""
    peer.send("SEAL", job=job, date=date, t0=t0, total=total or peer.total, note=note)
    return peer.expect("SEALED", "JOB_FAILED", seconds=120)


def _must_fail(answer, *codes):
    if answer[0] != "JOB_FAILED" or (codes and answer[1]["code"].decode() not in codes):
        raise Violation("the seal ended with %r" % (answer,))


# ---- C7: seals ----

@case("C7", "a seal of a job that was never begun makes nothing")
def seal_without_begin(w):
    with live(w) as peer:
        for job in (0, 1, 77, (1 << 64) - 1):
            _must_fail(_seal(peer, job), "STOPPED", "BUSY")
            w.tried()


@case("C7", "a seal that names another job, day, T0 or sum than was agreed makes nothing")
def seal_of_another(w):
    with live(w) as peer:
        _begin(peer, 701)
        count, size, value = peer.total
        for wrong in ({"job": 702}, {"date": DATE + 1}, {"t0": 6}, {"total": (count + 1, size, value)}, {"total": (count, size + 1, value)},
                      {"total": (count, size, (value[0] ^ 1, value[1]))}, {"total": (0, 0, (0, 0))}):
            _must_fail(_seal(peer, **{"job": 701, **wrong}), "BUSY", "DIFFERS", "STOPPED")
            w.tried()
        peer.send("JOB_END", job=701)
        peer.settle()


@case("C7", "a day that no calendar has makes no set, and no name that leads elsewhere")
def days_that_are_none(w):
    with live(w) as peer:
        for i, date in enumerate((0, 1, 20240230, 20241301, 20240001, 20240100, 99999999, (1 << 32) - 1, 19691231, 1 << 31)):
            if _begin(peer, 710 + i, date) == "PROGRESS":
                _must_fail(_seal(peer, 710 + i, date), "USAGE", "PEER", "DIFFERS")
            peer.send("JOB_END", job=710 + i)
            w.tried()
        peer.settle()


@case("C7", "one job sealed again and again makes one set", sets=1)
def one_job_one_set(w):
    with live(w) as peer:
        _begin(peer, 730, 20240301)
        for _ in range(30):
            peer.send("SEAL", job=730, date=20240301, t0=5, total=peer.total)
        # While it is at work it is the same request once more, after a lost connection say; later ones hear that there is no such job.
        answers = [peer.expect("SEALED", "JOB_FAILED", seconds=120)]
        w.tried()
        peer.send("SEAL", job=731, date=20240301, t0=5, total=peer.total)
        while answers[-1][1]["job"] != 731:
            answers.append(peer.expect("SEALED", "JOB_FAILED", seconds=120))
            w.tried()
        sealed = [name for name, _ in answers].count("SEALED")
        if sealed != 1:
            raise Violation("%d answers say sealed" % sealed)
    with live(w) as peer:
        _must_fail(_seal(peer, 730, 20240301), "STOPPED")
        w.tried()


@case("C7", "a storm of jobs begun, stopped and ended leaves no job and no set")
def storm_of_jobs(w):
    with live(w) as peer:
        for i in range(400):
            job = 1000 + w.random.randrange(5)
            peer.send(w.random.choice(["JOB_BEGIN", "STOP", "JOB_END"]), job=job)
            w.tried()
        if not peer.settle(60):
            raise Violation("it ended the session")
        for job in range(1000, 1005):
            peer.send("JOB_END", job=job)
        peer.settle()


@case("C7", "while a file is open nothing is sealed")
def seal_while_a_file_is_open(w):
    with live(w) as peer:
        op = peer.next_op()
        peer.send_all([wire.message("BEGIN", op=op, path=b"ofuser/open.db", mode=0, size=10)])
        peer.settle()
        _begin(peer, 740)
        _must_fail(_seal(peer, 740), "BUSY", "DIFFERS")
        peer.send_all([wire.message("ABORT", op=op)])
        peer.send("JOB_END", job=740)
        peer.expect_durable(op)
        w.tried()


@case("C7", "words of a seal's note, phase or origin are words and nothing else", sets=1)
def notes_are_words(w):
    with live(w) as peer:
        _begin(peer, 750, 20240302)
        note = b"\x1b[2J\n<script>alert(1)</script>\n* profile=po1 sealed $(id) %s%n"
        answer = _seal(peer, 750, 20240302, note=note)
        if answer[0] != "SEALED":
            raise Violation("the seal ended with %r" % (answer,))
        peer.send("STOP", job=750, origin=b"\x1b[2J\nprofile=po1 forged")
        peer.settle()
    w.tried(2)


# ---- C8: replays ----

@case("C8", "operations that are repeated, left out, backwards or not open end the connection")
def operations_out_of_order(w):
    with live(w) as peer:
        secret = peer.secret

    def put(op):
        return wire.message("PUT", op=op, path=b"offiles/fd0/order%d" % op, data=b"o", entry=wire.entry(wire.FILE, hash=wire.digest(secret, b"o"), size=1))
    begin = wire.message("BEGIN", op=1, path=b"ofuser/order.db", mode=0, size=1)
    end = wire.message("END", op=1, entry=wire.entry(wire.FILE, hash=wire.digest(secret, b""), size=0))
    chunk = wire.message("CHUNK", op=1, offset=0, data=b"o")
    for messages in ([put(0)], [put(2)], [put(1), put(1)], [put(1), put(3)], [put(1), put(2), put(1)], [put((1 << 64) - 1)], [chunk], [end],
                     [wire.message("ABORT", op=1)], [wire.message("HOLE", op=1, offset=0, len=1)], [begin, begin], [begin, end, end], [begin, end, chunk],
                     [begin, wire.message("ABORT", op=1), end], [put(1), wire.message("CHUNK", op=1, offset=0, data=b"o")],
                     [begin, wire.message("CHUNK", op=2, offset=0, data=b"o")]):
        with live(w) as peer:
            peer.send_all(messages)
            peer.expect_end("PEER")
        w.tried()


@case("C8", "a session that is played again, whole or cut anywhere, gives the same replica")
def sessions_replayed(w):
    def script(peer):
        yield peer.put(b"offiles/fd0/replay", b"one")
        yield peer.put(b"ofuser/replay.db", b"two" * 3000)
        op = peer.next_op()
        yield wire.message("BEGIN", op=op, path=b"ofuser/replay2.db", mode=0, size=6000)
        yield wire.message("CHUNK", op=op, offset=0, data=b"r" * 6000)
        yield wire.message("END", op=op, entry=wire.entry(wire.FILE, size=6000, mtime=1, hash=wire.digest(peer.secret, b"r" * 6000)))
        yield wire.message("ENTRY", op=peer.next_op(), path=b"ofuser/replaydir", entry=wire.entry(wire.DIRECTORY))
        yield peer.remove(b"offiles/fd0/never-was")
    with live(w) as peer:
        recorded = list(script(peer))
        ops = peer.op
        peer.send_all(recorded)
        peer.expect_durable()
    with live(w) as peer:
        want = peer.total
    for cut in list(range(len(recorded))) + [len(recorded)] * 3:
        with live(w) as peer:
            peer.op = ops
            peer.send_all(recorded[:cut])
            if cut == len(recorded):
                peer.expect_durable()
            else:
                peer.settle()
        w.tried()
    with live(w) as peer:
        got = peer.total
        peer.send_all([peer.remove(path) for path in (b"offiles/fd0/replay", b"ofuser/replay.db", b"ofuser/replay2.db", b"ofuser/replaydir")])
        peer.expect_durable()
    if got != want:
        raise Violation("the sum was %r and is %r" % (want, got))


@case("C8", "each session's token is above all before it")
def tokens_rise(w):
    last = -1
    for _ in range(10):
        with live(w) as peer:
            if peer.token <= last:
                raise Violation("token %d after %d" % (peer.token, last))
            last = peer.token
        w.tried()


# ---- C10: floods ----

# As many as the environment asks for.  A file that holds something takes a block of the disk, or a page of memory: every hundredth does.
FLOOD, RING, PORTION = int(os.environ.get("FLOOD", 20000)), int(os.environ.get("RING", 1000)), 1000


def portions(count):
    return (range(first, min(first + PORTION, count)) for first in range(0, count, PORTION))


@case("C10", "many thousand tiny files, renamed in a ring and deleted, cost the server time and nothing else")
def flood_of_files(w):
    with live(w) as peer:
        for portion in portions(FLOOD):
            peer.send_all([peer.put(b"offiles/flood/%d" % i, b"" if i % 100 else b"%d" % i) for i in portion])
            peer.expect_durable()
            w.tried(len(portion))
        for portion in portions(RING):
            for i in portion:
                peer.send_all([peer.remove(b"offiles/flood/%d" % (i % 7)), peer.put(b"offiles/flood/%d" % ((i + 1) % 7), b"ring")])
            peer.expect_durable()
            w.tried(2 * len(portion))
        for portion in portions(FLOOD):
            peer.send_all([peer.remove(b"offiles/flood/%d" % i) for i in portion])
            peer.expect_durable()


@case("C10", "more files open than a session may have end it")
def too_many_open_files(w):
    with live(w) as peer:
        peer.send_all([wire.message("BEGIN", op=peer.next_op(), path=b"ofuser/many%d.db" % i, mode=0, size=1 << 40) for i in range(65)])
        peer.expect_end("LIMIT", "PEER")
    w.tried()


# ---- C15: twins ----

@case("C15", "a second session of the profile is sent away while the first lives, and the first never notices")
def twins(w):
    with live(w) as first:
        for _ in range(5):
            with Peer(w) as second:
                second.hello()
                second.expect_end("BUSY")
            w.tried()
        first.send_all([first.put(b"offiles/fd0/twin", b"first")])
        first.expect_durable()
        first.send_all([first.remove(b"offiles/fd0/twin")])
        first.expect_durable()


@case("C15", "of what a session had in flight when it was taken over nothing is half there")
def taken_over_in_flight(w):
    for _ in range(10):
        first = live(w)
        first.send_all([wire.message("BEGIN", op=first.next_op(), path=b"ofuser/taken.db", mode=0, size=1 << 20),
                        wire.message("CHUNK", op=first.op, offset=0, data=b"t" * 4096)])
        before = first.total
        first.close()
        with live(w) as second:
            if second.total != before:
                raise Violation("the sum is %r and was %r" % (second.total, before))
        w.tried()


# ---- C16: destroy everything ----

def _names(peer, folder):
    """Every name below a folder of the server's, each folder before what it holds, as its lists tell; with its entry."""
    after = b""
    while True:
        peer.send("LIST_REQ", dir=folder, after=after)
        _, page = peer.expect("LIST")
        for name, entry in page["v"]:
            path = folder + b"/" + name if folder else name
            yield path, entry
            if entry["kind"] == wire.DIRECTORY:
                yield from _names(peer, path)
        if not page["more"]:
            return
        after = page["v"][-1][0]


@case("C16", "everything encrypted and sealed on ten days in a row: every set from before is still there, whole", sets=10)
def encrypt_everything(w):
    for day in range(10):
        with live(w) as peer:
            files = [(path, entry["size"]) for path, entry in _names(peer, b"") if entry["kind"] == wire.FILE]
            peer.send_all([peer.put(path, w.random.randbytes(min(size, 4000)), mtime=day) for path, size in files])
            w.tried(len(files))
            peer.expect_durable()
        with live(w) as peer:
            job, date, t0 = 1600 + day, 20240310 + day, time.time_ns() + (day - 5) * DAY_NS * 400
            _begin(peer, job, date, t0)
            answer = _seal(peer, job, date, t0)
            if answer[0] != "SEALED":
                raise Violation("day %d: %r" % (day, answer))


@case("C16", "everything deleted at once is gone from the replica and from no set")
def delete_all(w):
    with live(w) as peer:
        for path in reversed([path for path, _ in _names(peer, b"")]):
            peer.send_all([peer.remove(path)])
            w.tried()
        peer.expect_durable()
        if list(_names(peer, b"")):
            raise Violation("it is still there")
        if peer.naks:
            raise Violation("refused: %r" % list(peer.naks.items())[:3])
