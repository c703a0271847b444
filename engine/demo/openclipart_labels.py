"""How the folders of Open Clip Art, and words in the titles, map onto the labels of the demo corpus."""

from __future__ import annotations

import re

from engine.demo.labels import longest_match

# Open Clip Art: the longest folder that matches wins; None leaves the folder out. Words in a title come first.
OPENCLIPART: dict[str, str | None] = {
    "animals": "animal/mammal",
    "animals/amphibian": "animal/reptile",
    "animals/birds": "animal/bird",
    "animals/bugs": "animal/insect",
    "animals/dinosaurs": "animal/reptile",
    "animals/fantasy": "fantasy/creature",
    "animals/fish": "animal/sea",
    "animals/mammals": "animal/mammal",
    "buildings": "place/building",
    "buildings/furniture": "object/home",
    "computer": "object/electronics",
    "computer/buttons": None,
    "computer/diagrams": None,
    "computer/folders": None,
    "computer/icons": None,
    "containers": "object/home",
    "decorations": None,
    "education": "object/office",
    "electronics": "object/electronics",
    "electronics/bulb": "object/home",
    "food": "food/meal",
    "food/beverages": "food/drink",
    "food/desserts": "food/sweet",
    "food/fruit": "food/fruit",
    "food/vegetables": "food/vegetable",
    "geography": "place/map",
    "geography/astronomy": "sky/space",
    "office": "object/office",
    "office/telephone": "object/electronics",
    "people": "person/people",
    "people/bodypart": "person/body",
    "people/clothing": "object/clothing",
    "people/clothing/pantyhose": None,
    "people/smilies": "person/face",
    "people/stickmen": None,
    "plants": "plant/leaf",
    "plants/flowers": "plant/flower",
    "plants/trees": "plant/tree",
    "recreation": "object/toy",
    "recreation/art": "object/office",
    "recreation/games": "object/toy",
    "recreation/games/cards": None,
    "recreation/holiday": "event/celebration",
    "recreation/music": "object/music",
    "recreation/party": "event/celebration",
    "recreation/religion": None,
    "recreation/sports": "object/sport",
    "recreation/toys": "object/toy",
    "science": "object/medical",
    "science/astronomy": "sky/space",
    "signs_and_symbols": None,
    "signs_and_symbols/awards": "object/sport",
    "signs_and_symbols/clocks": "sign/symbol",
    "signs_and_symbols/money": "object/money",
    "signs_and_symbols/weather": "sky/weather",
    "tools": "object/tool",
    "tools/toys": "object/toy",
    "tools/weapons": None,
    "transportation": "vehicle/road",
    "transportation/aiga-symbols": None,
    "transportation/boating": "vehicle/water",
    "transportation/roadsigns": "sign/road",
    "transportation/vehicles/hummers": None,
    "unsorted": "object/home",
}

_WORDS = (
    (r"dragon|unicorn|ghost|wizard|fairy|monster|alien|vampire|witch|mermaid|robot|gnome|elf\b", "fantasy/creature"),
    (r"snake|frog|turtle|tortoise|lizard|crocodile|alligator|dinosaur|gecko|iguana|toad", "animal/reptile"),
    (r"shark|whale|dolphin|octopus|lobster|crab\b|squid|jellyfish|starfish|shrimp|seahorse", "animal/sea"),
    (r"bird|penguin|owl\b|duck\b|eagle|parrot|swan|chicken|rooster|\bhen\b", "animal/bird"),
    (r"butterfly|spider|snail|\bant\b|ladybug|bee\b", "animal/insect"),
    (r"airplane|aeroplane|aircraft|helicopter|\bplane\b|\bjet\b|balloon ride|glider|airship", "vehicle/air"),
    (r"rocket|satellite|astronaut|spaceship|space shuttle|planet|telescope", "sky/space"),
    (r"locomotive|\btrain\b|tram\b|railway|wagon", "vehicle/rail"),
    (r"\bboat|\bship\b|canoe|sailing|yacht|anchor|submarine|ferry", "vehicle/water"),
)


def openclipart_label(folder: str, words: str) -> str | None:
    """The label of a clip-art picture in ``folder`` that ``words`` describe, or None to leave it out."""
    label = longest_match(folder, OPENCLIPART)
    mixed = folder in ("animals", "unsorted", "transportation", "tools", "recreation", "recreation/toys")
    if label and mixed:
        for pattern, better in _WORDS:
            if re.search(pattern, words, re.I):
                return better
    return label
