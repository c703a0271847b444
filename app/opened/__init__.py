"""What the process has open, shared by all sessions: atlases, corpora, models, and what was computed from them."""
