"""Text labels for atoms and clusters: words of the exemplars, what sets them apart, and the names made of them."""
