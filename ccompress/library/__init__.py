"""`ccompress.compress`, which compresses an embedding inside your own network."""
