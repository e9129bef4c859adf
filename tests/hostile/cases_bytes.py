# SPDX-License-Identifier: GPL-2.0-or-later
"""C4, C5, C9, C11, C14: frames, lengths, numbers, hashes, packing, and messages where they do not belong."""
import struct

import wire
from case import case
from mutate import of_message
from peer import Peer, Violation, live

PING = wire.message("PING", n=1)
FRAME_MAX = wire.FRAME_MAX


def _ends(w, data, *codes):
    """These bytes, sent in a live session, end it."""
    with live(w) as peer:
        peer.send_bytes(data)
        peer.expect_end(*codes)
    w.tried()


# ---- C4: frames ----

@case("C4", "a frame whose length is nothing, or above the limit, ends the connection before a byte of it is kept")
def frame_lengths(w):
    for length in (0, FRAME_MAX + 1, 1 << 21, (1 << 31) - 1, 1 << 31, (1 << 32) - 1):
        for cls in (wire.CONTROL, wire.DATA):
            _ends(w, wire.frame(PING, cls, length=length), "PEER")


@case("C4", "unknown classes, flags and bits of a frame's head end the connection")
def frame_heads(w):
    for head in ({"cls": 2}, {"cls": 255}, {"flags": 2}, {"flags": 255}, {"zero": 1}, {"zero": 0x8000}, {"raw": 0}, {"raw": len(PING) + 1},
                 {"raw": len(PING) - 1}, {"raw": (1 << 32) - 1}, {"raw": FRAME_MAX + 1}):
        _ends(w, wire.frame(PING, **{"cls": wire.CONTROL, **head}), "PEER")


@case("C4", "a frame that claims a mebibyte and sends a byte is waited for, and its end is a lost connection and no more")
def frames_cut_short(w):
    for cls in (wire.CONTROL, wire.DATA):
        for sent in (0, 1, 11, 4000):
            with live(w) as peer:
                peer.send_bytes(wire.frame(b"x" * sent, cls, length=FRAME_MAX))
            w.tried()
    with live(w) as peer:
        peer.send("PING", n=1)
        peer.settle()


@case("C4", "a frame that comes byte by byte is the same frame")
def frames_in_drops(w):
    with live(w) as peer:
        for byte in wire.frame(wire.message("SETS_REQ"), wire.CONTROL):
            peer.send_bytes(bytes([byte]))
        peer.expect("SETS")
    w.tried()


@case("C4", "a message in the other class's frame, of an unknown number or of a wrong length ends the connection")
def messages_in_wrong_frames(w):
    _ends(w, wire.frame(wire.message("PUT", op=1, path=b"offiles/x"), wire.CONTROL), "PEER")
    _ends(w, wire.frame(wire.message("SETS_REQ"), wire.DATA), "PEER")
    for number in (0, 33, 64, 127, 128, 255):
        for cls in (wire.CONTROL, wire.DATA):
            _ends(w, wire.frame(wire.raw_message(number, b"body"), cls), "PEER")
    for body in (b"\x07", b"\x07\0\0\0", struct.pack("<BI", 7, 9) + bytes(8), struct.pack("<BI", 7, 7) + bytes(8),
                 struct.pack("<BI", 7, (1 << 32) - 1) + bytes(8), wire.message("JOB_END") + b"\x07"):
        _ends(w, wire.frame(body, wire.CONTROL), "PEER")


# ---- C4, C5: every message, every field ----

GOOD = {
    "SUMS_REQ": {}, "LIST_REQ": {"dir": b"offiles"}, "BLOCKS_REQ": {"path": b"wphost.db", "count": 1},
    "JOB_END": {"job": 77}, "SETS_REQ": {}, "STOP": {"job": 77, "origin": b"somebody"}, "PING": {"n": 5}, "PONG": {"n": 5},
    # The sum is wrong, so that whatever else is changed, no set comes of it.
    "SEAL": {"job": 77, "date": 20200229, "t0": 5, "total": (1, 1, (1, 1)), "note": b"note"},
    "BEGIN": {"op": 1, "path": b"ofuser/mutant.db", "mode": 0, "size": 8192},
    "ABORT": {"op": 1}, "REMOVE": {"op": 1, "path": b"offiles/fd0/mutant"},
    "HOLE": {"op": 1, "offset": 4096, "len": 4096}, "CHUNK": {"op": 1, "offset": 0, "data": b"c" * 4096},
    "PUT": {"op": 1, "path": b"offiles/fd0/mutant", "data": b"hostile"},
    "ENTRY": {"op": 1, "path": b"ofuser/mutant", "entry": wire.entry(wire.DIRECTORY)},
    "END": {"op": 1, "entry": wire.entry(wire.FILE, size=8192)},
    "JOB_BEGIN": {"job": 77, "date": 20200229, "t0": 5},
    "ORIGIN": {"job": 77, "origin": b"somebody"}, "DUE": {"at": 5}, "NAMES_REQ": {"set": b"latest"},
    "RELEASE_REQ": {"platform": b"linux-x86_64"}, "PIECE_REQ": {"release": bytes(32), "count": 9},
    "JOB_OVER": {"job": 77, "date": 20200229, "t0": 5, "origin": b"somebody", "code": b"IO", "text": b"words"},
}
OF_A_TRANSFER = ("CHUNK", "HOLE", "END", "ABORT")


def _good(name, secret):
    good = dict(GOOD[name])
    if name == "PUT":
        good["entry"] = wire.entry(wire.FILE, hash=wire.digest(secret, good["data"]), size=len(good["data"]))
    return good


def _survive(w, name, share=1.0):
    """Each mutant in a fresh session, where its number would be right: the server answers it or ends the session."""
    version = wire.since(name)
    with live(w) as peer:
        secret = peer.secret
    begin = wire.message("BEGIN", op=1, path=b"ofuser/mutant.db", mode=0, size=8192)
    peer = None
    for mutant in of_message(name, _good(name, secret), w.random):
        if w.random.random() > share:
            continue
        if peer is None or wire.class_of(name) == wire.DATA:
            if peer:
                peer.close()
            peer = live(w, version)
        if name in OF_A_TRANSFER:
            peer.send_bytes(wire.frame(begin, wire.DATA))
        if len(mutant) > FRAME_MAX:
            continue
        peer.send_bytes(wire.frame(mutant, wire.class_of(name)))
        w.tried()
        if not peer.settle():
            peer.close()
            peer = None
    if peer:
        peer.close()
    with live(w) as peer:
        peer.send("JOB_END", job=77)
        peer.settle()


def _register(name):
    def run(w):
        _survive(w, name)
    run.__name__ = "mutants_of_" + name.lower()
    case("C5", "%s with any field, length or byte changed is answered or ends the session" % name)(run)


for _name in GOOD:
    _register(_name)


@case("C5", "mutants of every message, some of each, are answered or end the session")
def some_mutants_of_all(w):
    for name in GOOD:
        _survive(w, name, 0.08)


# ---- C5: numbers ----

@case("C5", "counts, offsets and sizes that no file has end the connection")
def numbers_that_cannot_be(w):
    big = (1 << 63) - 1
    for values in ({"count": 0}, {"count": 4097}, {"count": (1 << 32) - 1}, {"first": 1 << 63, "count": 1}, {"first": (1 << 64) - 1, "count": 4096},
                   {"first": 1 << 62, "count": 1}):
        _ends(w, wire.frame(wire.message("BLOCKS_REQ", path=b"wphost.db", **values), wire.CONTROL), "PEER")
    begin = wire.message("BEGIN", op=1, path=b"ofuser/big.db", mode=0, size=big)
    for piece in (wire.message("CHUNK", op=1, offset=big, data=b"x"), wire.message("CHUNK", op=1, offset=1 << 63, data=b"x"),
                  wire.message("CHUNK", op=1, offset=(1 << 64) - 1, data=b"xx"), wire.message("CHUNK", op=1, offset=0, data=b""),
                  wire.message("HOLE", op=1, offset=0, len=0), wire.message("HOLE", op=1, offset=big, len=big), wire.message("HOLE", op=1, offset=1, len=1 << 63),
                  wire.message("CHUNK", op=1, offset=0, data=b"x" * (512 * 1024 + 1)), wire.message("END", op=1, entry=wire.entry(wire.FILE, size=1 << 63))):
        _ends(w, wire.frame(begin + piece, wire.DATA), "PEER")


@case("C5", "a file that is larger than its place can be is refused or aborted, and nothing of it is kept")
def files_of_any_size(w):
    for size in (15 << 40, 1 << 44, 1 << 50, 1 << 62, (1 << 63) - 1):
        with live(w) as peer:
            op = peer.next_op()
            peer.send_all([wire.message("BEGIN", op=op, path=b"ofuser/sparse.db", mode=0, size=size), wire.message("HOLE", op=op, offset=0, len=size - 1),
                           wire.message("END", op=op, entry=wire.entry(wire.FILE, size=size, hash=(1, 1)))])
            peer.settle(60)
            if peer.acked >= op and op not in peer.naks:
                raise Violation("a file of %d bytes with a wrong digest was taken" % size)
            w.tried()


@case("C5", "a small file whose entry says another size ends the connection")
def put_of_another_size(w):
    for size in (0, 6, 8, 1 << 62):
        with live(w) as peer:
            peer.send_all([peer.put(b"offiles/fd0/size", b"hostile", size=size)])
            peer.expect_end("PEER")
        w.tried()


@case("C5", "times before and after all calendars are kept as they are said")
def times_of_any_year(w):
    with live(w) as peer:
        for mtime in (-1, -(1 << 63), (1 << 63) - 1, 31556952000000000000 >> 2):
            peer.send_all([peer.put(b"offiles/fd0/time%d" % (mtime % 97), b"hostile", mtime=mtime)])
            peer.expect_durable()
            w.tried()
        if peer.naks:
            raise Violation("refused: %r" % peer.naks)


@case("C5", "blocks that overlap are laid in the order in which they came")
def overlapping_blocks(w):
    content = b"b" * 300000 + b"c" * 5000
    with live(w) as peer:
        op = peer.next_op()
        peer.send_all([wire.message("BEGIN", op=op, path=b"ofuser/overlap.db", mode=0, size=len(content)),
                       wire.message("CHUNK", op=op, offset=0, data=b"a" * 305000), wire.message("HOLE", op=op, offset=0, len=305000),
                       wire.message("CHUNK", op=op, offset=0, data=b"b" * 305000), wire.message("CHUNK", op=op, offset=300000, data=b"c" * 5000),
                       wire.message("END", op=op, entry=wire.entry(wire.FILE, size=len(content), hash=wire.digest(peer.secret, content)))])
        peer.expect_durable()
        if peer.naks:
            raise Violation("refused: %r" % peer.naks)
        peer.send_all([peer.remove(b"ofuser/overlap.db")])
        peer.expect_durable()
    w.tried()


# ---- C9: hashes ----

@case("C9", "data that is not what its digest says is refused, whichever of them is the liar")
def digests_that_lie(w):
    with live(w) as peer:
        right = wire.digest(peer.secret, b"hostile")
        for data, said in ((b"HOSTILE", right), (b"hostile", (0, 0)), (b"hostile", (right[1], right[0])), (b"hostil\0", right)):
            peer.send_all([peer.put(b"offiles/fd0/liar", data, hash=said)])
            peer.expect_nak(peer.op, "DIFFERS")
            w.tried()
        for path in (b"ofuser/liar.db", b"offiles/fd0/liar"):
            op = peer.next_op()
            peer.send_all([wire.message("BEGIN", op=op, path=path, mode=0, size=9000), wire.message("CHUNK", op=op, offset=0, data=b"z" * 9000),
                           wire.message("END", op=op, entry=wire.entry(wire.FILE, size=9000, hash=right))])
            peer.expect_nak(op, "DIFFERS")
            w.tried()
        peer.send_all([wire.message("ENTRY", op=peer.next_op(), path=b"offiles/fd0/liar", entry=wire.entry(wire.FILE, hash=right, size=7))])
        peer.expect_nak(peer.op, "DIFFERS")
        w.tried()


@case("C9", "a patch whose digest lies makes no set: the keeper reads what lies there")
def a_patch_that_lies(w):
    with live(w) as peer:
        peer.send_all([peer.put(b"ofuser/patched.db", b"p" * 8192)])
        op = peer.next_op()
        peer.send_all([wire.message("BEGIN", op=op, path=b"ofuser/patched.db", mode=1, size=8192), wire.message("CHUNK", op=op, offset=0, data=b"q" * 4096),
                       wire.message("END", op=op, entry=wire.entry(wire.FILE, size=8192, hash=(7, 7), mtime=1))])
        peer.expect_durable()
        refused = peer.naks
    with live(w) as peer:
        peer.send("JOB_BEGIN", job=900, date=20200302, t0=5)
        peer.expect("PROGRESS")
        peer.send("SEAL", job=900, date=20200302, t0=5, total=peer.total)
        _, failed = peer.expect("JOB_FAILED", "SEALED", seconds=60)
        if failed.get("code") != b"DIFFERS":
            raise Violation("the seal ended with %r; of what was sent before it there was refused: %r" % (failed, refused))
        peer.send("JOB_END", job=900)
        peer.send_all([peer.remove(b"ofuser/patched.db")])
        peer.expect_durable()
    w.tried()


def _words(secret):
    return struct.unpack("<%dQ" % (len(secret) // 8), secret)


def _short_pair(secret):
    """Two contents of 32 bytes and one digest: either factor of the first product is nothing, and the sum is the same."""
    (k0, k1), half = _words(secret)[:2], 1 << 64
    x, rest = 0x1234, b"the same rest..."
    return struct.pack("<2Q", k0, x) + rest, struct.pack("<2Q", (x + k0 - k1) % half, k1) + rest


def _long_pair(secret):
    """Two of 8,192 bytes: one lane of the first two stripes, whose products are nothing whatever their upper halves are."""
    k0, k1 = _words(secret)[:2]
    low = (1 << 32) - 1

    def content(a, b):
        lanes = bytearray(b"l" * 8192)
        struct.pack_into("<Q", lanes, 0, a << 32 | k0 & low)
        struct.pack_into("<Q", lanes, 64, b << 32 | k1 & low)
        return bytes(lanes)
    return content(7, 9), content(8, 8)


@case("C9", "a content that has another's digest, as whoever knows the key can make one, gets into no set that is sealed", sets=2)
def two_contents_of_one_digest(w):
    with live(w) as peer:
        pairs = [(path, make(peer.secret)) for make in (_short_pair, _long_pair) for path in (b"offiles/fd0/pair", b"ofuser/pair.db")]
        for _, (one, other) in pairs:
            if one == other or wire.digest(peer.secret, one) != wire.digest(peer.secret, other):
                raise RuntimeError("this is no pair")
    for job, which in ((910, 0), (911, 1)):
        with live(w) as peer:
            peer.send_all([peer.put(b"%s%d" % (path, i), pair[which], mtime=5) for i, (path, pair) in enumerate(pairs)])
            peer.expect_durable()
            w.tried(len(pairs))
        with live(w) as peer:
            peer.send("JOB_BEGIN", job=job, date=20200303, t0=job)
            peer.expect("PROGRESS")
            peer.send("SEAL", job=job, date=20200303, t0=job, total=peer.total)
            if (got := peer.expect("SEALED", "JOB_FAILED", seconds=60))[0] != "SEALED":
                raise Violation("the seal ended with %r" % (got,))
    with live(w) as peer:
        peer.send_all([peer.remove(b"%s%d" % (path, i)) for i, (path, _) in enumerate(pairs)])
        peer.expect_durable()


# ---- C11: packing ----

@case("C11", "a packed frame that is not what its head says ends the connection: bombs, liars, torn, nested, two in one")
def packed_frames_that_lie(w):
    body = wire.message("SETS_REQ") + wire.message("PING", n=1) * 40
    small, zeros = wire.squeeze(body), wire.squeeze(bytes(1 << 30))
    lies = [
        wire.frame(zeros[:FRAME_MAX], wire.CONTROL, flags=1, raw=FRAME_MAX), wire.frame(zeros[:FRAME_MAX], wire.CONTROL, flags=1, raw=(1 << 30) % (1 << 32)),
        wire.frame(wire.squeeze(bytes(FRAME_MAX + 1)), wire.CONTROL, flags=1, raw=FRAME_MAX), wire.frame(small, wire.CONTROL, flags=1, raw=len(body) + 1),
        wire.frame(small, wire.CONTROL, flags=1, raw=len(body) - 1), wire.frame(small[:-1], wire.CONTROL, flags=1, raw=len(body)),
        wire.frame(small + b"x", wire.CONTROL, flags=1, raw=len(body)), wire.frame(small + small, wire.CONTROL, flags=1, raw=2 * len(body)),
        wire.frame(body, wire.CONTROL, flags=1, raw=len(body) + 100), wire.frame(small, wire.CONTROL, flags=1, raw=len(small)),
        wire.frame(b"\x50\x2a\x4d\x18\x04\0\0\0skip" + small, wire.CONTROL, flags=1, raw=len(body)), wire.frame(small, wire.CONTROL, flags=1, raw=0),
        wire.packed_frame(wire.frame(small, wire.CONTROL, flags=1, raw=len(body)) + bytes(200), wire.CONTROL),
        wire.frame(b"\x28\xb5\x2f\xfd" + b"\xff" * 20, wire.CONTROL, flags=1, raw=4096),
    ]
    for data in lies:
        _ends(w, data, "PEER")
        _ends(w, data[:4] + b"\x01" + data[5:], "PEER")


@case("C11", "packed bytes with any bit changed end the connection or mean what they say")
def packed_frames_flipped(w):
    with live(w) as peer:
        secret = peer.secret
    data = b"flip" * 3000
    put = wire.message("PUT", op=1, path=b"offiles/fd0/flip", data=data, entry=wire.entry(wire.FILE, hash=wire.digest(secret, data), size=len(data)))
    whole = wire.packed_frame(put, wire.DATA)
    for _ in range(60):
        torn = bytearray(whole)
        torn[w.random.randrange(12, len(torn))] ^= 1 << w.random.randrange(8)
        with live(w) as peer:
            peer.send_bytes(bytes(torn))
            peer.settle()
        w.tried()


# ---- C14: states ----

@case("C14", "versions below and above what the server speaks are told so; a range that is none ends the connection")
def versions(w):
    for low, high, code in ((0, 0, "UNSUPPORTED"), (4, 9, "UNSUPPORTED"), ((1 << 32) - 1, (1 << 32) - 1, "UNSUPPORTED"), (2, 1, "PEER"), (1, 0, "PEER")):
        with Peer(w) as peer:
            peer.hello(version_min=low, version_max=high)
            peer.expect_end(code)
        w.tried()
    with Peer(w) as peer:
        peer.hello(version_min=0, version_max=(1 << 32) - 1)
        if peer.expect("WELCOME")[1]["version"] != 3:
            raise Violation("not version 3")
    w.tried()


@case("C14", "a type of profile that is none, or is not ours, is refused and changes nothing")
def layouts(w):
    for layout in (1, 2, 127, 255):
        with Peer(w) as peer:
            peer.hello(layout=layout)
            peer.expect_end("UNSUPPORTED", "DENIED", "USAGE", "CONFIG", "DIFFERS", "BUSY")
            if peer.goodbye == "BUSY":
                raise Violation("busy")
        w.tried()


def _any(name):
    return wire.frame(wire.message(name, **({"path": b"offiles/x"} if name in ("BLOCKS_REQ", "PUT", "BEGIN", "ENTRY", "REMOVE") else {}),
                                   **({"count": 1} if name == "BLOCKS_REQ" else {})), wire.class_of(name))


@case("C14", "before HELLO every other message ends the connection")
def messages_before_hello(w):
    for name in wire.MESSAGES:
        if name not in ("HELLO", "PING", "PONG", "GOODBYE"):
            with Peer(w) as peer:
                peer.send_bytes(_any(name))
                peer.expect_end("PEER")
            w.tried()


@case("C14", "in a session a second HELLO, and whatever only a server says, ends it")
def messages_of_the_other_side(w):
    for name in ["HELLO"] + wire.FROM_SERVER:
        with live(w) as peer:
            peer.send_bytes(_any(name))
            peer.expect_end("PEER")
        w.tried()


@case("C14", "a message that only a later version knows ends a connection of the first")
def messages_of_a_later_version(w):
    for name in (n for n in wire.MESSAGES if wire.since(n) > 1):
        with live(w) as peer:
            peer.send_bytes(_any(name))
            peer.expect_end("PEER")
        w.tried()


@case("C14", "a second page of names before the first was told ends the session")
def two_pages_at_a_time(w):
    with live(w, version=2) as peer:
        peer.send_bytes(wire.frame(wire.message("NAMES_REQ", set=b"latest") * 2, wire.CONTROL))
        peer.expect_end("PEER")
    w.tried()


@case("C5", "names are those of sets of one's own, and no place but a page's end is gone on from")
def names_of_no_set(w):
    with live(w, version=2) as peer:
        for name in (b"never", b"../po1", b"../../po1/backups/weeknow/x", b".", b"..", b"creating", b"x" * 64, b"\xff", b"\x1b[2J"):
            peer.send("NAMES_REQ", set=name)
            if peer.expect("NAMES", "REFUSED")[0] != "REFUSED":
                raise Violation("there are names of %r" % name)
            w.tried()
        for place in (b"n ../../po1/x", b"n /etc/passwd", b"b 1 2 ../x", b"b 4294967296 1 offiles/x", b"b", b"n", b"offiles", b"n " + b"a/" * 8000):
            peer.send("NAMES_REQ", set=b"latest", after=place)
            if peer.expect("NAMES", "REFUSED")[0] != "REFUSED":
                raise Violation("a page begins at %r" % place[:40])
            w.tried()
        peer.send("NAMES_REQ", set=b"latest")
        _, page = peer.expect("NAMES")
        if not page["v"] or any(b"po1" in v[0] for v in page["v"]):
            raise Violation("the names of the set are not told, or another's")
    w.tried()


@case("C14", "what is sent behind HELLO in one breath, before WELCOME, ends the connection")
def messages_behind_hello(w):
    hello = wire.frame(wire.message("HELLO", version_min=1, version_max=1), wire.CONTROL)
    for name in wire.MESSAGES:
        if name not in ("PING", "PONG", "GOODBYE"):
            with live(w):
                pass
            with Peer(w) as peer:
                peer.send_bytes(hello + _any(name))
                peer.expect_end("PEER", "BUSY")
            w.tried()
