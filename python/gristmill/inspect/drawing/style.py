"""Colours and fonts of the picture, by day and by night; nothing is loaded from anywhere."""

from __future__ import annotations

#: Of each state, on a light and on a dark ground.
STATES = {
    "running": ("#1f6feb", "#5aa5ff"),
    "successful": ("#1a7f4b", "#41b87c"),
    "failed": ("#c4262e", "#f47067"),
    "poisoned": ("#8a1c80", "#e07bd0"),
    "cancelled": ("#6b7280", "#a3abb6"),
    "stranded": ("#c2480c", "#fb8f4d"),
    "held": ("#6d3fd0", "#b395f5"),
    "waiting": ("#96690b", "#e0b040"),
    "scheduled": ("#4a6a8a", "#8fb2d4"),
    "ready": ("#0b7285", "#35bfd2"),
    "forgotten": ("#8b929c", "#757d88"),
}
#: What is drawn with which colour, on a light and on a dark ground.
GROUND = {
    ".ground{fill:%s}": ("#fafbfc", "#14171c"),
    ".card{fill:%s}": ("#ffffff", "#1d2127"),
    ".card,.fold{stroke:%s}": ("#d6dbe1", "#3a414b"),
    ".fold{fill:%s}": ("#f1f3f6", "#191d22"),
    ".title,.name{fill:%s}": ("#1b1f24", "#eceff3"),
    ".quiet{fill:%s}": ("#667080", "#97a1ae"),
    ".edge{stroke:%s}": ("#8e98a5", "#6c7683"),
    ".tip{fill:%s}": ("#8e98a5", "#6c7683"),
    ".edge.bad{stroke:%s}": ("#c4262e", "#f47067"),
    ".tip.bad{fill:%s}": ("#c4262e", "#f47067"),
    ".edge.critical{stroke:%s}": ("#e08600", "#ffb224"),
    ".tip.critical{fill:%s}": ("#e08600", "#ffb224"),
    ".card.root{stroke:%s}": ("#1b1f24", "#eceff3"),
}
FIXED = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif;font-size:11px}"
    ".title{font-size:17px;font-weight:650}.name{font-size:13px;font-weight:600}"
    ".mono{font-family:ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:10px}"
    ".card{stroke-width:1}.fold{stroke-width:1;stroke-dasharray:4 3}"
    ".root{stroke-width:2.5}"
    ".edge{fill:none;stroke-width:1.4}.edge.open{stroke-dasharray:5 4}.edge.critical{stroke-width:4}"
    ".edge.critical.open{stroke-dasharray:9 5}"
)


def sheet() -> str:
    """Returns the style sheet: by day, and what is otherwise by night."""
    themes = []
    for night in (0, 1):
        rules = [rule % colours[night] for rule, colours in GROUND.items()]
        rules += [f".{state}{{fill:{colours[night]}}}" for state, colours in STATES.items()]
        themes.append("".join(rules))
    return f"{FIXED}{themes[0]}@media (prefers-color-scheme:dark){{{themes[1]}}}"
