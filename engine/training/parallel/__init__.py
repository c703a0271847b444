"""One SAE trained by several processes: they share the tokens of a batch, or the atoms of the dictionary.

What processes exchange, torch exchanges: ``DistributedDataParallel`` averages the gradients of shared tokens, ``DTensor``
places a split dictionary, adds up what its parts contribute, and gathers it. Ours is what follows from the sums: which part of
a batch a process computes, and how atoms are chosen among the parts.
"""
