"""The mathematics as pure functions: SVD, packing, codebooks, rates, allocation of bits."""
