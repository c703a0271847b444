"""How the embedded demo is made from its sources. Using the demo needs none of this."""
