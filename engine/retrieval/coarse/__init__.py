"""The coarse stage: embeddings of a collection, an index over them, and the pool of the nearest candidates."""
