#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that has the server's own key and means harm.

  liar.py learn FOLDER PORT             notes what the real server says to po1, to be able to say it too
  liar.py list                          NAME SUITE SENTENCE of every case, a tab between
  liar.py run NAME FOLDER PORT SEED     runs one case against the collector that dials PORT; prints how many lies were told; 1 and a
                                        sentence when the collector did what it must not
"""
import json
import os
import random
import shutil
import socket
import ssl
import sys
import time

import lies  # noqa: F401 (they enter themselves)
import lies_release  # noqa: F401
from case import CASES
from peer import PATIENCE, Talk, Violation, context, live

TOLD = "welcome.json"


class Guest(Talk):
    """The collector that came.  What it sends is looked through for what must not leave its host."""

    def __init__(self, stage, tls):
        super().__init__(tls)
        self.stage = stage
        self.answers = True     # what is asked about files in doubt: we hold nothing of them

    def _note(self, name, values):
        super()._note(name, values)
        self.stage.look(name, values)
        if name == "BLOCKS_REQ" and self.answers:
            self.send("BLOCKS", path=values["path"], first=values["first"])

    def greet(self, **lies):
        """Up to WELCOME: we hold just what it believes we hold."""
        _, hello = self.expect("HELLO")
        self.send("WELCOME", **{**self.stage.told, "total": hello["total"], "now": time.time_ns(), **lies})
        return hello

    def ack(self, op):
        self.send("ACK", received=op, applied=op, durable=op)


class Stage:
    def __init__(self, folder, port, seed, name):
        self.folder, self.office = folder, os.path.join(folder, "po")
        self.scratch, self.store = os.path.join(folder, "scratch"), os.path.join(folder, "store")
        self.random = random.Random("%s %s" % (seed, name))
        self.mutants = self.files = 0
        with open(os.path.join(self.scratch, TOLD)) as f:
            told = json.load(f)
        self.told = {"version": 1, "build": b"liar", "instance": told["instance"].encode(), "generation": told["generation"], "token": 1 << 40,
                     "key": bytes.fromhex(told["key"])}
        self.context = self.tls_context(os.path.join(self.store, ".identity"), "server")
        self.listener = socket.create_server(("127.0.0.1", port))
        self.liar_folder = os.path.join(self.office, "offiles", "liar")
        os.makedirs(self.liar_folder, exist_ok=True)

    @staticmethod
    def tls_context(folder, name, alpn=("tidemark/1",), highest=ssl.TLSVersion.TLSv1_3):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.minimum_version, c.maximum_version = ssl.TLSVersion.TLSv1_2, highest
        c.load_cert_chain(os.path.join(folder, name + ".crt"), os.path.join(folder, name + ".key"))
        if alpn:
            c.set_alpn_protocols(list(alpn))
        return c

    def tried(self, n=1):
        self.mutants += n

    def accept_raw(self, seconds=60):
        self.listener.settimeout(seconds)
        try:
            raw, _ = self.listener.accept()
        except TimeoutError:
            raise Violation("the collector does not come back") from None
        raw.settimeout(PATIENCE)
        return raw

    def accept(self, who=None):
        return Guest(self, (who or self.context).wrap_socket(self.accept_raw(), server_side=True))

    def write(self, size=100):
        """A new file in the live office, in the one folder that is ours to use; its path in a set."""
        self.files += 1
        name = "%s-%d" % (os.path.basename(sys.argv[2]), self.files)
        with open(os.path.join(self.liar_folder, name), "wb") as f:
            f.write(self.random.randbytes(size))
        return b"offiles/liar/" + name.encode()

    def agreed(self, version=1):
        """A session that went well so far: so the collector dials again at once when it ends."""
        guest = self.accept()
        guest.greet(version=version)
        path = self.write()
        while True:
            name, values = guest.expect("PUT", "ENTRY", "REMOVE", "END")
            guest.ack(values["op"])
            if values.get("path") == path:
                return guest

    def look(self, name, values):
        """Nothing leaves but names of the office and what lies under them."""
        if name not in ("PUT", "BEGIN", "ENTRY", "REMOVE", "CHUNK"):
            return
        path, data = values.get("path", b""), values.get("data", b"")
        if path.split(b"/")[0] in (b"", b"..", b"ofwork", b"oftemp") and name != "CHUNK" or b".." in path.split(b"/"):
            raise Violation("the collector names %r" % path)
        if b"CANARY" in data or b"CANARY" in path:
            raise Violation("what lies outside the office left it, under %r" % path)

    def close(self):
        self.listener.close()
        shutil.rmtree(self.liar_folder)


def learn(folder, port):
    class Po1:
        pass
    Po1.port, Po1.context = int(port), context(os.path.join(folder, "state", "identity"), "po1")
    with live(Po1) as peer:
        told = peer.told
    with open(os.path.join(folder, "scratch", TOLD), "w") as f:
        json.dump({"instance": told["instance"].decode(), "generation": told["generation"], "key": told["key"].hex()}, f)
    return 0


def run(name, folder, port, seed):
    found = next(c for c in CASES if c["name"] == name)
    stage = Stage(folder, int(port), seed, name)
    try:
        found["run"](stage)
    except Violation as wrong:
        print("after %d lies: %s" % (stage.mutants, wrong), file=sys.stderr)
        return 1
    finally:
        stage.close()
    print(stage.mutants)
    return 0


def main(verb, *rest):
    if verb == "learn":
        return learn(*rest)
    if verb == "run":
        return run(*rest)
    for c in CASES:
        print(c["name"], c["suite"], c["sentence"], sep="\t")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
