#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Medians and ratios into words: report.py FIGURES TEMPLATE.  {key} is a median, {a/b} a ratio of medians, {key:mib} in MiB, {key:all} every
round; a figure that was not measured is "-"."""
import os
import platform
import re
import statistics
import sys

figures = {}
with open(sys.argv[1]) as f:
    for line in f:
        key, value = line.rstrip("\n").split(" ", 1)
        figures.setdefault(key, []).append(value)


def median(key):
    values = figures.get(key)
    try:
        return statistics.median(float(v) for v in values) if values else None
    except ValueError:
        return None


def memory_total():
    with open("/proc/meminfo") as f:
        return int(f.readline().split()[1]) >> 20


def fill(match):
    name, _, form = match.group(1).partition(":")
    if name == "host":
        return "%d processors, %d GiB of memory, Linux %s" % (os.cpu_count(), memory_total(), platform.release())
    if name == "rounds":
        return str(max((len(v) for v in figures.values()), default=0))
    if "/" in name:
        a, b = (median(k) for k in name.split("/"))
        return "-" if a is None or not b else "%.2f" % (a / b)
    if form == "all":
        return ", ".join(figures.get(name, ["-"]))
    value = median(name)
    if value is None:
        return "-"
    return "%.1f" % (value / (1 << 20)) if form == "mib" else "%.3g" % value if value < 100 else "%.0f" % value


with open(sys.argv[2]) as f:
    print(re.sub(r"\{([a-z_0-9./:]+)\}", fill, f.read()), end="")
