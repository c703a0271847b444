"""SAEs compared with each other: on real activations, and on synthetic ones whose true features are known."""
