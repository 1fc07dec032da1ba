"""One training loop, its optimizers, its best epoch, its checkpoint, and evaluation."""
