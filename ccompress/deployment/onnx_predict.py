"""The label of each text and its probability, by the files beside this one.

Needs onnxruntime and tokenizers. To run: python predict.py < texts.txt, which has a text a line.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import tokenizers

FOLDER = Path(__file__).parent
TOKENIZER = tokenizers.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
SESSION = onnxruntime.InferenceSession(FOLDER / "model.onnx")
LABELS = json.loads(SESSION.get_modelmeta().custom_metadata_map["labels"])


def predict(texts: list[str]) -> list[tuple[str | None, float | None]]:
    """The label and the probability of each text; of one without words, None and None."""
    rows = [encoding.ids or [0] for encoding in TOKENIZER.encode_batch(texts)]
    (probabilities,) = SESSION.run(None, {"tokens": np.array(rows, np.int64)})
    best = [(LABELS[p.argmax()], float(p.max())) for p in probabilities]
    return [said if any(row) else (None, None) for row, said in zip(rows, best, strict=True)]


if __name__ == "__main__":
    for line in sys.stdin:
        [(label, probability)] = predict([line])
        said = {"label": label, "probability": probability, "text": line.rstrip("\n")}
        print(json.dumps(said, ensure_ascii=False), flush=True)
