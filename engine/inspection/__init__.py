"""Changing what a model computes and seeing what it then says: splicing, editing codes, accounting for a token."""
