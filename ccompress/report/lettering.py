"""Names in figures, which are users' own text: fonts with their letters, and no formulas."""

import io
import sys
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

_LONGEST = 60  # characters of a name in a figure


def one_line(name: str, longest: int = _LONGEST) -> str:
    """A name on one line, cut if it is too long for a figure."""
    letters = (letter for letter in name if letter.isprintable() or letter.isspace())
    line = " ".join("".join(letters).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def save(figure: Figure, **kinds: dict[str, Any]) -> tuple[dict[str, bytes], str]:
    """Draw a figure as files of several kinds, for example `svg={"metadata": {}}, png={}`.

    Text is drawn literally: "$5 and $10" is a name, not a formula. For letters that the usual font
    lacks, other fonts of this machine are used.

    Args:
        figure: The figure, not drawn yet.
        kinds: File ending -> options for `savefig`.

    Returns:
        File ending -> contents, and the letters that no font has and that are drawn as boxes.
    """
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
    for text in texts:
        text.set_parse_math(False)
    missing = _choose_fonts(texts)
    files = {}
    with warnings.catch_warnings():
        # matplotlib would warn once per letter. `tell_missing` prints one line for all.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        for kind, options in kinds.items():
            data = io.BytesIO()
            figure.savefig(data, format=kind, **options)
            files[kind] = data.getvalue()
    return files, missing


def tell_missing(letters: Iterable[str]) -> None:
    """Print once, on standard error, which letters of figures are drawn as boxes."""
    if missing := "".join(sorted(set("".join(letters)))):
        shown = missing if len(missing) <= 20 else missing[:20] + "…"
        letters = "1 letter" if len(missing) == 1 else f"{len(missing)} letters"
        print(
            f"figures show boxes for {letters} that no font of this machine has ({shown}): install "
            f"a font that has them, such as Noto Sans CJK",
            file=sys.stderr,
        )


def _choose_fonts(texts: Sequence[Text]) -> str:
    """Give the texts fonts that have their letters, and return the letters that no font has."""
    usual = FT2Font(findfont(FontProperties()))
    missing = {letter for text in texts for letter in text.get_text() if letter.isprintable()}
    missing -= _letters(usual)
    if not missing:
        return ""
    families, missing = _fallbacks(missing)
    for text in texts:
        text.set_fontfamily([usual.family_name, *families])
    return "".join(sorted(missing))


def _fallbacks(missing: set[str]) -> tuple[list[str], set[str]]:
    """A few font families that have the `missing` letters, and the letters that none has."""
    has: dict[str, set[str]] = {}
    for entry in sorted(fontManager.ttflist, key=lambda entry: (entry.name, entry.fname)):
        # matplotlib's "Last Resort" font has a box for every letter.
        if entry.style == "normal" and not entry.name.startswith("Last Resort"):
            has.setdefault(entry.name, _covered(entry, missing))
    families: list[str] = []
    while missing:
        best = max(has, key=lambda name: (len(has[name] & missing), "Sans" in name))
        if not has[best] & missing:
            break
        families.append(best)
        missing = missing - has[best]
    return families, missing


def _covered(entry: FontEntry, letters: set[str]) -> set[str]:
    """The letters that a font can draw; empty if the font cannot be read."""
    try:
        font = FT2Font(entry.fname)
    except (OSError, RuntimeError):
        return set()
    # Fonts of bitmaps with a fixed size, such as colour emoji, cannot be drawn.
    return letters & _letters(font) if font.scalable else set()


def _letters(font: FT2Font) -> set[str]:
    return {chr(code) for code in font.get_charmap()}
