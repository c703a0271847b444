"""The labels of the demo corpus: one taxonomy over all sources."""

from __future__ import annotations

LABELS = {
    "animal/bird": "Birds",
    "animal/insect": "Insects, spiders and snails",
    "animal/mammal": "Mammals",
    "animal/reptile": "Reptiles, amphibians and dinosaurs",
    "animal/sea": "Fish and other sea animals",
    "art/painting": "Paintings",
    "event/celebration": "Holidays and parties",
    "fantasy/creature": "Creatures of tales: dragons, ghosts, robots",
    "food/drink": "Drinks",
    "food/fruit": "Fruit and nuts",
    "food/meal": "Meals, bread, meat and dairy",
    "food/sweet": "Cakes, ice cream and sweets",
    "food/vegetable": "Vegetables, mushrooms and spices",
    "object/clothing": "Clothes, hats, shoes and jewellery",
    "object/electronics": "Computers, telephones, cameras and other devices",
    "object/home": "Furniture and things of the house",
    "object/kitchen": "Dishes and cutlery",
    "object/medical": "Medicine and science",
    "object/money": "Coins, money and treasure",
    "object/music": "Musical instruments and notes",
    "object/office": "Books, mail, writing and office things",
    "object/sport": "Balls, prizes and sports things",
    "object/tool": "Tools and machines",
    "object/toy": "Games and toys",
    "person/activity": "People doing something",
    "person/body": "Hands and other parts of the body",
    "person/face": "Smileys and faces",
    "person/people": "People",
    "person/work": "People at work",
    "place/building": "Buildings",
    "place/landscape": "Landscapes and the sea",
    "place/map": "Maps",
    "place/monument": "Famous monuments",
    "plant/flower": "Flowers",
    "plant/leaf": "Leaves, grass and other plants",
    "plant/tree": "Trees",
    "sign/road": "Road signs",
    "sign/symbol": "Symbols, hearts and clocks",
    "sky/space": "Planets, stars and space flight",
    "sky/weather": "Weather, sun and moon",
    "vehicle/air": "Aircraft",
    "vehicle/rail": "Trains",
    "vehicle/road": "Cars, bicycles and other road vehicles",
    "vehicle/water": "Boats and ships",
}


def longest_match(folder: str, table: dict[str, str] | dict[str, str | None]) -> str | None:
    """The label of the longest folder in ``table`` that contains ``folder``, or None."""
    parts = folder.split("/")
    for end in range(len(parts), 0, -1):
        key = "/".join(parts[:end])
        if key in table:
            return table[key]
    return None
