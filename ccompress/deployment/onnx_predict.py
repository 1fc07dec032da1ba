"""The label of each text and its probability, from the files beside this one.

Needs onnxruntime and tokenizers. Run it on a text a line: python predict.py < texts.txt
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import tokenizers

FOLDER = Path(__file__).parent
LABELS = json.loads((FOLDER / "labels.json").read_text(encoding="utf-8"))
TOKENIZER = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
TOKENIZER.no_padding()
ROWS = TOKENIZER.get_vocab()
LONGEST = 1 + max(name.count(" ") for name in ROWS)  # the most words of an n-gram
SESSION = onnxruntime.InferenceSession(FOLDER / "model.onnx")


def predict(texts: list[str]) -> list[tuple[str | None, float | None]]:
    """The label and the probability of each text; of one without words, None and None."""
    rows = [encoding.ids + ngrams(encoding.tokens) for encoding in TOKENIZER.encode_batch(texts)]
    padded = np.zeros((len(rows), max(1, *map(len, rows))), np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    (probabilities,) = SESSION.run(None, {"tokens": padded})
    best = [(LABELS[p.argmax()], float(p.max())) for p in probabilities]
    return [said if row else (None, None) for row, said in zip(rows, best, strict=True)]


def ngrams(words: list[str]) -> list[int]:
    """The rows of the n-grams of a text that have one; the tokenizer gives those of its words."""
    runs = (
        " ".join(words[begin : begin + length])
        for length in range(2, LONGEST + 1)
        for begin in range(len(words) - length + 1)
    )
    return [ROWS[run] for run in runs if run in ROWS]


if __name__ == "__main__":
    with open(0, encoding="utf-8-sig") as texts, open(1, "w", encoding="utf-8") as answers:
        for line in texts:
            [(label, probability)] = predict([line])
            said = {"label": label, "probability": probability, "text": line.rstrip("\n")}
            print(json.dumps(said, ensure_ascii=False), file=answers, flush=True)
