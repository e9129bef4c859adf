# SPDX-License-Identifier: GPL-2.0-or-later
"""Results read: lines of JSON into rounds, medians, spreads and slopes.  report.py and compare speak through this.

A key is (scenario, system, metric, fs, x); its rounds are what was measured.  All metrics are such that less is better."""
import json
import math
import statistics


class Figures:
    def __init__(self, path):
        self.hosts, self.systems, self.lost, self.rounds, self.units = [], {}, [], {}, {}
        with open(path) as f:
            for line in f:
                self.take(json.loads(line))

    def take(self, o):
        if o["type"] == "host":
            self.hosts.append(o)
        elif o["type"] == "system":
            self.systems[o["system"]] = o
        elif o["type"] == "lost":
            self.lost.append(o)
        elif o["type"] == "result":
            key = (o["scenario"], o["system"], o["metric"], o["fs"], o["x"])
            self.rounds.setdefault(key, []).append(float(o["value"]))
            self.units[o["metric"]] = o["unit"]

    def median(self, *key):
        values = self.rounds.get(key)
        return statistics.median(values) if values else None

    def series(self):
        """{(scenario, system, metric, fs): [(x, median), ...]} of everything that was measured against an x."""
        found = {}
        for key in self.rounds:
            if key[4] is not None:
                found.setdefault(key[:4], []).append((float(key[4]), self.median(*key)))
        return {key: sorted(points) for key, points in found.items()}


def spread(values):
    """What a normal distribution would call its deviation, from the median distance to the median."""
    middle = statistics.median(values)
    return 1.4826 * statistics.median(abs(v - middle) for v in values)


def slope(points):
    """The exponent with which y grows with x (log-log, least squares); None for less than two points above zero."""
    logs = [(math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0]
    if len({x for x, _ in logs}) < 2:
        return None
    mx, my = (statistics.fmean(v) for v in zip(*logs))
    return sum((x - mx) * (y - my) for x, y in logs) / sum((x - mx) ** 2 for x, y in logs)


def number(value):
    if value is None:
        return "-"
    if value == 0:
        return "0"
    return "%.0f" % value if abs(value) >= 1000 else "%.3g" % value


def quantity(value, unit):
    if value is None:
        return "-"
    if unit == "B":
        return "%.1f MiB" % (value / (1 << 20))
    if unit == "core":
        return "%.3f %%" % (value * 100)
    return number(value) if unit in ("count", "B/B") else "%s %s" % (number(value), unit)
