"""The training loop with its optimizers, best epoch and checkpoint, and the evaluation."""
