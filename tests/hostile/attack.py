#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A collector that has a valid certificate and means harm.

  attack.py list                        NAME SUITE SETS SENTENCE of every case, a tab between
  attack.py run NAME FOLDER PORT SEED   runs one case against the server of the world in FOLDER; prints how many mutants were
                                        tried; 1 and a sentence when something is not as it must be
"""
import sys

import cases_bytes  # noqa: F401 (they enter themselves)
import cases_life   # noqa: F401
import cases_names  # noqa: F401
import cases_order  # noqa: F401
from case import CASES, World
from peer import Violation, context, mend


def run(name, folder, port, seed):
    found = next(c for c in CASES if c["name"] == name)
    world = World(folder, int(port), None, seed, name)
    world.context = context(world.identity, "evil")
    try:
        mend(world)
        found["run"](world)
    except Violation as wrong:
        print("after %d mutants: %s" % (world.mutants, wrong), file=sys.stderr)
        return 1
    print(world.mutants)
    return 0


def main(verb, *rest):
    if verb == "run":
        return run(*rest)
    for c in sorted(CASES, key=lambda c: int(c["suite"][1:])):
        print(c["name"], c["suite"], c["sets"], c["sentence"], sep="\t")
    return 0


sys.exit(main(*sys.argv[1:]))
