# SPDX-License-Identifier: GPL-2.0-or-later
"""S2-S5: what a server says that it must not.  The collector ends the connection or passes it over; it neither dies nor believes it."""
import os
import socket
import ssl
import subprocess
import time

import wire
from case import case
from mutate import ODD_NAMES, of_message
from peer import PATIENCE, Violation

ONE = (1, 10, (1, 1))
FILE = wire.entry(wire.FILE, size=10, hash=(1, 1))
GONE = ("lost", "PEER")


def _ends(s, name, **values):
    with s.agreed(wire.since(name)) as guest:
        guest.send(name, **values)
        guest.expect_end(*GONE)
    s.tried()


# ---- S2: answers ----

@case("S2", "an answer that nobody asked for ends the connection")
def unasked_answers(s):
    _ends(s, "BLOCKS", path=b"wphost.db", present=1, size=4096, v=[(1, 1)])
    _ends(s, "BLOCKS", path=b"offiles/fd0/only-po1")
    _ends(s, "SUMS", v=[(b"offiles/fd0", ONE)])
    _ends(s, "LIST", dir=b"offiles/fd0", v=[(b"x", FILE)])
    _ends(s, "SETS", v=[(b"monjan01", 1, 1, 1, 1, 1, 0)])
    _ends(s, "NAMES", set=(b"monjan01", 1, 1, 1, 1, 1, 0), v=[(b"wphost.db", 1, 0o640, 1, 1)])
    _ends(s, "REFUSED", type=8, code=b"IO", text=b"no")
    with s.agreed() as guest:   # of the first version: it knows none of these
        guest.send("NEWEST", set=(b"monjan01", 1, 1, 1, 1, 1, 0))
        guest.expect_end(*GONE)
    s.tried()


def _asked_for_sums(s):
    guest = s.accept()
    guest.greet(total=(5, 50, (5, 5)))
    guest.expect("SUMS_REQ")
    return guest


@case("S2", "a list of folders that does not rise, or goes on behind an empty page, ends the connection")
def folders_that_do_not_rise(s):
    for dirs, more in (([b"offiles/fd1", b"offiles/fd1"], 0), ([b"offiles/fd2", b"offiles/fd1"], 1), ([b"ofuser", b""], 0), ([], 1), ([b"", b""], 1)):
        with _asked_for_sums(s) as guest:
            guest.send("SUMS", v=[(d, ONE) for d in dirs], more=more)
            guest.expect_end(*GONE)
        s.tried()
        s.agreed().close()      # what goes well makes the next dial quick


@case("S2", "a page that is told again and again is asked for once, and ends the connection then")
def pages_without_end(s):
    with _asked_for_sums(s) as guest:
        page = [(b"offiles/zz%d" % i, (0, 0, (0, 0))) for i in range(3)]
        guest.send("SUMS", v=page, more=1)
        while guest.expect("SUMS_REQ", "LIST_REQ")[0] == "LIST_REQ":
            guest.send("LIST", dir=b"offiles/zz0")
        guest.send("SUMS", v=page, more=1)
        guest.expect_end(*GONE)
    s.tried()


@case("S2", "names that do not rise, that lead elsewhere, or of another folder than was asked for, end the connection")
def names_that_do_not_rise(s):
    answers = [(b"offiles/fd1", [b"b", b"a"], 0), (b"offiles/fd1", [b"a", b"a"], 1), (b"offiles/fd1", [], 1), (b"offiles/fd2", [b"a"], 0), (b"", [b"a"], 0)]
    answers += [(b"offiles/fd1", [name], 0) for name in (b"..", b".", b"", b"a/b", b"../x", b"n" * 256, b"a\0b")]
    for folder, names, more in answers:
        with _asked_for_sums(s) as guest:
            guest.send("SUMS", v=[(b"offiles/fd1", ONE)])
            guest.expect("LIST_REQ")
            guest.send("LIST", dir=folder, v=[(name, FILE) for name in names], more=more)
            guest.expect_end(*GONE)
        s.tried()
        s.agreed().close()


@case("S2", "what a server invents is compared with the live tree, and then sent or removed on the server, never here")
def invented_names(s):
    with _asked_for_sums(s) as guest:
        kinds = [wire.entry(kind, target=b"/etc/passwd", size=(1 << 63) - 1, mode=0o7777) for kind in range(1, 8)]
        names = sorted({path.rpartition(b"/")[2] for path in ODD_NAMES})
        guest.send("SUMS", v=[(b"offiles/fd1", (9, 9, (9, 9)))])
        guest.expect("LIST_REQ")
        guest.send("LIST", dir=b"offiles/fd1", v=[(name, kinds[i % 7]) for i, name in enumerate(names)])
        until = time.monotonic() + 3
        while got := guest.read(until - time.monotonic()):
            if "op" in got[1] and got[0] in ("PUT", "ENTRY", "REMOVE", "END"):
                guest.ack(got[1]["op"])
        s.tried(len(names))


@case("S2", "folders that a server invents without end are listed as long as they rise, in bounded memory")
def folders_without_end(s):
    with _asked_for_sums(s) as guest:
        for page in range(60):
            guest.send("SUMS", v=[(b"offiles/zz%06d" % (page * 4096 + i), (0, 0, (0, 0))) for i in range(4096)], more=1)
            guest.expect("SUMS_REQ", seconds=30)
            s.tried()


@case("S2", "blocks of a file that are not those that were asked for end the connection")
def blocks_that_lie(s):
    for lie in ({"path": b"offiles/fd0/other"}, {"first": 1}, {"first": 1 << 40}, {"v": [(1, 1)] * 4097}, {"size": 1 << 63}, {"size": 1, "v": [(1, 1)] * 100},
                {"present": 0}, {"present": 2}):
        with s.agreed() as guest:
            path = s.write(9 << 20)
            guest.expect("BEGIN")       # and then the connection is lost: what we hold of it is in doubt
        guest = s.accept()
        guest.answers = False
        guest.greet()
        _, asked = guest.expect("BLOCKS_REQ")
        honest = {"path": asked["path"], "present": 1, "size": 9 << 20, "first": asked["first"], "v": [(1, 1)] * 2304}
        guest.send("BLOCKS", **{**honest, **lie})
        guest.expect_end(*GONE)
        guest.close()
        os.unlink(os.path.join(s.office, os.fsdecode(path)))
        s.tried()


# ---- S3: acknowledgements ----

@case("S3", "an acknowledgement or a refusal of what was never sent ends the connection")
def acks_beyond(s):
    for op in (1000, 1 << 31, (1 << 63) - 1, (1 << 64) - 1):
        _ends(s, "ACK", received=op, applied=op, durable=op)
        _ends(s, "NAK", op=op, code=b"GONE", text=b"a lie")
    _ends(s, "NAK", op=0, code=b"BUSY")
    _ends(s, "NAK", op=1, code=b"DIFFERS")      # it was acknowledged


@case("S3", "an acknowledgement of a file that is still being sent ends the connection")
def ack_of_an_open_file(s):
    for _ in range(5):
        with s.agreed() as guest:
            path = s.write(24 << 20)
            op = guest.expect("BEGIN")[1]["op"]
            guest.ack(op)
            guest.expect_end(*GONE, seconds=60)
        os.unlink(os.path.join(s.office, os.fsdecode(path)))    # or it would fill the window of the next session
        s.tried()


@case("S3", "a server that refuses everything, with every code, is asked again and harms nothing")
def every_refusal(s):
    for code in (b"BUSY", b"NOSPACE", b"DIFFERS", b"GONE", b"UNSUPPORTED", b"PEER", b"LIMIT", b"NOMEM", b"STOPPED", b"nonsense", b""):
        with s.agreed() as guest:
            path = s.write()
            while (got := guest.expect("PUT", "ENTRY", "REMOVE"))[1].get("path") != path:
                guest.ack(got[1]["op"])
            guest.send("NAK", op=got[1]["op"], code=code, text=b"\x1b[2J\x1b]0;owned\x07\n<3>forged")
            guest.ack(got[1]["op"])
            guest.settle()
            s.tried()


@case("S3", "what a server acknowledged and forgot is found and sent again")
def forgets_everything(s):
    with s.agreed() as guest:
        for _ in range(20):
            path = s.write(5000)
            while (got := guest.expect("PUT", "ENTRY"))[1].get("path") != path:
                guest.ack(got[1]["op"])
            guest.ack(got[1]["op"])
        guest.settle()
        s.tried(20)


# ---- S4: orders ----

@case("S4", "orders about jobs that do not run are passed over, however many")
def orders_about_no_job(s):
    with s.agreed() as guest:
        for job in (0, 1, 77, (1 << 64) - 1):
            for _ in range(100):
                guest.send("STOP", job=job, origin=b"\x1b[31mowned\n")
                guest.send("PROGRESS", job=job, phase=b"\x1b[2J", done=5, total=1)
                guest.send("JOB_FAILED", job=job, code=b"IO", text=b"\x1b[2J")
                guest.send("SEALED", job=job, set=(b"\x1b[2J../..", -1, 1 << 62, 1, 1, 1, 1), note=b"\x1b[2J")
            s.tried(4)
        if not guest.settle():
            raise Violation("it ended the connection")


@case("S4", "what only a collector says ends the connection: a server asks for no file, no path and no configuration")
def the_other_sides_messages(s):
    for name in wire.MESSAGES:
        if name not in wire.FROM_SERVER and name not in ("PING", "PONG", "GOODBYE", "STOP"):
            values = {"path": b"../../etc/passwd"} if name in ("BLOCKS_REQ", "PUT", "BEGIN", "ENTRY", "REMOVE") else {}
            _ends(s, name, **values)
    _ends(s, "BLOCKS_REQ", path=b"wphost.db", count=1)
    _ends(s, "REMOVE", op=1, path=b"wphost.db")
    _ends(s, "ENROLLED", certificate=b"x", authority=b"x")


# ---- S5: states, bytes and words ----

@case("S5", "a message before WELCOME, a second WELCOME or one of an unknown version ends the connection")
def welcomes(s):
    for lies in ({"version": 0}, {"version": 4}, {"version": (1 << 32) - 1}):
        with s.accept() as guest:
            guest.greet(**lies)
            guest.expect_end(*GONE)
        s.agreed().close()
        s.tried()
    for name in ("ACK", "SUMS", "SETS", "STOP", "SEALED"):
        with s.accept() as guest:
            guest.expect("HELLO")
            guest.send(name)
            guest.expect_end(*GONE)
        s.agreed().close()
        s.tried()
    _ends(s, "WELCOME", **s.told)


@case("S5", "names, times and figures of a welcome are shown and nothing else")
def welcomes_with_wild_words(s):
    for lies in ({"last_set": b"\x1b[2J\x1b]0;x\x07", "last_started": -(1 << 63), "last_sealed": (1 << 63) - 1}, {"now": -(1 << 63)}, {"now": (1 << 63) - 1},
                 {"build": b"\x1b[2J%s%n"}, {"token": 0}, {"last_set": b"../../x", "last_started": 1}):
        with s.accept() as guest:
            guest.greet(**lies)
            guest.settle()
        s.agreed().close()
        s.tried()


@case("S5", "words of a farewell are words, whatever is in them")
def farewells(s):
    for code in (b"PEER", b"UNSUPPORTED", b"", b"\x1b[2J", b"TIMEOUT"):
        with s.agreed() as guest:
            guest.send("GOODBYE", code=code, text=b"\x1b[2J\x1b]0;owned\x07\n<3>forged line\r" + b"x" * 900)
            guest.expect_end()
        s.tried()


@case("S5", "frames that lie about themselves end the connection")
def frames_that_lie(s):
    ping = wire.message("PING", n=1)
    body = wire.message("ACK") + ping * 40
    small = wire.squeeze(body)
    for data in ([wire.frame(ping, 0, length=length) for length in (0, (1 << 20) + 1, 1 << 31, (1 << 32) - 1)] +
                 [wire.frame(ping, **{"cls": 0, **head}) for head in ({"cls": 2}, {"flags": 2}, {"zero": 1}, {"raw": 1}, {"raw": 1 << 31})] +
                 [wire.frame(small, 0, flags=1, raw=raw) for raw in (len(body) + 1, len(body) - 1, 1 << 20, 1 << 31)] +
                 [wire.frame(wire.squeeze(bytes(1 << 28))[:1 << 20], 0, flags=1, raw=1 << 20), wire.frame(small[:-1], 0, flags=1, raw=len(body)),
                  wire.frame(wire.raw_message(0, b""), 0), wire.frame(wire.raw_message(33, b"x"), 0), wire.frame(wire.raw_message(255, b"x"), 1)]):
        with s.agreed() as guest:
            guest.send_bytes(data)
            guest.expect_end(*GONE)
        s.tried()


@case("S5", "mutants of every message are passed over or end the connection, and the collector lives")
def mutants_of_all(s):
    good = {"ACK": {}, "NAK": {"op": 1, "code": b"GONE", "text": b"words"}, "SUMS": {"v": [(b"offiles", ONE)]}, "LIST": {"dir": b"offiles", "v": [(b"a", FILE)]},
            "BLOCKS": {"path": b"wphost.db", "present": 1, "size": 9, "v": [(1, 1)]}, "PROGRESS": {"job": 1, "phase": b"x"}, "WELCOME": dict(s.told),
            "SEALED": {"set": (b"monjan01", 1, 1, 1, 1, 1, 0)}, "JOB_FAILED": {"code": b"IO"}, "SETS": {"v": [(b"monjan01", 1, 1, 1, 1, 1, 0)]},
            "STOP": {"job": 1, "origin": b"x"}, "PING": {"n": 1}, "ENROLLED": {}, "NEWEST": {"set": (b"monjan01", 1, 1, 1, 1, 1, 0)},
            "NAMES": {"set": (b"monjan01", 1, 1, 1, 1, 1, 0), "v": [(b"a", 1, 0, 1, 1)], "next": b"n a"}, "REFUSED": {"type": 37, "code": b"IO"}, "RELEASE": {"head": bytes(300)},
            "PIECE": {"data": bytes(300)}}
    for name, values in good.items():
        mutants = [m for m in of_message(name, values, s.random, 10) if len(m) <= wire.FRAME_MAX]
        for mutant in s.random.sample(mutants, min(12, len(mutants))):
            with s.agreed(wire.since(name)) as guest:
                guest.send_bytes(wire.frame(mutant, wire.CONTROL))
                guest.settle()
            s.tried()


@case("S5", "a server that no longer reads holds up what is sent, and nothing grows without bound")
def never_reads(s):
    with s.agreed():
        for _ in range(8):
            s.write(12 << 20)
        time.sleep(5)   # time is what is tried: its most memory is looked at afterwards
    s.tried()


# ---- impostors ----

def _no_word(s, who):
    """The handshake fails, and not one byte of ours was heard before."""
    raw = s.accept_raw()
    try:
        with who.wrap_socket(raw, server_side=True) as tls:
            tls.settimeout(PATIENCE)
            data = tls.recv(65536)
            if data:
                raise Violation("the collector said %r to an impostor" % data[:80])
    except (ssl.SSLError, OSError):
        pass
    s.tried()
    raw.close()
    s.agreed().close()


@case("S5", "who is not the server that was enrolled with hears nothing: another authority, a collector's certificate, TLS 1.2, no protocol")
def impostors(s):
    folder = os.path.join(s.scratch, "impostor")
    os.makedirs(folder, exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=tidemark-server", "-keyout", "fake.key", "-out", "fake.crt"],
                   cwd=folder, check=True, capture_output=True)
    own = os.path.join(s.store, ".identity")
    _no_word(s, s.tls_context(folder, "fake"))
    _no_word(s, s.tls_context(os.path.join(s.folder, "state-evil", "identity"), "evil"))
    _no_word(s, s.tls_context(own, "server", highest=ssl.TLSVersion.TLSv1_2))
    _no_word(s, s.tls_context(own, "server", alpn=()))
    _no_word(s, s.tls_context(own, "server", alpn=("h2",)))


@case("S5", "plain text, silence and a connection that is cut at once are no server")
def no_server_at_all(s):
    for data in (b"", b"HTTP/1.1 200 OK\r\n\r\n", bytes(70000), wire.frame(wire.message("WELCOME", **s.told), 0)):
        raw = s.accept_raw()
        try:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(65536)
        except OSError:
            pass
        raw.close()
        s.tried()
    s.agreed().close()
