# SPDX-License-Identifier: GPL-2.0-or-later
"""S1: a server that shows a collector what it shall upgrade itself to.  Nothing but what two of the collector's own keys signed is
fetched, nothing but the bytes that they signed is kept, and the collector that runs goes on running.

The releases lie in the scratch folder: server.sh has them made and signed; this program has no key.
"""
import hashlib
import json
import os
import subprocess
import time

from case import case
from peer import PATIENCE, Violation

ENDS = ("lost", "PEER")


def _cli(s, *words):
    return subprocess.run([os.path.join(os.environ["BIN"], "tidemark"), "--config", os.path.join(s.folder, "collector.conf"), "--json", "upgrade", *words],
                          capture_output=True, timeout=PATIENCE).stdout


def _read(s, name):
    """Head and programs of a release file."""
    with open(os.path.join(s.scratch, "releases", name + ".release"), "rb") as f:
        data = f.read()
    at = data.index(b"\n") + 1
    at += 4 + int.from_bytes(data[at:at + 4], "little")
    at += 1 + 96 * data[at]
    return data[:at], data[at:]


def _offer(s, guest, head):
    _cli(s, "now")
    guest.expect("RELEASE_REQ")
    guest.send("RELEASE", head=head)


def _outcome(s, words):
    """Waits until the collector has done with it, and says so in these words."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        told = json.loads(_cli(s))
        if told["phase"] == "idle" and words in told["reason"]:
            break
    else:
        raise Violation("the collector says %r" % told)
    if told["running"] != s.running or told["state"] != "degraded":
        raise Violation("the collector runs %s, and is %s" % (told["running"], told["state"]))
    left = [name for name in os.listdir(os.path.join(s.folder, "state", "upgrade")) if name not in ("versions",)]
    if left:
        raise Violation("of a release that was refused there is left: %s" % left)


def _nothing_was_fetched(guest):
    while got := guest.read(0.02):
        if got[0] == "PIECE_REQ":
            raise Violation("a release that is not to be believed is fetched")


def _refused(s, guest, head, words=""):
    _offer(s, guest, head)
    _outcome(s, words)
    _nothing_was_fetched(guest)
    s.tried()


def _session(s):
    s.running = json.loads(_cli(s))["running"]
    return s.agreed(3)


@case("S1", "what is unsigned, signed by one or by a stranger, older, expired or for another platform is not fetched")
def releases_not_to_be_believed(s):
    with _session(s) as guest:
        for name, words in (("unsigned", "only 0 of the 2"), ("one", "only 1 of the 2"), ("stranger", "only 1 of the 2"), ("older", "older than what runs"),
                            ("expired", "its time is over"), ("elsewhere", "and this is linux-")):
            _refused(s, guest, _read(s, name)[0], words)


def _flipped(head, rng):
    at = rng.randrange(len(head))
    return head[:at] + bytes([head[at] ^ 1 << rng.randrange(8)]) + head[at + 1:]


@case("S1", "no mutant of a head that is believed is believed")
def mutants_of_a_head(s):
    head, _ = _read(s, "good")
    with _session(s) as guest:
        for mutant in [b"", head[:1], head[:-1], head + b"\0", head[:20] + b"\xff" * 4 + head[24:]] + [_flipped(head, s.random) for _ in range(80)]:
            _refused(s, guest, mutant, "is not taken")


@case("S1", "a server that says no to everything is told of, and asked no more often")
def endless_no(s):
    with _session(s) as guest:
        for n, code in enumerate((b"NOTFOUND", b"DENIED", b"IO", b"UNREACHABLE", b"no such code", b"\x1b[2J")):
            _cli(s, "now")
            guest.expect("RELEASE_REQ")
            guest.send("REFUSED", type=40, code=code, text=b"\x1b]0;owned\x07 no %d" % n)
            _outcome(s, " no %d" % n)
            until = time.monotonic() + 3        # time is what is tried: it looks every two seconds what is next
            while got := guest.read(until - time.monotonic()):
                if got[0] in ("RELEASE_REQ", "PIECE_REQ"):
                    raise Violation("after %r the collector asks again at once: %s" % (code, got[0]))
            s.tried()


def _fetched_wrongly(s, guest, lie, words):
    """The head is the good one; `lie` makes of each piece what is answered in its place, None for no answer."""
    head, programs = _read(s, "good")
    _offer(s, guest, head)
    while True:
        _, asked = guest.expect("PIECE_REQ")
        if asked["release"] != hashlib.sha256(head).digest() or asked["offset"] + asked["count"] > len(programs):
            raise Violation("the collector asks for %r" % asked)
        honest = programs[asked["offset"]:asked["offset"] + asked["count"]]
        told = lie(asked["offset"], honest)
        if told is None:
            guest.send("REFUSED", type=42, code=b"NOTFOUND", text=b"it is gone")
            break
        guest.send("PIECE", data=told)
        if told != honest:
            break
    _outcome(s, words)
    s.tried()


@case("S1", "bytes that were not signed are not kept: changed, cut, too many, none, refused half-way")
def programs_that_lie(s):
    _, programs = _read(s, "good")
    last = (len(programs) - 1) // (1 << 18) * (1 << 18)
    with _session(s) as guest:
        for lie, words in ((lambda at, b: b[:-1], "not what was asked for"), (lambda at, b: b + b"x" if at == last else b, "not what was asked for"),
                           (lambda at, b: b"", "not what was asked for"), (lambda at, b: b if at == 0 else b[:-9], "not what was asked for"),
                           (lambda at, b: None, "it is gone"), (lambda at, b: b if at == 0 else None, "it is gone")):
            _fetched_wrongly(s, guest, lie, words)
        for place in (0, 1 << 17, last):
            _served_wrongly(s, guest, place)


def _served_wrongly(s, guest, place):
    """All pieces are answered, one with a changed bit: it is found at the end of its program, and no piece of it is kept."""
    head, programs = _read(s, "good")
    programs = bytearray(programs)
    place += s.random.randrange(min(1 << 16, len(programs) - place))
    programs[place] ^= 1 << s.random.randrange(8)
    size = len(programs) // 3   # three programs of one size
    end, served = (place // size + 1) * size, 0
    _offer(s, guest, head)
    while served < end:
        _, asked = guest.expect("PIECE_REQ")
        served = asked["offset"] + asked["count"]
        guest.send("PIECE", data=bytes(programs[asked["offset"]:served]))
    _outcome(s, "is not what was signed")
    s.tried()


@case("S1", "answers about releases that nobody asked for, or twice, end the connection")
def unasked_releases(s):
    head, programs = _read(s, "good")
    for name, values in (("RELEASE", {"head": head}), ("PIECE", {"data": programs[:100]}), ("REFUSED", {"type": 40, "code": b"IO"})):
        with _session(s) as guest:
            guest.send(name, **values)
            guest.expect_end(*ENDS)
        s.tried()
    with _session(s) as guest:
        _offer(s, guest, head)
        guest.expect("PIECE_REQ")
        guest.send("RELEASE", head=head)
        guest.expect_end(*ENDS)
    with s.agreed(3) as guest:      # what was asked for and not answered is asked again
        guest.expect("PIECE_REQ", seconds=30)
        guest.send("PIECE", data=b"x")
        _outcome(s, "not what was asked for")
    s.tried()
