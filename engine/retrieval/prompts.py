"""What the multimodal model is asked. A picture comes first and what changes from candidate to candidate comes last.

So the part before the caption is the same for every caption of one picture, and its keys and values are computed once.
"""

from __future__ import annotations

JUDGE = "Does the picture match the caption? Answer True or False.\nCaption:"
RATE = "How well does the caption fit the picture, from 0 (not at all) to 9 (exactly)? Answer with one digit.\nCaption:"
SCORE = "Give a score between 0 and 1 for how well the caption fits the picture. Answer with the number only.\nCaption:"
DESCRIBE = "Describe the picture in one sentence."
