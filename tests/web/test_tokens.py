"""The colours of the stylesheet: every text colour on every ground it stands on has a contrast of at least 4.5."""

import math
import re
from pathlib import Path

import pytest

TOKENS = Path(__file__).parents[2] / "service" / "web" / "assets" / "styles" / "tokens.css"
OKLCH = r"oklch\(([\d.]+) ([\d.]+) ([\d.]+)\)"
PLAIN = re.compile(rf"--([\w-]+): (?:light-dark\({OKLCH}, {OKLCH}\)|{OKLCH});")

TEXT = ("text", "text-soft", "text-faint", "accent", "good", "warning", "bad")
GROUNDS = ("ground", "sunken", "surface", "raised")
PAIRS = [
    *((text, ground) for text in TEXT for ground in GROUNDS),
    *((text, "hover") for text in ("text", "text-soft")),
    *((name, f"{name}-soft") for name in ("accent", "good", "warning", "bad")),
    ("on-accent", "accent-fill"),
    ("on-accent", "accent-fill-hover"),
]


def colours() -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Name → (light, dark), each (lightness, chroma, hue)."""
    found = {}
    for match in PLAIN.finditer(TOKENS.read_text()):
        values = [float(part) for part in match.groups()[1:] if part is not None]
        found[match[1]] = (tuple(values[:3]), tuple(values[-3:]))
    return found


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance of an oklch colour (Ottosson 2020, then WCAG 2)."""
    lightness, chroma, hue = colour
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    clipped = [min(max(part, 0.0), 1.0) for part in (red, green, blue)]
    return 0.2126 * clipped[0] + 0.7152 * clipped[1] + 0.0722 * clipped[2]


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_21() -> None:
    assert contrast((0, 0, 0), (1, 0, 0)) == pytest.approx(21, abs=0.01)


@pytest.mark.parametrize(("text", "ground"), PAIRS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(text: str, ground: str, theme: str) -> None:
    known, side = colours(), ("light", "dark").index(theme)
    assert contrast(known[text][side], known[ground][side]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_edge_of_a_field_can_be_seen(theme: str) -> None:
    known, side = colours(), ("light", "dark").index(theme)
    assert contrast(known["field-line"][side], known["surface"][side]) >= 3
