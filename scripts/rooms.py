"""The rooms of the package, from the import contracts in pyproject.toml: CONTRIBUTING's table and docs/rooms.svg.

python scripts/rooms.py          # writes both
python scripts/rooms.py --check  # exit status 1 where one is out of date
"""

from __future__ import annotations

import ast
import sys
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE, PICTURE = ROOT / "CONTRIBUTING.md", ROOT / "docs" / "rooms.svg"
BEGIN, END = "<!-- rooms: written by scripts/rooms.py -->\n", "<!-- end of rooms -->"
#: Size of a box, and the room between boxes, in pixels.
WIDTH, HEIGHT, ACROSS, DOWN, EDGE = 104, 30, 16, 34, 12


def arrows() -> dict[str, set[str]]:
    """Room → the rooms it may import besides core, those of those included, as the contracts allow them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    importers = {
        place.removeprefix("w2s_pref."): {name.removeprefix("w2s_pref.") for name in contract["allowed_importers"]}
        for contract in contracts
        if contract["type"] == "protected"
        for place in contract["protected_modules"]
    }
    rooms = sorted({path.parent.name for path in (ROOT / "w2s_pref").glob("*/__init__.py")} - {"core"})
    return {room: {other for other, who in importers.items() if room in who} for room in rooms}


def direct(room: str, may: dict[str, set[str]]) -> list[str]:
    """What a room may import that does not follow from another room it may import."""
    return sorted(other for other in may[room] if not any(other in may[between] for between in may[room]))


def floors(may: dict[str, set[str]]) -> list[list[str]]:
    """Rooms by the longest way down to a room that imports none; the lowest floor first."""

    def depth(room: str) -> int:
        return 1 + max((depth(other) for other in may[room]), default=-1)

    deepest = max(depth(room) for room in may)
    return [sorted(room for room in may if depth(room) == level) for level in range(deepest + 1)]


def holds(room: str) -> str:
    """What a room holds: the first line of its docstring."""
    text = (ROOT / "w2s_pref" / room / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def table(may: dict[str, set[str]]) -> str:
    """The rooms as Markdown, from the command line down."""
    lines = ["| room | holds | may import, besides core and what these may import |", "|---|---|---|"]
    for floor in reversed(floors(may)):
        for room in floor:
            lines.append(f"| `{room}/` | {holds(room)} | {', '.join(direct(room, may)) or 'nothing'} |")
    return "\n".join([*lines, f"| `core/` | {holds('core')} | nothing |"]) + "\n"


def picture(may: dict[str, set[str]]) -> str:
    """The rooms as an SVG: an arrow points to what a room may import; everybody may import core."""
    levels = floors(may)
    widest = max(len(floor) for floor in levels)
    wide = widest * (WIDTH + ACROSS) - ACROSS + 2 * EDGE
    place = {}
    for level, floor in enumerate(reversed(levels)):
        left = (wide - len(floor) * (WIDTH + ACROSS) + ACROSS) / 2
        for number, room in enumerate(floor):
            place[room] = (left + number * (WIDTH + ACROSS), EDGE + level * (HEIGHT + DOWN))
    tall = EDGE + len(levels) * (HEIGHT + DOWN) + HEIGHT + EDGE
    lines = []
    for room in may:
        for other in direct(room, may):
            x1, x2 = place[room][0] + WIDTH / 2, place[other][0] + WIDTH / 2
            top, bottom, bend = place[room][1] + HEIGHT, place[other][1] - 3, DOWN * 0.8
            curve = f"M{x1:g} {top:g} C{x1:g} {top + bend:g} {x2:g} {bottom - bend:g} {x2:g} {bottom:g}"
            lines.append(f'<path class="arrow" d="{curve}"/>')
    for room, (x, y) in place.items():
        lines.append(_box(room, x, y, WIDTH, holds(room)))
    lines.append(_box("core", EDGE, tall - HEIGHT - EDGE, wide - 2 * EDGE, holds("core")))
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" role="img">\n{_HEAD}' + (
        "\n".join(lines) + "\n</svg>\n"
    )


_HEAD = """<title>The rooms of w2s_pref: arrows point to what a room may import; all may import core</title>
<style>
text { font: 13px system-ui, sans-serif; text-anchor: middle; fill: #1f2328 }
rect { fill: #f6f8fa; stroke: #59636e } .arrow { fill: none; stroke: #59636e; opacity: .55; marker-end: url(#tip) }
#tip path { fill: #59636e }
@media (prefers-color-scheme: dark) { text { fill: #f0f6fc } rect { fill: #212830; stroke: #9198a1 }
.arrow { stroke: #9198a1 } #tip path { fill: #9198a1 } }
</style>
<defs><marker id="tip" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" markerHeight="6" orient="auto">
<path d="M0 0 L6 3 L0 6z"/></marker></defs>
"""


def _box(room: str, x: float, y: float, width: float, about: str) -> str:
    middle = f'<text x="{x + width / 2:g}" y="{y + HEIGHT / 2 + 4.5:g}">{room}</text>'
    box = f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{HEIGHT}" rx="4"/>'
    return f"<g><title>{escape(about)}</title>{box}{middle}</g>"


def page(may: dict[str, set[str]]) -> str:
    """CONTRIBUTING with the table of today in its place."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return before + BEGIN + table(may) + END + rest.partition(END)[2]


def main(words: list[str]) -> int:
    """Write both, or check them."""
    may, status = arrows(), 0
    for path, text in ((PAGE, page(may)), (PICTURE, picture(may))):
        if "--check" not in words:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            print(f"{path.name} is out of date; run python scripts/rooms.py")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
