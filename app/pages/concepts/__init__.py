"""Concepts: one atom at a time."""
