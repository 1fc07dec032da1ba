"""Predict the label of each text, and its probability, with the model in this folder.

It needs onnxruntime and tokenizers. Run it on a file with one text per line:

    python predict.py < texts.txt
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
    """The label and the probability of each text; None and None for a text without words."""
    rows = [encoding.ids + ngrams(encoding.tokens) for encoding in TOKENIZER.encode_batch(texts)]
    padded = np.zeros((len(rows), max(1, *map(len, rows))), np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    (probabilities,) = SESSION.run(None, {"tokens": padded})
    best = [(LABELS[p.argmax()], float(p.max())) for p in probabilities]
    return [answer if row else (None, None) for row, answer in zip(rows, best, strict=True)]


def ngrams(words: list[str]) -> list[int]:
    """The rows of a text's n-grams, which the tokenizer does not give."""
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
            answer = {"label": label, "probability": probability, "text": line.rstrip("\n")}
            print(json.dumps(answer, ensure_ascii=False), file=answers, flush=True)
