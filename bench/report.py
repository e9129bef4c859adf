#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Results into words, tables and pictures: report.py RESULTS TEMPLATE REPORT

In TEMPLATE {host}, {systems}, {goals}, {tables}, {losses}, {slopes} and {pictures} are replaced; the pictures lie in plots/ beside
REPORT.  Slopes and losses are printed as well."""
import os
import re
import sys

from figures import Figures, number, quantity, slope, spread
from plot import bars, lines

US = "tidemark"
# What is pictured as bars: scenario, metric, x.
BARS = [("first", "first", None), ("small", "small", None), ("office", "nothing", None), ("office", "churn", 1), ("office", "wire", 1),
        ("pages", "pages", None), ("pages", "pages_wire", None), ("office", "restore", None), ("sets", "disk_all", None)]
X_NAMES = {"office": "percent changed", "latency": "new blobs a second", "sets": "sets", "seal": "blobs", "series": "files"}
STEEP = 1.25	# an exponent above this is more than noise around "in proportion"


class Report:
    def __init__(self, figures, folder):
        self.f, self.folder = figures, folder
        self.systems = sorted(figures.systems, key=lambda s: (s != US, s))
        self.home = figures.hosts[-1]["filesystem"] if figures.hosts else "ext4"

    def value(self, scenario, system, metric, x=None, fs=None):
        return self.f.median(scenario, system, metric, fs or self.home, x)

    def ratio(self, scenario, metric, other, x=None, fs=None, ours=None):
        a, b = self.value(scenario, other, metric, x, fs), self.value(scenario, US, ours or metric, x, fs)
        return a / b if a is not None and b else None

    # ---- the goals ----

    def goals(self):
        def at_least(what, goal, got):
            return what, ">= %g x" % goal, "-" if got is None else "%.2f x" % got, None if got is None else got >= goal

        def at_most(what, goal, got, unit):
            return what, "<= " + quantity(goal, unit), quantity(got, unit), None if got is None else got <= goal

        def sealed(fs):
            return [at_least("Standard backup after 1 %% on %s, start to sealed, beside nightly" % fs, goal, self.ratio("office", "churn", "nightly", 1, fs, ours))
                    for fs, goal, ours in ((fs, 3 if fs != "xfs" else 4, "sealed"),)] + \
                [at_least("the same with the day's flow counted in", 3 if fs != "xfs" else 4, self.ratio("office", "churn", "nightly", 1, fs))]

        def best(pairs):
            known = [r for r in pairs if r is not None]
            return min(known) if known else None

        rates = sorted(k[4] for k in self.f.rounds if k[:3] == ("latency", US, "close_p50"))
        rate = min((r for r in rates if r >= 300), default=rates[-1] if rates else None)
        common = [r for r in rates if self.value("latency", "lsyncd-0", "close_p50", r)]
        million = max((k[4] for k in self.f.rounds if k[0] == "seal" and k[4] and k[4] <= 1e6), default=None)
        files = sorted(k[4] for k in self.f.rounds if k[:3] == ("series", US, "grow_memory"))
        scanned = max((n for n in files if n <= 1e6), default=None)
        left = sum(sum(v) for k, v in self.f.rounds.items() if k[:3] == ("burst", US, "left_behind"))
        burst = any(k[:2] == ("burst", US) for k in self.f.rounds)
        rows = [
            at_least("durable 4 KiB files, beside rsync --fsync", 5, self.ratio("small", "small", "rsync-fsync")),
            at_least("durable 4 KiB files, beside rsync -a", 1, self.ratio("small", "small", "rsync")),
            at_least("durable 4 KiB files, beside tar \\| tar", 0.9, self.ratio("small", "small", "tar")),
            at_least("first sync, mixed, all of the replica durable, beside rsync -a to a daemon", 1.5, self.ratio("first", "first", "rsync", ours="first_replica")),
            at_least("the same to the first sealed set", 1.5, self.ratio("first", "first", "rsync")),
            at_least("first sync, mixed, beside restic and borg (the faster one)", 3,
                     best(self.ratio("first", "first", s) for s in ("restic", "borg"))),
            *sealed(self.home), *(sealed("xfs") if self.home != "xfs" else []),
            at_least("dirty pages of a large database, found, sent and durable, beside rsync", 7, self.ratio("pages", "pages", "rsync", ours="pages_sent")),
            at_least("the same with check and seal, to the sealed set", 7, self.ratio("pages", "pages", "rsync")),
            at_most("wire bytes per changed byte, dirty pages", 1.03, self.value("pages", US, "pages_wire"), "B/B"),
            at_most("close() to durable at %s a second, p50" % number(rate), 5, self.value("latency", US, "close_p50", rate), "ms"),
            at_most("close() to durable at %s a second, p99" % number(rate), 25, self.value("latency", US, "close_p99", rate), "ms"),
            at_least("close() to durable, p50, beside lsyncd with delay 0 (worst rate both have)", 20,
                     best(self.ratio("latency", "close_p50", "lsyncd-0", r) for r in common)),
            at_most("burst and expiry: blobs lost or left over", 0, left if burst else None, "count"),
            at_least("burst: equal after its end no later than rsync -a", 1, self.ratio("burst", "burst_after", "rsync")),
            at_most("seal, %s blobs, 1 %% changed, beside the databases' copy" % number(million), 3, self.value("seal", US, "seal_beside_1", million), "s"),
            at_most("reconcile %s unchanged files, warm, all older than ten minutes" % number(scanned), 2, self.value("series", US, "grow_nothing_old", scanned), "s"),
            at_most("the same, all younger", 2, self.value("series", US, "grow_nothing", scanned), "s"),
            *(at_most("private memory, collector and watcher, %s files" % number(n), 64 << 20, self.value("series", US, "grow_memory", n), "B")
              for n in sorted({files[0], files[-1]} if files else ())),
            at_most("idle, both sides", 0.001, self.value("idle", US, "idle"), "core"),
        ]
        return "\n".join(["| what | wanted | measured | |", "|---|---|---|---|"] +
                         ["| %s | %s | %s | %s |" % (what, want, got, {None: "not measured", True: "kept", False: "**missed**"}[kept])
                          for what, want, got, kept in rows])

    # ---- tables ----

    def tables(self):
        out = []
        for scenario in dict.fromkeys(k[0] for k in self.f.rounds):
            for fs in dict.fromkeys(k[3] for k in self.f.rounds if k[0] == scenario):
                out += ["### %s on %s" % (scenario, fs), "", self.table(scenario, fs), ""]
            lost = [o for o in self.f.lost if o["scenario"] == scenario]
            out += ["%s was lost here: %s." % (o["system"], o["what"]) for o in lost] + ([""] if lost else [])
        return "\n".join(out).rstrip()

    def table(self, scenario, fs):
        keys = [k for k in self.f.rounds if k[0] == scenario and k[3] == fs]
        columns = list(dict.fromkeys((k[2], k[4]) for k in keys))
        columns.sort(key=lambda c: ([k[2] for k in keys].index(c[0]), c[1] or 0))
        systems = [s for s in self.systems if any(k[1] == s for k in keys)]
        if len(systems) == 1:	# nobody to compare with: a line a figure
            return "\n".join(["| | %s | rounds |" % systems[0], "|---|---|---|"] +
                             ["| %s | %s | %s |" % (self.column(*c), self.cell(scenario, systems[0], c, fs), ", ".join(map(number, self.f.rounds[(scenario, systems[0], c[0], fs, c[1])])))
                              for c in columns])
        return "\n".join(["| | " + " | ".join(systems) + " |", "|---" * (len(systems) + 1) + "|"] +
                         ["| %s | %s |" % (self.column(*c), " | ".join(self.cell(scenario, s, c, fs) for s in systems)) for c in columns])

    @staticmethod
    def column(metric, x):
        return metric if x is None else "%s at %g" % (metric, x)

    def cell(self, scenario, system, column, fs):
        metric, x = column
        rounds = self.f.rounds.get((scenario, system, metric, fs, x))
        if not rounds:
            return "-"
        text = quantity(self.value(scenario, system, metric, x, fs), self.f.units[metric])
        if len(rounds) > 1 and self.value(scenario, system, metric, x, fs):
            text += " ±%.0f %%" % (100 * spread(rounds) / self.value(scenario, system, metric, x, fs))
        ratio = self.ratio(scenario, metric, system, x, fs) if system != US else None
        return text + (" (%.2f x)" % ratio if ratio is not None else "")

    # ---- where others are better, how cost grows ----

    def losses(self):
        found = []
        for scenario, system, metric, fs, x in self.f.rounds:
            ratio = self.ratio(scenario, metric, system, x, fs) if system != US else None
            if ratio is not None and ratio < 1:
                found.append((ratio, "- %s, %s (%s): %s %s, tidemark %s: %s." % (
                    scenario, self.column(metric, x), fs, system, quantity(self.value(scenario, system, metric, x, fs), self.f.units[metric]),
                    quantity(self.value(scenario, US, metric, x, fs), self.f.units[metric]),
                    "%.1f times as much" % (1 / ratio) if ratio > 0 else "the other has none")))
        return "\n".join(text for _, text in sorted(found)) or "None was measured."

    def slopes(self):
        rows = []
        for (scenario, system, metric, fs), points in self.f.series().items():
            exponent = slope(points)
            if exponent is None:
                continue
            rows.append("| %s, %s (%s) | %s | %s | %.2f | %s |" % (
                scenario, metric, fs, system, ", ".join("%g: %s" % (x, quantity(y, self.f.units[metric])) for x, y in points), exponent,
                "**more than in proportion**" if exponent > STEEP else "" if exponent > 0.75 else "less than in proportion"))
        return "\n".join(["| what | system | medians | exponent | |", "|---|---|---|---|---|"] + rows)

    def pictures(self):
        plots, out = os.path.join(self.folder, "plots"), []
        os.makedirs(plots, exist_ok=True)
        for old in os.listdir(plots):
            os.unlink(os.path.join(plots, old))

        def put(name, title, text):
            with open(os.path.join(plots, name + ".svg"), "w") as f:
                f.write(text)
            out.append("![%s](plots/%s.svg)" % (title, name))

        for scenario, metric, x in BARS:
            keys = [k for k in self.f.rounds if k[0] == scenario and k[2] == metric and (x is None or k[4] == x)]
            for fs in dict.fromkeys(k[3] for k in keys):
                values = {k[1]: self.f.median(*k) for k in keys if k[3] == fs}
                if len(values) > 1:
                    title = "%s: %s on %s" % (scenario, self.column(metric, x), fs)
                    put("%s-%s-%s" % (scenario, metric, fs), title, bars(title, self.f.units[metric], values, self.systems))
        for name in dict.fromkeys((k[0], k[2], k[3]) for k in self.f.series()):
            series = {k[1]: [p for p in points if p[1] > 0] for k, points in self.f.series().items() if (k[0], k[2], k[3]) == name}
            series = {system: points for system, points in series.items() if len(points) > 1}
            if series:
                title = "%s: %s on %s" % name
                put("%s-%s-%s-growth" % name, title, lines(title, X_NAMES.get(name[0], "x"), self.f.units[name[1]], series, self.systems))
        return "\n".join(out)

    # ---- who and where ----

    def host(self):
        h = self.f.hosts[-1]
        return "%d processors, %d GiB of memory, Linux %s, %s, network %s, scale \"%s\", %d rounds, commit %s" % (
            h["processors"], h["memory_gib"], h["kernel"], h["filesystem"], "of its own (loopback)" if h["network"] == "own" else "shared (loopback; wire bytes are not exact)",
            h["scale"], h["rounds"], h["commit"] or "unknown")

    def systems_table(self):
        rows = ["| system | version | when it says done |", "|---|---|---|"]
        for name in self.systems:
            s = self.f.systems[name]
            rows.append("| %s | %s | %s |" % (name, s["version"], s["durability"]) if s["available"] else "| %s | not installed: skipped | |" % name)
        return "\n".join(rows)


def main():
    results, template, target = sys.argv[1:]
    report = Report(Figures(results), os.path.dirname(os.path.abspath(target)))
    parts = {"host": report.host, "systems": report.systems_table, "goals": report.goals, "tables": report.tables, "losses": report.losses,
             "slopes": report.slopes, "pictures": report.pictures}
    with open(template) as f:
        text = re.sub(r"\{(%s)\}" % "|".join(parts), lambda m: parts[m.group(1)](), f.read())
    with open(target, "w") as f:
        f.write(text)
    print(report.goals(), "\n\nHow cost grows:\n", report.slopes(), "\n\nWhere others are better:\n", report.losses(), sep="")


if __name__ == "__main__":
    main()
