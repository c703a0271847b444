"""Retrieval: search pictures, and watch a multimodal model decide."""
