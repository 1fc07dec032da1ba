"""From text to tokens, and from tokens to rows of the table."""
