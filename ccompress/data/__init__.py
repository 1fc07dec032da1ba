"""Data sets, text, word vectors and downloads; what a run reads, prepared."""
