"""The fine stage: a multimodal language model reads the query with every candidate of the pool."""
