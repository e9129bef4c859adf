# SPDX-License-Identifier: GPL-2.0-or-later
"""One end of a connection that may do as it likes; and a collector that is one."""
import collections
import os
import socket
import ssl
import struct
import time

import wire

PATIENCE = 15


class Violation(Exception):
    """The other side did what it must not do."""


def context(identity, name, authority="authority.crt", alpn=("tidemark/1",), highest=ssl.TLSVersion.TLSv1_3, certificate=True):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.minimum_version = ssl.TLSVersion.TLSv1_2
    c.maximum_version = highest
    c.load_verify_locations(os.path.join(identity, authority))
    if certificate:
        c.load_cert_chain(os.path.join(identity, name + ".crt"), os.path.join(identity, name + ".key"))
    if alpn:
        c.set_alpn_protocols(list(alpn))
    return c


class Talk:
    """Frames out, messages in, over a TLS connection."""

    def __init__(self, tls):
        self.tls = tls
        self.buffer = b""
        self.waiting = collections.deque()
        self.goodbye = None     # the code, once it was said
        self.ended = False
        self.acked = 0
        self.naks = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self.tls.close()
        except OSError:
            pass

    # ---- out ----

    def send_bytes(self, data):
        """A server that has had enough may close at any moment: that is an answer, and read as one."""
        try:
            self.tls.sendall(data)
        except (OSError, ssl.SSLError):
            pass

    def send(self, name, **values):
        self.send_bytes(wire.frame(wire.message(name, **values), wire.class_of(name)))

    def send_all(self, messages, cls=wire.DATA):
        """Many messages, as few frames as they fit."""
        body = b""
        for m in messages:
            if len(body) + len(m) > wire.FRAME_MAX:
                self.send_bytes(wire.frame(body, cls))
                body = b""
            body += m
        if body:
            self.send_bytes(wire.frame(body, cls))

    # ---- in ----

    def _fill(self, until):
        left = until - time.monotonic()
        if left <= 0:
            return False
        self.tls.settimeout(left)
        try:
            piece = self.tls.recv(1 << 18)
        except TimeoutError:
            return False
        except (OSError, ssl.SSLError):
            piece = b""
        self.buffer += piece
        self.ended = not piece
        return not self.ended

    def _take_frame(self):
        if len(self.buffer) < 12:
            return False
        length, _, flags, _, raw = struct.unpack_from("<IBBHI", self.buffer)
        if len(self.buffer) < 12 + length:
            return False
        body, self.buffer = self.buffer[12:12 + length], self.buffer[12 + length:]
        self.waiting.extend(wire.messages_in(wire.unsqueeze(body, raw) if flags & 1 else body))
        return True

    def read(self, seconds=PATIENCE):
        """The next message but PINGs, which are answered; None at the end of the connection or of the time."""
        until = time.monotonic() + seconds
        while True:
            while self.waiting:
                name, values = self.waiting.popleft()
                self._note(name, values)
                if name != "PING":
                    return name, values
            if not self._take_frame() and not self._fill(until):
                return None

    def _note(self, name, values):
        if name == "PING":
            self.send("PONG", n=values["n"])
        elif name == "ACK":
            if values["durable"] < self.acked or not values["durable"] <= values["applied"] <= values["received"]:
                raise Violation("acknowledgement falls: %r after %d" % (values, self.acked))
            self.acked = values["durable"]
        elif name == "NAK":
            self.naks[values["op"]] = values["code"].decode()
        elif name == "GOODBYE":
            self.goodbye = values["code"].decode()

    def expect(self, *names, seconds=PATIENCE):
        """The next message of one of these names; others that may come meanwhile are passed over."""
        until = time.monotonic() + seconds
        while got := self.read(until - time.monotonic()):
            if got[0] in names:
                return got
        raise Violation("no %s came%s" % (" or ".join(names), " but GOODBYE " + self.goodbye if self.goodbye is not None else ""))

    def expect_end(self, *codes, seconds=PATIENCE):
        """The connection ends, with one of these codes when it was open for messages ("lost": without a word)."""
        until = time.monotonic() + seconds
        while self.read(until - time.monotonic()):
            pass
        if not self.ended and self.goodbye is None:
            raise Violation("the connection goes on, and should have ended with %s" % "/".join(codes))
        got = "lost" if self.goodbye is None else self.goodbye
        if codes and got not in codes:
            raise Violation("the connection ended with %s, not %s" % (got or "no code", "/".join(codes)))

    def settle(self, seconds=PATIENCE):
        """Whatever was sent, the server either still answers or has ended the connection: it never just stays silent.  True: alive."""
        self.send("PING", n=0x7469646d)
        until = time.monotonic() + seconds
        while got := self.read(until - time.monotonic()):
            if got == ("PONG", {"n": 0x7469646d}):
                return True
        if not self.ended and self.goodbye is None:
            raise Violation("the server neither answers nor ends the connection")
        return False


class Peer(Talk):
    """A collector.  `world` knows where the server is and who we are; `who` is a context of somebody else's."""

    def __init__(self, world, who=None):
        raw = socket.create_connection(("127.0.0.1", world.port), PATIENCE)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__((who or world.context).wrap_socket(raw))
        self.op = 0
        self.secret = None

    def next_op(self):
        self.op += 1
        return self.op

    def put(self, path, data, **more):
        """The message of a small file, honest unless told otherwise."""
        facts = {"hash": wire.digest(self.secret, data), "size": len(data), "mtime": time.time_ns(), **more}
        return wire.message("PUT", op=self.next_op(), path=path, entry=wire.entry(wire.FILE, **facts), data=data)

    def remove(self, path):
        return wire.message("REMOVE", op=self.next_op(), path=path)

    def expect_durable(self, op=None, seconds=60):
        op = self.op if op is None else op
        until = time.monotonic() + seconds
        while self.acked < op:
            if not self.read(until - time.monotonic()):
                raise Violation("operation %d did not become durable: %d did%s" % (op, self.acked, ", GOODBYE " + str(self.goodbye)))

    def expect_nak(self, op, *codes):
        self.expect_durable(op)
        if self.naks.get(op) not in codes:
            raise Violation("operation %d was answered with %s, not %s" % (op, self.naks.get(op), "/".join(codes)))

    def hello(self, **values):
        honest = {"version_min": 1, "version_max": 1, "build": b"hostile", "host": b"hostile", "journal": b"hostile"}
        self.send("HELLO", **{**honest, **values})

    def welcome(self, version=1, **values):
        """Up to WELCOME.  The session before us may still be on its way out."""
        self.hello(version_max=version, **values)
        _, w = self.expect("WELCOME")
        self.told, self.secret = w, wire.secret_of(w["key"])
        self.total, self.token = w["total"], w["token"]
        return self


def mend(world):
    """A row for each folder that the replica has: cases before removed some, or never sent them, and a replica that has names in a folder, and
    not the folder, is sealed by nobody."""
    staged = os.fsencode(os.path.join(world.store, "evil", "gre_data"))
    with live(world) as peer:
        for top, prefix in ((os.path.join(staged, b"sync"), b""), (os.path.join(staged, b"ofuser", b"index"), b"ofuser/index")):
            for folder, _, _ in os.walk(top):
                path = os.path.normpath(os.path.join(prefix, os.path.relpath(folder, top)))
                if path != b".":
                    peer.send_all([wire.message("ENTRY", op=peer.next_op(), path=path, entry=wire.entry(wire.DIRECTORY, mode=0o755))])
        peer.expect_durable()


def live(world, version=1):
    """An honest beginning.  BUSY passes: the session before us is just being taken down."""
    until = time.monotonic() + PATIENCE
    while True:
        peer = Peer(world)
        try:
            return peer.welcome(version)
        except Violation:
            peer.close()
            if peer.goodbye != "BUSY" or time.monotonic() > until:
                raise
        time.sleep(0.05)        # nothing tells when the server has noticed
