"""The one safe image decoder: every picture of a corpus and every upload comes in through ``decode_image``.

What a file is, its bytes say, not its name. A picture larger than the pixel limit is refused from its header, before
any memory is asked for. What comes out is always the same: 8-bit RGB, upright, transparency on white, no metadata.
"""

from __future__ import annotations

import io
import stat
import warnings
from collections.abc import Callable
from pathlib import Path

from PIL import Image, features

from engine.corpus.depths import eight_bits, is_deep, unread_tiff
from engine.errors import InputError

MAX_PIXELS = 89_478_485
"""Pillow's own limit: about 89 million pixels, 256 MB as RGB. Larger cameras exist; larger bombs do too."""

MAX_BYTES = 512 * 2**20
"""No file above 512 MiB is read: an uncompressed 16-bit RGB picture of ``MAX_PIXELS`` just fits."""

MAX_ASPECT = 1000
"""Longest side over shortest. Models scale the shortest side up to their input: a line of pixels would become a bomb."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM") + (("AVIF",) if features.check("avif") else ())
"""The only Pillow plugins that ever see a byte of a file: from Pillow 13 on, each of them states the size of a picture
before it asks for memory. Formats that run other programs (EPS) are not among them."""

EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .ppm .pgm .pbm .pnm".split()
    + ([".avif"] if features.check("avif") else [])
)
"""File names a folder listing takes for pictures. Only a guess: ``decode_image`` has the last word."""

OTHER_PICTURES = (
    frozenset(
        ".svg .svgz .eps .ps .pdf .ai .psd .xcf .heic .heif .avif .jxl .jp2 .j2k "
        ".ico .icns .tga .exr .hdr .raw .dng .cr2 .cr3 .nef .arw .orf .rw2".split()
    )
    - EXTENSIONS
)
"""Names of pictures that are not read: a listing says that it left them out."""

_READ = "JPEG, PNG, WebP, GIF, BMP, TIFF or PNM" + (" or AVIF" if features.check("avif") else "")

# decode_image checks the size itself and raises; Pillow's warning for the same pictures would only be a second voice.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112


class UnreadableItem(InputError):
    """One item of a corpus cannot be read. Extraction reports it and goes on with the next."""


def decode_image(
    source: bytes | Path,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
    guessed: Callable[[str], None] | None = None,
) -> Image.Image:
    """Decode one picture, whatever its format, into upright 8-bit RGB on white.

    Palettes, CMYK, greyscale and 16 or 32 bits a channel become 8-bit RGB; an animation gives its first frame; an EXIF
    orientation is applied; metadata is dropped.

    Parameters
    ----------
    source
        The bytes of the file, or its path.
    max_pixels
        Width times height above which the picture is refused before it is decoded.
    name
        What to call the picture in an error; default: the path, or "the image".
    guessed
        Told what kind of file it is ("signed 16-bit TIFF") where the file states no range of values and no usual one
        fits: it is then scaled from its own smallest value (or 0) to its largest.

    Raises
    ------
    UnreadableItem
        If it is no picture of a type that is read, is damaged or cut short, or is too large.
    """
    name = name or (str(source) if isinstance(source, Path) else "the image")
    data = read_limited(source, name) if isinstance(source, Path) else source
    if not data:
        raise UnreadableItem(f"{name} is empty (0 bytes).")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(*image.size, max_pixels, name)
            image.load()
            return _plain(image, guessed)
    except UnreadableItem:
        raise
    except Image.DecompressionBombError:
        raise UnreadableItem(f"{name} is larger than {max_pixels / 1e6:,.0f} million pixels. Scale it down.") from None
    except Image.UnidentifiedImageError:
        if kind := unread_tiff(data):
            raise UnreadableItem(f"{name} is {kind}, which is not read. Save it with 8 bits a channel.") from None
        raise UnreadableItem(f"{name} is {_guess(data)}, not a {_READ} picture.") from None
    except MemoryError:
        raise UnreadableItem(f"{name} does not fit into memory. Scale it down.") from None
    except Exception as error:  # a damaged file makes a decoder raise anything: OSError, SyntaxError, struct.error, ...
        detail = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UnreadableItem(f"{name} is damaged or cut short ({detail}).") from None


def looks_like_image(head: bytes) -> bool:
    """Whether the first bytes of a file (16 or more) carry the signature of a format that is read."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\0", b"MM\0*"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
        or (head[:1] == b"P" and head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6") and head[2:3].isspace())
        or ("AVIF" in FORMATS and head[4:12] in (b"ftypavif", b"ftypavis"))
    )


def read_limited(path: Path, name: str) -> bytes:
    """All bytes of a file, at most ``MAX_BYTES``.

    Raises
    ------
    UnreadableItem
        If it is missing, larger, no regular file, or may not be read.
    """
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # opening a pipe would wait for ever, a device would never end
            raise UnreadableItem(f"{name} is not a regular file.")
        if facts.st_size > MAX_BYTES:
            raise UnreadableItem(f"{name} is larger than {MAX_BYTES // 2**20} MiB.")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableItem(f"{name} cannot be read ({error.strerror or error}).") from None


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width * height > max_pixels:
        raise UnreadableItem(
            f"{name} has {width:,} x {height:,} pixels, more than the limit of {max_pixels / 1e6:,.0f} million. "
            "Scale it down."
        )
    if max(width, height) > MAX_ASPECT * min(width, height) > 0:
        raise UnreadableItem(
            f"{name} has {width:,} x {height:,} pixels: one side is more than {MAX_ASPECT:,} times the other."
        )


def _plain(image: Image.Image, guessed: Callable[[str], None] | None) -> Image.Image:
    """A loaded image as upright RGB on white without metadata."""
    orientation = _orientation(image)
    if is_deep(image):
        grey, guess = eight_bits(image)
        image = Image.fromarray(grey)
        if guess and guessed is not None:
            guessed(guess)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        plain = Image.new("RGB", rgba.size, "white")
        plain.paste(rgba, mask=rgba.getchannel("A"))
    else:
        plain = image.convert("RGB")
    if orientation in _UPRIGHT:
        plain = plain.transpose(_UPRIGHT[orientation])
    plain.info = {}
    return plain


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none. Read after loading: a TIFF is turned by Pillow by then."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block must not cost the picture, and Pillow's reader raises many kinds of error
        return 1


def _guess(data: bytes) -> str:
    """What a file that is no picture seems to be, with its article."""
    head = data[:1024].lstrip().lower()
    if b"<svg" in head:
        return "an SVG drawing (export it as PNG)"
    if head.startswith(b"%pdf"):
        return "a PDF document"
    if head.startswith((b"%!ps", b"\xc5\xd0\xd3\xc6")):
        return "a PostScript drawing (export it as PNG)"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page (perhaps a download that failed)"
    if data[4:8] == b"ftyp":
        return "a HEIC picture or a video (export it as JPEG)"
    if head.startswith(b"pk\x03\x04"):
        return "a ZIP archive"
    if b"\0" not in data[:1024]:
        return "a text file"
    return "of an unknown type"
