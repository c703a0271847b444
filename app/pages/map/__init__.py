"""Dictionary map: all atoms at once, similar ones together."""
