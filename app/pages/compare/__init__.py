"""Compare: several SAEs on the same activations, side by side."""
