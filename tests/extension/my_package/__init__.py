"""A user's own package with a data set, vectors, a network and a method for ccompress."""
