"""The notes of a report on its data and vectors."""

from made_up_rows import Grid, Read

from ccompress.report import provenance


def test_the_note_on_a_subset_of_glove_says_what_it_lacks(grid: Grid, read: Read) -> None:
    done = read([row | {"vectors": "glove.6B.100d.subset", "dim": 100} for row in grid()])
    (sentence,) = provenance.notes(done)
    assert "a subset of the real glove.6B.100d: it lacks a, i " in sentence
    assert "'s, n't" in sentence
    assert "numbers" in sentence
    complete = read([row | {"vectors": "glove.6B.100d", "dim": 100} for row in grid()])
    assert "subset" not in provenance.notes(complete)[0]
