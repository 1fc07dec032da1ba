"""Speed and memory, measured side by side with the loop that everybody writes."""
