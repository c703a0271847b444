"""SAEs from elsewhere, and ours for elsewhere: SAELens folders, and the published checkpoint of the sparsemax SAE."""

from engine.sae.interchange.reading import FORMATS, Imported, import_sae, write_run
from engine.sae.interchange.writing import export_sae

__all__ = ["FORMATS", "Imported", "export_sae", "import_sae", "write_run"]
