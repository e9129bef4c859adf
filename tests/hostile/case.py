# SPDX-License-Identifier: GPL-2.0-or-later
"""What a case is: a sentence, its suite, and a function that raises Violation when the sentence is not so."""
import os
import random

CASES = []


def case(suite, sentence, **facts):
    """`sets`: how many backup sets the case asks for lawfully."""
    def note(function):
        CASES.append({"suite": suite, "name": function.__name__, "sentence": sentence, "run": function, "sets": 0, **facts})
        return function
    return note


class World:
    """What the attacker knows: the world's folder and how to reach it.  `random` is seeded by run and case, so that a case can
    be repeated alone."""

    def __init__(self, folder, port, context, seed, name):
        self.store, self.identity = os.path.join(folder, "store"), os.path.join(folder, "state-evil", "identity")
        self.folder, self.port, self.context = folder, port, context
        self.scratch = os.path.join(folder, "scratch")
        self.random = random.Random("%s %s" % (seed, name))
        self.mutants = 0

    def tried(self, n=1):
        self.mutants += n

    def elsewhere(self):
        """A folder in which nothing may ever appear."""
        return os.path.join(self.folder, "elsewhere")
