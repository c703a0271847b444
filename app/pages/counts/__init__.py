"""Activation counts: how many atoms each token needs, and how often each atom fires."""
