"""All exemplars of an atom on one page, to take away."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from app.atlas_ui.heat import exemplar_heat
from app.ui.png import png
from engine.atlas.top_exemplars import exemplars
from engine.errors import InputError
from engine.paths import ASSETS

if TYPE_CHECKING:
    from engine.atlas import Atlas


def exemplar_sheet(atlas: Atlas, atom: int, columns: int = 6, cell: int = 224) -> bytes:
    """The exemplars of an atom on one page, heat over pictures, top first, then lower quantiles: PNG."""
    rows = exemplars(atlas, atom)
    gap, head, foot = 12, 64, 30
    lines = max(1, -(-len(rows) // columns))
    width = columns * (cell + gap) + gap
    sheet = Image.new("RGB", (width, head + lines * (cell + foot + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    about = atlas.atoms.iloc[atom]
    draw.text((gap, 12), f"Atom {atom}   {about['label']}", fill="#1C1E22", font=_font(22))
    note = f"{atlas.title}, fires on {about['frequency']:.3%} of tokens, atlas {atlas.key}"
    draw.text((gap, 40), note, fill="#666B73", font=_font(13))
    for place, row in enumerate(rows.itertuples(index=False)):
        left = gap + place % columns * (cell + gap)
        top = head + place // columns * (cell + foot + gap)
        try:
            picture = Image.open(io.BytesIO(atlas.thumbnail(int(row.item)))).convert("RGB").resize((cell, cell))
            over = Image.open(io.BytesIO(exemplar_heat(atlas, atom, row.kind, int(row.rank))))
            picture.paste(
                over.convert("RGB").resize((cell, cell), Image.Resampling.BICUBIC), (0, 0), _alpha(over, cell)
            )
            sheet.paste(picture, (left, top))
        except InputError:  # a text, or a picture the atlas does not hold
            draw.rectangle((left, top, left + cell, top + cell), outline="#D0D3D8")
            words = str(atlas.items["caption"].iloc[row.item])
            if atlas.is_text:
                words = atlas.snippets.window(int(row.item), int(row.position))
            for line, part in enumerate(textwrap.wrap(words, 30)[:11]):
                draw.text((left + 8, top + 8 + 18 * line), part, fill="#1C1E22", font=_font(13))
        kind = "top" if row.kind == "top" else f"quantile {row.quantile:.0%}"
        draw.text((left, top + cell + 6), f"{row.value:.3g}   {kind}   item {row.item}", fill="#666B73", font=_font(13))
    return png(sheet)


def _alpha(over: Image.Image, cell: int) -> Image.Image:
    return over.getchannel("A").resize((cell, cell), Image.Resampling.BICUBIC)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype(str(ASSETS / "fonts" / "inter-latin.woff2"), size)
    except OSError:  # a FreeType built without WOFF2
        return ImageFont.load_default(size)
