"""The small model: its file and its export."""
