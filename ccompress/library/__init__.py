"""`ccompress.compress`, for a network of your own."""
