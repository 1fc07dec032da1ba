"""A package of a user's own: a data set, vectors, a network and a method for ccompress."""
