# SPDX-License-Identifier: GPL-2.0-or-later
"""The wire of src/wire/PROTOCOL.md, written from that page alone, so that it can also be spoken wrongly.

A message is made of fields, and any field may be given as Raw(bytes), which is put where the field should be: that is how a
length, a count or a kind comes to lie.  Nothing here checks what it is told to say.
"""
import ctypes
import struct

CONTROL, DATA = 0, 1
FRAME_MAX = 1 << 20
FILE, DIRECTORY, LINK, FIFO, SOCKET, CHAR, BLOCK = range(1, 8)
BLOCK_BYTES = 4096


class Raw(bytes):
    """Bytes that stand where a field should stand."""


# ---- hashes and packing, from the libraries that the product uses, by their documented calls ----

_xxh = ctypes.CDLL("libxxhash.so.0")
_zstd = ctypes.CDLL("libzstd.so.1")


class _Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


_xxh.XXH3_64bits_withSeed.restype = ctypes.c_uint64
_xxh.XXH3_64bits_withSeed.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
_xxh.XXH3_128bits_withSecret.restype = _Hash128
_xxh.XXH3_128bits_withSecret.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
_zstd.ZSTD_compress.restype = ctypes.c_size_t
_zstd.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]
_zstd.ZSTD_decompress.restype = ctypes.c_size_t
_zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]


def secret_of(key):
    return struct.pack("<24Q", *(_xxh.XXH3_64bits_withSeed(key, len(key), i) for i in range(24)))


def digest(secret, data):
    h = _xxh.XXH3_128bits_withSecret(data, len(data), secret, len(secret))
    return h.low, h.high


def squeeze(data):
    room = ctypes.create_string_buffer(len(data) + 1024)
    return room.raw[:_zstd.ZSTD_compress(room, len(room), data, len(data), 1)]


def unsqueeze(data, size):
    room = ctypes.create_string_buffer(size)
    if _zstd.ZSTD_decompress(room, size, data, len(data)) != size:
        raise ValueError("a packed frame does not unpack")
    return room.raw


# ---- fields ----

def _number(form, bits):
    def put(value):
        return struct.pack("<" + form, value % (1 << bits))

    def get(data, at):
        return struct.unpack_from("<" + form, data, at)[0], at + bits // 8
    return put, get


def _put_str(value):
    return struct.pack("<I", len(value)) + value


def _get_str(data, at):
    length, = struct.unpack_from("<I", data, at)
    if at + 4 + length > len(data):
        raise ValueError("a string beyond its message")
    return bytes(data[at + 4:at + 4 + length]), at + 4 + length


def _put_raw32(value):
    return value


def _get_raw32(data, at):
    return bytes(data[at:at + 32]), at + 32


_NUMBERS = {"u8": ("B", 8), "u16": ("H", 16), "u32": ("I", 32), "u64": ("Q", 64), "bool": ("B", 8)}
_FIELDS = {name: _number(form, bits) for name, (form, bits) in _NUMBERS.items()}
_FIELDS["i64"] = (_FIELDS["u64"][0], lambda data, at: (struct.unpack_from("<q", data, at)[0], at + 8))
_FIELDS["str"] = _FIELDS["bytes"] = (_put_str, _get_str)
_FIELDS["raw32"] = (_put_raw32, _get_raw32)


def _struct(*fields):
    """Several fields in a row: their values are a tuple."""
    def put(values):
        return b"".join(put_field(kind, value) for kind, value in zip(fields, values))

    def get(data, at):
        values = []
        for kind in fields:
            value, at = get_field(kind, data, at)
            values.append(value)
        return tuple(values), at
    return put, get


def _array(kind):
    def put(values):
        return struct.pack("<I", len(values)) + b"".join(put_field(kind, v) for v in values)

    def get(data, at):
        count, at = get_field("u32", data, at)
        values = []
        for _ in range(count):
            value, at = get_field(kind, data, at)
            values.append(value)
        return values, at
    return put, get


def entry(kind, mode=0o640, uid=0, gid=0, mtime=0, rdev=0, hash=(0, 0), size=0, target=b""):
    """The bytes of an entry; what means nothing for the kind is left out."""
    parts = [struct.pack("<BHII", kind % 256, mode % 65536, uid, gid)]
    if kind != DIRECTORY:
        parts.append(put_field("i64", mtime))
    if kind in (CHAR, BLOCK):
        parts.append(put_field("u64", rdev))
    if kind in (FILE, LINK):
        parts.append(put_field("hash", hash))
    if kind == FILE:
        parts.append(put_field("u64", size))
    if kind == LINK:
        parts.append(put_field("str", target))
    return Raw(b"".join(parts))


def _get_entry(data, at):
    kind, mode, uid, gid = struct.unpack_from("<BHII", data, at)
    e = {"kind": kind, "mode": mode, "uid": uid, "gid": gid}
    at += 11
    wanted = [("mtime", "i64", kind != DIRECTORY), ("rdev", "u64", kind in (CHAR, BLOCK)), ("hash", "hash", kind in (FILE, LINK)),
              ("size", "u64", kind == FILE), ("target", "str", kind == LINK)]
    for name, field, there in wanted:
        if there:
            e[name], at = get_field(field, data, at)
    return e, at


_FIELDS["hash"] = _struct("u64", "u64")
_FIELDS["sum"] = _struct("u64", "u64", "hash")
_FIELDS["set"] = _struct("str", "i64", "i64", "u64", "u64", "u8", "u8")
_FIELDS["entry"] = (bytes, _get_entry)
_FIELDS["dirs"] = _array("dir_sum")
_FIELDS["dir_sum"] = _struct("str", "sum")
_FIELDS["names"] = _array("name_entry")
_FIELDS["name_entry"] = _struct("str", "entry")
_FIELDS["hashes"] = _array("hash")
_FIELDS["sets"] = _array("set")
_FIELDS["paths"] = _array("path_facts")
_FIELDS["path_facts"] = _struct("str", "u8", "u32", "u64", "i64")


def put_field(kind, value):
    return bytes(value) if isinstance(value, Raw) else _FIELDS[kind][0](value)


def get_field(kind, data, at):
    return _FIELDS[kind][1](data, at)


# ---- messages ----

_TABLE = """
1 HELLO u32:version_min u32:version_max u8:layout str:build str:host str:journal sum:total
2 SUMS_REQ str:after
3 LIST_REQ str:dir str:after
4 BLOCKS_REQ str:path u64:first u32:count
5 JOB_BEGIN u64:job u32:date i64:t0
6 SEAL u64:job u32:date i64:t0 sum:total str:note
7 JOB_END u64:job
8 SETS_REQ
9 ENROL str:profile bytes:csr raw32:proof
10 WELCOME u32:version str:build str:instance u64:generation u64:token sum:total raw32:key str:last_set i64:last_sealed i64:last_started i64:now
11 ACK u64:received u64:applied u64:durable
12 NAK u64:op str:code str:text
13 SUMS dirs:v bool:more
14 LIST str:dir names:v bool:more
15 BLOCKS str:path bool:present u64:size u64:first hashes:v
16 PROGRESS u64:job str:phase u64:done u64:total
17 SEALED u64:job set:set str:note
18 JOB_FAILED u64:job str:code str:text
19 SETS sets:v
20 ENROLLED bytes:certificate bytes:authority raw32:key
21 STOP u64:job str:origin
22 PING u64:n
23 PONG u64:n
24 GOODBYE str:code str:text
25 PUT u64:op str:path entry:entry bytes:data
26 BEGIN u64:op str:path u8:mode u64:size
27 CHUNK u64:op u64:offset bytes:data
28 HOLE u64:op u64:offset u64:len
29 END u64:op entry:entry
30 ABORT u64:op
31 ENTRY u64:op str:path entry:entry
32 REMOVE u64:op str:path
33 ORIGIN u64:job str:origin
34 JOB_OVER u64:job u32:date i64:t0 str:origin str:code str:text
35 DUE i64:at
36 NEWEST set:set
37 NAMES_REQ str:set str:after
38 NAMES set:set paths:v str:next
39 REFUSED u8:type str:code str:text
40 RELEASE_REQ str:platform
41 RELEASE bytes:head
42 PIECE_REQ raw32:release u64:offset u32:count
43 PIECE bytes:data
"""
MESSAGES, NUMBERS = {}, {}
for _line in _TABLE.strip().splitlines():
    _number_, _name, *_fields = _line.split()
    MESSAGES[_name] = (int(_number_), [tuple(f.split(":")) for f in _fields])
    NUMBERS[int(_number_)] = _name
FROM_SERVER = [n for n in MESSAGES if 10 <= MESSAGES[n][0] <= 20 or n in ("NEWEST", "NAMES", "REFUSED", "RELEASE", "PIECE")]


def since(name):
    """The version of the protocol that has it."""
    return 1 if MESSAGES[name][0] < 33 else 2 if MESSAGES[name][0] < 40 else 3

_EMPTY = {"str": b"", "bytes": b"", "raw32": bytes(32), "hash": (0, 0), "sum": (0, 0, (0, 0)), "set": (b"", 0, 0, 0, 0, 0, 0),
          "dirs": [], "names": [], "hashes": [], "sets": [], "paths": []}


def class_of(name):
    return DATA if 25 <= MESSAGES[name][0] <= 32 else CONTROL


def raw_message(number, body):
    return struct.pack("<BI", number % 256, len(body)) + body


def message(name, **values):
    """The bytes of a message; a field that is not given is zero, empty, or an empty file."""
    number, fields = MESSAGES[name]
    body = b""
    for kind, field in fields:
        value = values.pop(field, None)
        if value is None:
            value = entry(FILE) if kind == "entry" else _EMPTY.get(kind, 0)
        body += put_field(kind, value)
    assert not values, values
    return raw_message(number, body)


def frame(body, cls, length=None, flags=0, zero=0, raw=None):
    """A frame; its head may say what is not so."""
    length = len(body) if length is None else length
    return struct.pack("<IBBHI", length, cls, flags, zero, length if raw is None else raw) + body


def packed_frame(body, cls, **lies):
    small = squeeze(body)
    return frame(small, cls, **{"flags": 1, "raw": len(body), **lies})


def messages_in(body):
    """(name, values) of every message of an unpacked body."""
    at = 0
    while at < len(body):
        number, length = struct.unpack_from("<BI", body, at)
        data, at = body[at + 5:at + 5 + length], at + 5 + length
        name, values, field_at = NUMBERS[number], {}, 0
        for kind, field in MESSAGES[name][1]:
            values[field], field_at = get_field(kind, data, field_at)
        yield name, values


# ---- sums, as both sides keep them ----

def weight(secret, path, entry_bytes):
    data = path + b"\0" + entry_bytes
    low, high = digest(secret, data.ljust(256, b"\0"))
    return high << 64 | low


def add(total, n, size, value):
    """`total` with n names, size bytes and a weight more; all may be negative."""
    count, content, (low, high) = total
    value = ((high << 64 | low) + value) % (1 << 128)
    return count + n, content + size, (value % (1 << 64), value >> 64)
