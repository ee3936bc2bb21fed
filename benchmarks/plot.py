#!/usr/bin/env python3
"""Draws how cost grows: the rows `*.scaling.*` of a file that `run.sh ingest --json FILE` wrote.

Usage: plot.py FILE.json FILE.svg
"""

import json
import math
import sys

WIDTH, HEIGHT, MARGIN = 460, 340, 60


def points(rows, kind):
    found = [(float(row["name"].rsplit(".", 1)[1]), row["value"]) for row in rows
             if f".scaling.{kind}." in row["name"] and not row["name"].endswith("slope")]
    return sorted(found)


def chart(points_, left, title, across, up):
    """A double-logarithmic chart; a dashed line has slope 1 through the last point."""
    xs, ys = zip(*points_)
    low_x, high_x = math.log10(min(xs)), math.log10(max(xs))
    low_y, high_y = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def place(x, y):
        return (left + MARGIN + (math.log10(x) - low_x) / (high_x - low_x) * (WIDTH - 2 * MARGIN),
                HEIGHT - MARGIN - (math.log10(y) - low_y) / (high_y - low_y) * (HEIGHT - 2 * MARGIN))

    parts = [f'<text x="{left + WIDTH / 2}" y="24" text-anchor="middle" font-weight="bold">{title}</text>',
             f'<text x="{left + WIDTH / 2}" y="{HEIGHT - 14}" text-anchor="middle">{across}</text>',
             f'<text transform="translate({left + 16},{HEIGHT / 2}) rotate(-90)" text-anchor="middle">{up}</text>']
    for power in range(low_y, high_y + 1):
        x, y = place(min(xs), 10 ** power)
        parts.append(f'<line x1="{x}" y1="{y}" x2="{left + WIDTH - MARGIN}" y2="{y}" stroke="#ccc"/>')
        parts.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{10.0 ** power:g}</text>')
    for value in xs:
        x, _ = place(value, min(ys))
        parts.append(f'<text x="{x}" y="{HEIGHT - MARGIN + 18}" text-anchor="middle">{value:,.0f}</text>')
    ideal = [(x, ys[-1] * x / xs[-1]) for x in xs if ys[-1] * x / xs[-1] >= 10 ** low_y]
    for style, line in (('stroke="#888" stroke-dasharray="5 4"', ideal), ('stroke="#06c" stroke-width="2"', points_)):
        path = " ".join("%.1f,%.1f" % place(x, y) for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" {style}/>')
    for x, y in points_:
        cx, cy = place(x, y)
        parts.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="4" fill="#06c"><title>{x:,.0f}: {y:g}</title></circle>')
    return parts


def main(source, target):
    with open(source, encoding="utf-8") as file:
        rows = json.load(file)["rows"]
    parts = chart(points(rows, "clients"), 0, "one round, 25,000 parameters", "clients", "server CPU, ms")
    parts += chart(points(rows, "parameters"), WIDTH, "one update", "parameters", "server CPU, ms")
    with open(target, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" '
                   'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>')
        file.write("\n".join(parts) + "</svg>\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(*sys.argv[1:])
