"""The running sums and lists of the one pass over the tokens: one file for each kind, and the loops that fill them."""

from engine.atlas.build.accumulators.accumulators import RESERVOIR as RESERVOIR
from engine.atlas.build.accumulators.accumulators import Accumulators as Accumulators
from engine.atlas.build.accumulators.batch import ItemBatch as ItemBatch
