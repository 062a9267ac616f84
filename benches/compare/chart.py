"""Charts as SVG files that can be read on a light and on a dark page."""

import html
import math

COLOURS = {
    "roundel": ("#c2410c", "#fb923c"),
    "limit": ("#64748b", "#94a3b8"),
    "mosquitto": ("#1d4ed8", "#60a5fa"),
    "rumqttd": ("#15803d", "#4ade80"),
}
OTHER = ("#7e22ce", "#c084fc")
LABELS = {"limit": "floor"}


def _style(names, shade, ink, line):
    """Colours of one shade, without variables: not every program that shows SVG knows them."""
    rules = [f"text {{ fill: {ink} }}", f".grid {{ stroke: {line} }}"]
    for name in names:
        colour = COLOURS.get(name, OTHER)[shade]
        rules.append(f".bar.{name}, .dot.{name} {{ fill: {colour} }} .curve.{name} {{ stroke: {colour} }}")
    return "\n".join(rules)


def _page(width, height, title, names, body):
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">
<title>{html.escape(title)}</title>
<style>
text {{ font: 13px system-ui, sans-serif }}
text.title {{ font-weight: 600; font-size: 15px }}
text.small {{ font-size: 11px }}
.curve {{ fill: none; stroke-width: 2.5 }}
{_style(names, 0, "#1f2937", "#d1d5db")}
@media (prefers-color-scheme: dark) {{
{_style(names, 1, "#e5e7eb", "#4b5563")}
}}
</style>
<text class="title" x="16" y="26">{html.escape(title)}</text>
{body}
</svg>
"""


def _legend(names, x, y):
    parts = []
    for name in names:
        parts.append(f'<rect class="bar {name}" x="{x}" y="{y - 10}" width="12" height="12" rx="2"/>')
        label = LABELS.get(name, name)
        parts.append(f'<text x="{x + 17}" y="{y}">{html.escape(label)}</text>')
        x += 32 + 8 * len(label)
    return "\n".join(parts)


def _decades(low, high):
    """Powers of ten around both ends."""
    return range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)


def bars(path, title, rows, names, show):
    """Horizontal bars on a logarithmic scale: for each row, one bar for each name that has a value."""
    names = [name for name in names if any(name in values for _, values in rows)]
    values = [value for _, row in rows for value in row.values() if value > 0]
    if not values:
        return False
    decades = _decades(min(values) * 0.9, max(values))
    left, plot, bar = 330, 470, 12
    first, last = decades[0], max(decades[-1], decades[0] + 1)

    def place(value):
        return left + plot * (math.log10(value) - first) / (last - first)

    body, y = [_legend(names, 16, 50)], 76
    top = y - 8
    for label, row in rows:
        shown = [name for name in names if row.get(name, 0) > 0]
        if not shown:
            continue
        middle = y + bar * len(shown) / 2 + 4
        body.append(f'<text x="{left - 10}" y="{middle:.0f}" text-anchor="end">{html.escape(label)}</text>')
        for name in shown:
            end = place(row[name])
            body.append(f'<rect class="bar {name}" x="{left}" y="{y}" width="{max(end - left, 1):.1f}" height="{bar - 2}"/>')
            body.append(f'<text class="small" x="{end + 5:.1f}" y="{y + 9}">{show(row[name])}</text>')
            y += bar
        y += 10
    for decade in range(first, last + 1):
        x = place(10.0**decade)
        body.insert(0, f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{y}"/>')
        body.append(f'<text class="small" x="{x:.1f}" y="{y + 15}" text-anchor="middle">{show(10.0**decade)}</text>')
    path.write_text(_page(left + plot + 80, y + 28, title, names, "\n".join(body)))
    return True


def lines(path, title, x_label, y_label, curves, show):
    """Curves through points, both axes logarithmic; an x of 0 stands left of the others."""
    curves = {name: points for name, points in curves.items() if points}
    if not curves:
        return False
    xs = sorted({x for points in curves.values() for x, _ in points})
    ys = [y for points in curves.values() for _, y in points]
    left, top, width, height = 70, 76, 640, 300
    decades = _decades(min(ys) * 0.9, max(ys))
    first, last = decades[0], max(decades[-1], decades[0] + 1)
    smallest = min((x for x in xs if x > 0), default=1)

    def log_x(x):
        return math.log10(x if x > 0 else smallest / 10)

    span = log_x(xs[-1]) - log_x(xs[0]) or 1

    def at(x, y):
        across = left + width * (log_x(x) - log_x(xs[0])) / span
        return across, top + height * (1 - (math.log10(y) - first) / (last - first))

    body = [_legend(curves, 16, 50)]
    for decade in range(first, last + 1):
        _, y = at(xs[0], 10.0**decade)
        body.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}"/>')
        body.append(f'<text class="small" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{show(10.0**decade)}</text>')
    for x in xs:
        across, _ = at(x, ys[0])
        body.append(f'<text class="small" x="{across:.1f}" y="{top + height + 18}" text-anchor="middle">{x:,}</text>')
    body.append(f'<text x="{left + width / 2}" y="{top + height + 40}" text-anchor="middle">{html.escape(x_label)}</text>')
    body.append(f'<text class="small" x="{left - 54}" y="{top - 12}">{html.escape(y_label)}</text>')
    for name, points in curves.items():
        places = [at(x, y) for x, y in sorted(points)]
        body.append(f'<polyline class="curve {name}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
        for (x, y), (_, value) in zip(places, sorted(points)):
            body.append(f'<circle class="dot {name}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{name}: {show(value)}</title></circle>')
    path.write_text(_page(left + width + 40, top + height + 56, title, curves, "\n".join(body)))
    return True
