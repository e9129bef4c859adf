#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a bad disk does to files, seeded; their times stay what they were.

  rot.py pick SEED COUNT PATH...   so many files of those below the paths, each once however many names it has
  rot.py flip SEED FILE...         one bit of each file; the same once more mends it
  rot.py damage SEED FILE          bits, a page of zeros, an end that is missing or too much; prints what
"""
import os
import random
import sys

PAGE = 4096


def files(paths):
    seen = set()
    for top in paths:
        names = [top] if os.path.isfile(top) else sorted(os.path.join(d, n) for d, _, ns in os.walk(top) for n in ns)
        for name in names:
            st = os.lstat(name)
            if os.path.isfile(name) and not os.path.islink(name) and st.st_size and st.st_ino not in seen:
                seen.add(st.st_ino)
                yield name


def flip_bits(f, size, r, bits):
    for _ in range(bits):
        at, bit = r.randrange(size), r.randrange(8)
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << bit]))
    return "%d bit(s) of %d bytes, the last at %d.%d" % (bits, size, at, bit)


def zero_page(f, size, r):
    at = r.randrange((size + PAGE - 1) // PAGE) * PAGE
    f.seek(at)
    f.write(bytes(min(PAGE, size - at)))
    return "zeros at %d of %d" % (at, size)


def cut(f, size, r):
    to = r.choice([0, r.randrange(size), r.randrange(size) // PAGE * PAGE])
    f.truncate(to)
    return "cut from %d to %d" % (size, to)


def extend(f, size, r):
    f.seek(0, 2)
    more = r.choice([1, 100, PAGE, 5 * PAGE])
    f.write(r.randbytes(more))
    return "%d bytes more than %d" % (more, size)


def kept_times(path, work):
    st = os.stat(path)
    with open(path, "r+b") as f:
        said = work(f, st.st_size)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))
    return said


def main():
    verb, seed, rest = sys.argv[1], sys.argv[2], sys.argv[3:]
    if verb == "pick":
        found = list(files(rest[1:]))
        print("\n".join(random.Random(seed).sample(found, min(int(rest[0]), len(found)))))
    elif verb == "flip":
        for path in rest:
            kept_times(path, lambda f, size: flip_bits(f, size, random.Random(seed + path), 1))
    elif verb == "damage":
        r = random.Random(seed)
        ways = [lambda f, size: flip_bits(f, size, r, 1)] * 4 + [lambda f, size: flip_bits(f, size, r, 64)]
        ways += [lambda f, size: zero_page(f, size, r), lambda f, size: cut(f, size, r), lambda f, size: extend(f, size, r)]
        print(kept_times(rest[0], r.choice(ways)))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
