#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Fields of JSON lines.

  jsonq.py FIELD                  of the last object on standard input: profiles.0.state, sets.-1.name, jobs.#
  jsonq.py --all FIELD            of every object, one line each
  jsonq.py --until SECONDS EXPR   reads objects until the Python expression holds of one (`o`, `p` = its first profile, `j` = the
                                  job of p); prints that object.  1 when the stream or the time ends before.
  jsonq.py --when EXPR FIFO       reads to the end; when the expression first holds of one, writes a line into the FIFO, at once
  jsonq.py --max FIELD            the greatest number of all objects
"""
import json
import os
import select
import sys
import time


def field(value, path):
    for key in path.split("."):
        if value is None:
            return None
        if key == "#":
            value = len(value)
        elif isinstance(value, list):
            index = int(key)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            value = value.get(key)
    return value


def text(value):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def until(seconds, expression):
    code = compile(expression, "expression", "eval")
    end = time.monotonic() + seconds
    data = b""
    last = None
    while time.monotonic() < end:
        ready, _, _ = select.select([0], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            break
        piece = os.read(0, 65536)
        if not piece:
            print("the stream ended", file=sys.stderr)
            break
        *lines, data = (data + piece).split(b"\n")
        for line in lines:
            if not line.strip():
                continue
            o = json.loads(line)
            last = line
            p = (o.get("profiles") or [o])[0]
            j = p.get("job") or {}
            if eval(code, {"o": o, "p": p, "j": j}):
                print(line.decode())
                return 0
    if last:
        print("last seen: " + last.decode(), file=sys.stderr)
    return 1


def when(expression, fifo):
    code = compile(expression, "expression", "eval")
    told = False
    for line in sys.stdin:
        o = json.loads(line)
        if not told and eval(code, {"o": o}):
            with open(fifo, "w") as f:
                f.write(line)
            told = True
    return 0 if told else 1


def main():
    if sys.argv[1] == "--when":
        return when(sys.argv[2], sys.argv[3])
    if sys.argv[1] == "--until":
        return until(float(sys.argv[2]), sys.argv[3])
    lines = [json.loads(line) for line in sys.stdin if line.strip()]
    if sys.argv[1] == "--all":
        for o in lines:
            print(text(field(o, sys.argv[2])))
    elif sys.argv[1] == "--max":
        print(max(field(o, sys.argv[2]) or 0 for o in lines))
    elif not lines:
        return 1
    else:
        print(text(field(lines[-1], sys.argv[1])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
