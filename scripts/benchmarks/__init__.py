"""Speed and memory of ccompress compared with those of the usual training loop."""
