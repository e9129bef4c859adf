# SPDX-License-Identifier: GPL-2.0-or-later
"""Two kinds of pictures as SVG text, without a library: lines over log-log axes, and bars."""
import math
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 80, 170, 40, 50
COLOURS = ["#0b6e4f", "#c1121f", "#1d4e89", "#e09f3e", "#7b2cbf", "#588157", "#6c757d", "#d62ad0", "#00a6a6", "#8b5e34", "#222222", "#9aa600"]


def head(width, height, title):
    return ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">' % (width, height),
            '<rect width="%d" height="%d" fill="white"/>' % (width, height),
            '<text x="%d" y="22" font-size="15">%s</text>' % (LEFT - 60, escape(title))]


def colour(system, systems):
    return COLOURS[systems.index(system) % len(COLOURS)]


def decades(low, high):
    """Whole powers of ten around low .. high, as exponents."""
    return math.floor(math.log10(low)), max(math.ceil(math.log10(high)), math.floor(math.log10(low)) + 1)


def tick(exponent):
    return "%g" % 10 ** exponent if -4 < exponent < 7 else "1e%d" % exponent


def lines(title, x_name, y_name, series, systems):
    """series: {system: [(x, y), ...]}, all above zero.  The text of a picture with both axes logarithmic."""
    points = [p for line in series.values() for p in line]
    x0, x1 = decades(min(x for x, _ in points), max(x for x, _ in points))
    y0, y1 = decades(min(y for _, y in points), max(y for _, y in points))
    across, up = (WIDTH - LEFT - RIGHT) / (x1 - x0), (HEIGHT - TOP - BOTTOM) / (y1 - y0)

    def place(x, y):
        return LEFT + (math.log10(x) - x0) * across, HEIGHT - BOTTOM - (math.log10(y) - y0) * up

    out = head(WIDTH, HEIGHT, title)
    for e in range(x0, x1 + 1):
        x, _ = place(10 ** e, 10 ** y0)
        out.append('<path d="M%.1f %d V%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>' %
                   (x, TOP, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 16, tick(e)))
    for e in range(y0, y1 + 1):
        _, y = place(10 ** x0, 10 ** e)
        out.append('<path d="M%d %.1f H%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>' %
                   (LEFT, y, WIDTH - RIGHT, LEFT - 6, y + 4, tick(e)))
    out.append('<text x="%d" y="%d" text-anchor="middle">%s</text>' % ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, escape(x_name)))
    out.append('<text x="16" y="%d" transform="rotate(-90 16 %d)" text-anchor="middle">%s</text>' % (HEIGHT / 2, HEIGHT / 2, escape(y_name)))
    for i, (system, line) in enumerate(sorted(series.items())):
        places = [place(x, y) for x, y in line]
        out.append('<polyline fill="none" stroke-width="2" stroke="%s" points="%s"/>' %
                   (colour(system, systems), " ".join("%.1f,%.1f" % p for p in places)))
        out += ['<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>' % (p + (colour(system, systems),)) for p in places]
        out.append('<text x="%d" y="%d" fill="%s">%s</text>' % (WIDTH - RIGHT + 12, TOP + 14 + 18 * i, colour(system, systems), escape(system)))
    return "\n".join(out + ["</svg>", ""])


def bars(title, unit, values, systems):
    """values: {system: y}.  The text of a picture, shortest bar first."""
    height = TOP + 24 * len(values) + 20
    most = max(values.values()) or 1
    out = head(WIDTH, height, title)
    for i, (system, value) in enumerate(sorted(values.items(), key=lambda pair: pair[1])):
        y, width = TOP + 24 * i, max(1, (WIDTH - 230) * value / most)
        out.append('<text x="116" y="%d" text-anchor="end">%s</text><rect x="124" y="%d" width="%.1f" height="16" fill="%s"/>'
                   '<text x="%.1f" y="%d">%.3g %s</text>' %
                   (y + 13, escape(system), y, width, colour(system, systems), 130 + width, y + 13, value, escape(unit)))
    return "\n".join(out + ["</svg>", ""])
