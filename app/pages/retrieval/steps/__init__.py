"""The steps of a search as markup, one after another."""
