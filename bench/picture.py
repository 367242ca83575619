"""CPU against samples/s as an SVG that needs nothing else: a line for the agent, one for the bare reader."""

from collections.abc import Mapping, Sequence
from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 150, 20, 50
_SERIES: Final = (
    ("agent_cpu_percent", "agent", "#0b6e4f"),
    ("bare_cpu_percent", "bare reader", "#8a8a8a"),
    ("centre_cpu_percent", "centre", "#2b59c3"),
)


def draw(points: Sequence[Mapping[str, float]]) -> str:
    """points: each with `samples_per_second` and the series' values in per cent of a core."""
    most_x = max(point["samples_per_second"] for point in points)
    most_y = _round_up(max(point[key] for point in points for key, _, _ in _SERIES))

    def place(x: float, y: float) -> tuple[float, float]:
        inner_x, inner_y = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
        return round(_LEFT + inner_x * x / most_x, 1), round(HEIGHT - _BOTTOM - inner_y * y / most_y, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="CPU against samples per second">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]
    for step in range(5):
        x, y = most_x * step / 4, most_y * step / 4
        (at_x, bottom), (left, at_y) = place(x, 0), place(0, y)
        parts.append(f'<line x1="{left}" y1="{at_y}" x2="{WIDTH - _RIGHT}" y2="{at_y}" stroke="#dddddd"/>')
        parts.append(f'<text x="{left - 8}" y="{at_y + 4}" text-anchor="end">{y:g}</text>')
        parts.append(f'<text x="{at_x}" y="{bottom + 18}" text-anchor="middle">{x:,.0f}</text>')
    for key, name, colour in _SERIES:
        places = [place(point["samples_per_second"], point[key]) for point in points]
        path = " ".join(f"{x},{y}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places]
        end_x, end_y = places[-1]
        parts.append(f'<text x="{end_x + 8}" y="{end_y + 4}" fill="{colour}">{name}</text>')
    parts.append(f'<text x="{_LEFT}" y="{HEIGHT - 12}">samples a second</text>')
    parts.append(f'<text x="12" y="{_TOP - 6}">% of a core</text>')
    return "\n".join([*parts, "</svg>", ""])


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 8, 20, 40 … that 4 steps divide evenly enough to read."""
    scale = 1.0
    while True:
        for digit in (1, 2, 4, 8):
            if value <= digit * scale:
                return digit * scale
        scale *= 10
