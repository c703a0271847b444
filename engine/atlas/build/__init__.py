"""From a trained SAE and an activation store to a concept atlas: one pass over the tokens, then stages over its result."""
