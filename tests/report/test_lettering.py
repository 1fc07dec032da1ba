"""Users' names in figures are shown literally, in fonts that have their letters."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure

from ccompress.report import lettering

NAMES = ["from $5 to $10", "ab", "日本語"]


def figure_of(names: list[str]) -> Figure:
    """A figure with names in titles, ticks, the legend and annotations, like our figures."""
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    for name in names:
        ax.plot([0, 1], label=name)
        ax.annotate(name, (0, 0))
    ax.set_title(names[0])
    ax.set_xticks(range(len(names)), names)
    figure.legend()
    return figure


@pytest.fixture
def other_font(tmp_path: Path) -> Iterator[str]:
    """A font with three letters that is installed during the test; the name of its family."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 700), (900, 700), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    letters = {ord(letter): f"letter{ord(letter)}" for letter in "日本語"}
    names = [".notdef", *letters.values()]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap(letters)
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (1000, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Three Letters", "styleName": "Regular"})
    builder.setupOS2(usWeightClass=400)
    builder.setupPost()
    path = tmp_path / "three.ttf"
    builder.save(path)
    fonts_before = list(font_manager.fontManager.ttflist)
    font_manager.fontManager.addfont(path)
    yield "Three Letters"
    font_manager.fontManager.ttflist[:] = fonts_before


def test_names_are_not_read_as_formulas() -> None:
    # As formulas, the first would be in italics, and the second would be an error.
    for names in (["from $5 to $10"], ["$\\frac$ and $^$"]):
        files, missing = lettering.save(figure_of(names), svg={}, png={})
        assert missing == ""
        assert set(files) == {"svg", "png"}
        plain = figure_of([name.replace("$", "S") for name in names])
        as_text = lettering.save(plain, svg={})[0]["svg"].decode()
        # There is one glyph for each letter, as in the same name without dollars.
        assert files["svg"].decode().count("<use ") == as_text.count("<use ")


def test_powers_of_ten_stay_powers() -> None:
    figure = figure_of(["a"])
    figure.axes[0].set_yscale("log")
    lettering.save(figure, svg={}, png={})
    labels = [label for label in figure.axes[0].get_yticklabels() if "10^" in label.get_text()]
    assert labels
    assert all(label.get_parse_math() for label in labels)


def test_letters_come_from_a_font_that_has_them(other_font: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = figure_of(NAMES)
        _, missing = lettering.save(figure, svg={}, png={})
    assert missing == ""
    assert figure.axes[0].title.get_fontfamily() == ["DejaVu Sans", other_font]


def test_letters_that_no_font_has_are_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    rare = "\U0001f9ec"  # no font of letters has it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        missing = [lettering.save(figure_of([*NAMES[:2], rare]), png={})[1] for _ in range(2)]
    lettering.tell_missing(missing)
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"boxes for 1 letter that no font of this machine has ({rare})" in message
    lettering.tell_missing([""])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("control\x07 and \ud800 a lone surrogate", "control and a lone surrogate"),
        ("x" * 100, "x" * 59 + "…"),
        ("café 日本", "café 日本"),
    ],
)
def test_a_name_is_shortened_to_one_line(name: str, shown: str) -> None:
    assert lettering.one_line(name) == shown
