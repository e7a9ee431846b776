"""A small curve as SVG: attributes alone, no style, so that it may stand in a page under a strict policy."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

#: The picture's own units; a page makes it as wide as it likes.
WIDTH, HEIGHT = 240.0, 40.0
#: Room above the highest point, so that a line of some width is not cut.
MARGIN = 3.0


def sparkline(
    values: Sequence[float | None],
    labels: Sequence[str],
    title: str,
    *,
    marks: Sequence[tuple[int, str]] = (),
    kind: str = "",
) -> str:
    """
    Returns a curve. `None` is a gap; `labels` say each point in words, to whoever points at it.

    `marks` are vertical lines at points, each with what it means. `kind` is part of the classes, for its colour.
    """
    top = max((value for value in values if value is not None), default=0.0)
    slot = WIDTH / max(len(values), 1)
    x = [slot * (index + 0.5) for index in range(len(values))]
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gm-spark {kind}" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" '
        f'preserveAspectRatio="none" role="img" aria-label={quoteattr(title)}>',
        f"<title>{escape(title)}</title>",
    ]
    for index, words in marks:
        line = f'x1="{x[index]:.1f}" y1="0" x2="{x[index]:.1f}" y2="{HEIGHT:.0f}"'
        body.append(f'<line class="gm-mark" {line}><title>{escape(words)}</title></line>')
    for run in runs(values):
        points = [(x[index], height(values[index], top)) for index in run]
        first, last = points[0][0] - slot / 2, points[-1][0] + slot / 2
        line = " ".join(f"{left:.1f},{down:.1f}" for left, down in points)
        if len(points) == 1:
            line = f"{first:.1f},{points[0][1]:.1f} {last:.1f},{points[0][1]:.1f}"
        area = f"{points[0][0]:.1f},{HEIGHT:.0f} {line} {points[-1][0]:.1f},{HEIGHT:.0f}"
        body.append(f'<polygon class="gm-area" points="{area}"/>')
        body.append(f'<polyline class="gm-curve" fill="none" vector-effect="non-scaling-stroke" points="{line}"/>')
    slots = f'y="0" width="{slot:.2f}" height="{HEIGHT:.0f}" fill="none" pointer-events="all"'
    body += [
        f'<rect class="gm-slot" x="{slot * index:.1f}" {slots}><title>{escape(words)}</title></rect>'
        for index, words in enumerate(labels)
    ]
    return "".join([*body, "</svg>"])


def runs(values: Sequence[float | None]) -> list[list[int]]:
    """Returns the stretches without a gap, as the numbers of their points."""
    found: list[list[int]] = []
    for index, value in enumerate(values):
        if value is None:
            continue
        if found and found[-1][-1] == index - 1:
            found[-1].append(index)
        else:
            found.append([index])
    return found


def height(value: float | None, top: float) -> float:
    """Returns how far down a point lies; a curve of zeros lies at the bottom."""
    share = (value or 0.0) / top if top else 0.0
    return HEIGHT - 1 - share * (HEIGHT - 1 - MARGIN)
