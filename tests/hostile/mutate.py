# SPDX-License-Identifier: GPL-2.0-or-later
"""Mutants of a message: each is the bytes of one message (or of what passes for one) that differs from a good one in one point."""
import struct

import wire

NUMBERS = [0, 1, 2, 63, 64, 4095, 4096, 4097, 65535, 1 << 16, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 62, (1 << 63) - 1,
           1 << 63, (1 << 64) - 4096, (1 << 64) - 1]
LENGTHS = [0, 1, 255, 256, 16384, 16385, 1 << 20, (1 << 20) + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]

CLIMBING = [b"..", b"../x", b"offiles/..", b"offiles/../../x", b"offiles/fd0/../../../../x", b"/etc/passwd", b"/", b"//", b"", b".", b"./x",
            b"offiles/./x", b"offiles//x", b"offiles/", b"/offiles/x", b"offiles/x/", b"offiles/fd0/..", b"ofuser/index/../../../state/index"]
TOO_LONG = [b"offiles/" + b"n" * 256, b"offiles/" + b"a/" * 8189 + b"x", b"offiles" + b"/a" * 4096 + b"/" + b"b" * 9000, b"offiles/" + b"x" * 900000]
WITH_NUL = [b"offiles/a\0b", b"\0", b"offiles/x\0", b"offiles/fd0/\0/../x"]
BAD_PATHS = CLIMBING + TOO_LONG + WITH_NUL
OUTSIDE = [b"state/index/data.mdb", b"backups/weeknow/monjan01/wphost.db", b"backups/creating/x", b".identity/authority.key", b"etc/passwd", b"gre_data/sync/x",
           b"blobs/offiles/x", b"versions/1/offiles/x", b"ofwork/x", b"oftemp/x", b"wpcsin/0/x", b"po1/ofuser/x", b"x", b"ofuser", b"offiles", b"-rf", b"~",
           b"ofuser/0101gwbk.001", b"authority.crt", b"proc/self/mem"]
ODD_NAMES = [b"offiles/fd0/\x1b[2J\x1b]0;x\x07", b"offiles/fd0/\xff\xfe\x80", b"offiles/fd0/a\nprofile=po1 forged", b"offiles/fd0/%s%n%d", b"offiles/fd0/" + b"x" * 255,
             b"offiles/fd0/-rf", b"offiles/fd0/$(id)", b"offiles/fd0/`id`", b"offiles/fd0/a;b|c", b"offiles/fd0/ ", b"offiles/fd0/\\x00", b"offiles/fd0/..."]



def _entry_mutants(data):
    """An entry with one byte of its head changed, cut short, or of a kind that is none."""
    for kind in (0, 2, 3, 4, 5, 6, 7, 8, 255):
        yield wire.Raw(bytes([kind]) + data[1:])
    yield wire.Raw(data[:1] + b"\xff\xff" + data[3:])
    yield wire.Raw(data[:1] + struct.pack("<H", 0o10000) + data[3:])
    yield wire.Raw(data[:-1])
    yield wire.Raw(data[:11] + struct.pack("<Q", 1 << 63) + data[19:])
    yield wire.Raw(data[:-8] + b"\xff" * 8)


def _values(kind, value, rng):
    """What may stand in a field instead of a good value."""
    if kind in ("u64", "i64", "u32", "u8", "bool"):
        for n in NUMBERS:
            yield n
    elif kind in ("str", "bytes"):
        for n in LENGTHS:
            yield wire.Raw(struct.pack("<I", n) + value)
        yield value + b"\0"
        yield bytes(rng.randrange(256) for _ in range(rng.randrange(1, 300)))
    elif kind == "entry":
        yield from _entry_mutants(bytes(value))
    elif kind == "sum":
        yield ((1 << 64) - 1, (1 << 64) - 1, ((1 << 64) - 1, (1 << 64) - 1))
    if kind == "str":
        yield from BAD_PATHS + OUTSIDE + ODD_NAMES


def of_fields(name, good, rng):
    for kind, field in wire.MESSAGES[name][1]:
        for value in _values(kind, good.get(field, wire._EMPTY.get(kind, 0)), rng):
            if not isinstance(value, wire.Raw) and isinstance(value, bytes) and len(value) > 65535 and kind != "str":
                continue
            yield wire.message(name, **{**good, field: value})


def of_bytes(name, good, rng, n):
    """Cut, lengthened, flipped: at places that the seed chooses."""
    whole = wire.message(name, **good)
    for _ in range(n):
        data = bytearray(whole)
        at = rng.randrange(len(data))
        how = rng.randrange(5)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data = data[:at] or data[:1]
        elif how == 2:
            data += bytes(rng.randrange(256) for _ in range(rng.randrange(1, 40)))
        elif how == 3:
            data[1:5] = struct.pack("<I", rng.choice(LENGTHS))
        else:
            data[0] = rng.randrange(256)
        yield bytes(data)


def of_message(name, good, rng, n=40):
    yield from of_fields(name, good, rng)
    yield from of_bytes(name, good, rng, n)
