"""Overview: what an atlas holds and how good it is."""
