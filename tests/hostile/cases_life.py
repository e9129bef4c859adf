# SPDX-License-Identifier: GPL-2.0-or-later
"""C12, C13: peers that do not read, do not end and do not say who they are."""
import os
import socket
import ssl
import subprocess
import time

import wire
from case import case
from peer import PATIENCE, Peer, Violation, context, live


# ---- C12: those who do not do their part ----

@case("C12", "questions whose answers are never read are not remembered without end")
def answers_never_read(w):
    for name, values, times in (("LIST_REQ", {"dir": b"offiles"}, 3000), ("SUMS_REQ", {}, 3000), ("BLOCKS_REQ", {"path": b"wphost.db", "count": 4096}, 3000),
                                ("SETS_REQ", {}, 20000)):
        with live(w) as peer:
            peer.tls.settimeout(PATIENCE)
            peer.send_all([wire.message(name, **values)] * times, wire.CONTROL)
            peer.settle(30)
            w.tried()


@case("C12", "pings whose answers are never read are answered as far as there is room, and then the connection ends")
def pings_never_answered(w):
    with live(w) as peer:
        peer.tls.settimeout(5)
        ping = wire.frame(wire.message("PING", n=1), wire.CONTROL) * 4000
        for _ in range(200):    # 20 MB of them
            peer.send_bytes(ping)
        peer.settle(30)
        w.tried()


@case("C12", "a connection that is shut on one side ends, in the middle of everything")
def half_closed(w):
    begin = wire.frame(wire.message("BEGIN", op=1, path=b"ofuser/half.db", mode=0, size=100), wire.DATA)
    for data in (b"", b"\x05", begin[:12], begin[:-1], begin):
        with live(w) as peer:
            peer.send_bytes(data)
            peer.tls.shutdown(socket.SHUT_WR)
            peer.expect_end()
        w.tried()
    with Peer(w) as peer:
        peer.hello()
        peer.tls.shutdown(socket.SHUT_WR)
        peer.expect_end()
    w.tried()


@case("C12", "who has a certificate and says nothing is sent away after ten seconds")
def silent_before_hello(w):
    began = time.monotonic()
    with Peer(w) as peer:
        for _ in range(7):      # a ping is no beginning
            peer.send("PING", n=1)
            peer.read(1)
        peer.expect_end("TIMEOUT", seconds=20)
    if not 8 < time.monotonic() - began < 15:
        raise Violation("after %.1f s" % (time.monotonic() - began))
    w.tried()


@case("C12", "who sends a frame in drops is sent away when it has sent no whole one for 45 seconds")
def frame_in_slow_drops(w):
    with live(w) as peer:
        began = time.monotonic()
        peer.send_bytes(wire.frame(b"", wire.DATA, length=1 << 20))
        peer.tls.settimeout(1)
        while time.monotonic() - began < 70 and not peer.ended and peer.goodbye is None:
            peer.send_bytes(b"x" * 20)
            peer.read(1)
        peer.expect_end("TIMEOUT", seconds=5)
        w.tried()


@case("C12", "who leaves without a word in every state leaves nothing behind")
def gone_in_every_state(w):
    hello = wire.frame(wire.message("HELLO", version_min=1, version_max=1), wire.CONTROL)
    for cut in (0, 1, 12, len(hello) - 1, len(hello)):
        for _ in range(4):
            with Peer(w) as peer:
                peer.send_bytes(hello[:cut])
            w.tried()
    for _ in range(20):
        raw = socket.create_connection(("127.0.0.1", w.port), PATIENCE)
        raw.send(w.random.randbytes(w.random.randrange(1, 200)))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raw.close()
        w.tried()


# ---- C13: who are you? ----

def _turned_away(w, who):
    """The handshake fails, or the first thing that is said gets no answer but an end."""
    try:
        with Peer(w, who) as peer:
            peer.hello()
            while got := peer.read():
                if got[0] != "GOODBYE":
                    raise Violation("it was answered with %s" % got[0])
            if not peer.ended and peer.goodbye is None:
                raise Violation("it was let stay")
    except (ssl.SSLError, ConnectionError):
        pass
    w.tried()


@case("C13", "TLS 1.2, no protocol name and a wrong one are turned away")
def other_protocols(w):
    _turned_away(w, context(w.identity, "evil", highest=ssl.TLSVersion.TLSv1_2))
    _turned_away(w, context(w.identity, "evil", alpn=()))
    _turned_away(w, context(w.identity, "evil", alpn=("h2", "http/1.1")))
    _turned_away(w, context(w.identity, "evil", alpn=("tidemark/2", "tidemark")))


@case("C13", "a stranger without a certificate gets no session, and no enrolment without a token")
def without_certificate(w):
    stranger = context(w.identity, "evil", certificate=False)
    with Peer(w, stranger) as peer:
        peer.hello()
        peer.expect_end("PEER")
    for profile in (b"po1", b"evil", b"nobody", b"", b"..", b"../evil", b"a" * 64, b"po1\0", b"\xff", b".identity"):
        with Peer(w, stranger) as peer:
            peer.send("ENROL", profile=profile, csr=w.random.randbytes(300), proof=w.random.randbytes(32))
            peer.expect_end("DENIED", "PEER")
        w.tried()
    for frame in (wire.frame(b"x" * 16385, 0), wire.packed_frame(wire.message("ENROL", profile=b"a" * 60, csr=bytes(4000)), 0)):
        with Peer(w, stranger) as peer:
            peer.send_bytes(frame)
            peer.expect_end("PEER")
        w.tried()


def _openssl(folder, *words):
    subprocess.run(("openssl",) + words, cwd=folder, check=True, capture_output=True)


def _certificate(w, name, common_name="evil", authority=None, usage="clientAuth", when=None, days="300"):
    """A certificate that openssl makes and signs; its folder."""
    folder = os.path.join(w.scratch, name)
    os.makedirs(folder, exist_ok=True)
    authority = authority or os.path.join(w.store, ".identity", "authority")
    _openssl(folder, "genpkey", "-algorithm", "ed25519", "-out", "evil.key")
    _openssl(folder, "req", "-new", "-key", "evil.key", "-subj", "/CN=" + common_name, "-out", "evil.csr")
    with open(os.path.join(folder, "ext"), "w") as f:
        f.write("basicConstraints=critical,CA:FALSE\nextendedKeyUsage=%s\n" % usage)
    sign = ["openssl", "x509", "-req", "-in", "evil.csr", "-CA", authority + ".crt", "-CAkey", authority + ".key", "-set_serial", "77", "-days", days,
            "-extfile", "ext", "-out", "evil.crt"]
    subprocess.run((["faketime", when] if when else []) + sign, cwd=folder, check=True, capture_output=True)
    with open(os.path.join(w.identity, "authority.crt")) as f, open(os.path.join(folder, "authority.crt"), "w") as to:
        to.write(f.read())
    return folder


@case("C13", "a certificate of another authority, of nobody, too old, not yet good or for a server is turned away")
def other_certificates(w):
    folder = os.path.join(w.scratch, "other")
    os.makedirs(folder, exist_ok=True)
    _openssl(folder, "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=evil", "-keyout", "other.key", "-out", "other.crt")
    for facts in ({"name": "foreign", "authority": os.path.join(folder, "other")}, {"name": "old", "when": "2020-01-01 00:00:00", "days": "1"},
                  {"name": "young", "when": "2090-01-01 00:00:00"}, {"name": "server", "usage": "serverAuth"}, {"name": "mail", "usage": "emailProtection"}):
        _turned_away(w, context(_certificate(w, **facts), "evil"))
    alone = _certificate(w, "alone")
    _openssl(alone, "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=evil", "-keyout", "evil.key", "-out", "evil.crt")
    _turned_away(w, context(alone, "evil"))


@case("C13", "a certificate that the authority itself signed is turned away when its key is not the one that was enrolled")
def signed_but_not_enrolled(w):
    for name in ("evil", "po1", "nobody", "..", "evil/../po1", ".identity", "x" * 60):
        _turned_away(w, context(_certificate(w, "signed", common_name=name.replace("/", "\\/")), "evil"))


@case("C13", "a certificate's chain, or a first flight, that is longer than any honest one is not read to its end")
def long_chains(w):
    folder = _certificate(w, "chain")
    with open(os.path.join(folder, "evil.crt")) as f:
        one = f.read()
    for copies in (20, 200):
        with open(os.path.join(folder, "evil.crt"), "w") as f:
            f.write(one + open(os.path.join(w.identity, "authority.crt")).read() * copies)
        _turned_away(w, context(folder, "evil"))
    for first in (b"\x16\x03\x01\x40\x00" + b"\x01\x00\x3f\xfc" + bytes(16380), b"\x16\x03\x01\xff\xff" * 4000):
        _plaintext(w, first)


def _plaintext(w, data):
    with socket.create_connection(("127.0.0.1", w.port), PATIENCE) as raw:
        try:
            raw.sendall(data)
            while piece := raw.recv(65536):
                if b"tidemark" in piece or b"HELLO" in piece:
                    raise Violation("it was answered with %r" % piece[:80])
        except TimeoutError:
            raise Violation("it was let stay") from None
        except OSError:
            pass
    w.tried()


@case("C13", "what is no TLS at all is turned away without an answer that tells anything")
def plaintext(w):
    for data in (wire.frame(wire.message("HELLO", version_min=1, version_max=1), 0), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n",
                 b"\r\n\r\n", bytes(4096), b"SSH-2.0-x\r\n", b"\x80\x2e\x01\x00\x02" + bytes(44)):
        _plaintext(w, data)


@case("C13", "no session can be resumed: the server hands out no ticket")
def no_tickets(w):
    with live(w) as peer:
        peer.send("SETS_REQ")
        peer.expect("SETS")
        if peer.tls.session and peer.tls.session.has_ticket:
            raise Violation("a ticket")
        before = peer.tls.session
    with socket.create_connection(("127.0.0.1", w.port), PATIENCE) as raw:
        with w.context.wrap_socket(raw, session=before) as tls:
            if tls.session_reused:
                raise Violation("resumed")
    w.tried(2)


# A handshake of the client's, in the open: how a session of TLS 1.2 is begun anew.
HELLO_REQUEST, CLIENT_HELLO = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00", b"\x16\x03\x03\x00\x2d\x01\x00\x00\x29\x03\x03" + bytes(32) + b"\0\0\x02\x13\x01\x01\0"


@case("C13", "a session is not begun anew: a second handshake ends it, and new keys may be asked for as often as one likes")
def begun_anew(w):
    for record in (HELLO_REQUEST, CLIENT_HELLO, CLIENT_HELLO * 50):
        with live(w) as peer:
            os.write(peer.tls.fileno(), record)     # beneath TLS
            peer.expect_end()
        w.tried()
    keys = b"K\n" * 2000    # s_client asks for new keys, of both sides
    _s_client(w, keys + b"Q\n")
    w.tried()


def _s_client(w, words, *more):
    """What openssl's client prints when it is the collector and reads these lines."""
    identity = [os.path.join(w.identity, name) for name in ("evil.crt", "evil.key", "authority.crt")]
    command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % w.port, "-tls1_3", "-alpn", "tidemark/1", "-cert", identity[0], "-key", identity[1],
               "-CAfile", identity[2]]
    return subprocess.run(command + list(more), input=words, capture_output=True, timeout=60, check=False).stdout


def _read_until(process, line, times=1):
    while times:
        got = process.stdout.readline()
        if not got:
            raise RuntimeError("openssl ended before it said %r" % line)
        times -= got == line


def _foreign_session(w):
    """A session that allows early data: of a server of our own, since tidemark's gives none.  Its file."""
    folder = os.path.join(w.scratch, "early")
    os.makedirs(folder, exist_ok=True)
    _openssl(folder, "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=other", "-keyout", "other.key", "-out", "other.crt")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    talk = {"cwd": folder, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "bufsize": 0}
    server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:%d" % port, "-tls1_3", "-early_data", "-alpn", "tidemark/1", "-cert", "other.crt",
                               "-key", "other.key", "-naccept", "1"], **talk)
    _read_until(server, b"ACCEPT\n")
    client = subprocess.Popen(["openssl", "s_client", "-connect", "127.0.0.1:%d" % port, "-tls1_3", "-alpn", "tidemark/1", "-sess_out", "session"], **talk)
    _read_until(client, b"---\n", times=5)
    server.stdin.write(b"behind the ticket\n")
    _read_until(client, b"behind the ticket\n")
    for each in (client, server):
        each.communicate(b"Q\n", timeout=PATIENCE)
    return os.path.join(folder, "session")


@case("C13", "what is sent before the handshake is over (0-RTT) is refused and never read")
def early_data(w):
    session, early = _foreign_session(w), os.path.join(w.scratch, "early", "data")
    for data in (wire.frame(wire.message("HELLO", version_min=1, version_max=1), wire.CONTROL), b"x" * 16000):
        with open(early, "wb") as f:
            f.write(data)
        said = _s_client(w, b"Q\n", "-sess_in", session, "-early_data", early)
        if b"Early data was accepted" in said:
            raise Violation("it was taken")
        if b"Early data was rejected" not in said:
            raise RuntimeError("no early data was sent: %r" % said[-2000:])
        w.tried()
