"""Objects that the process holds open, shared by all sessions: atlases, corpora, models, and what was computed from them."""
