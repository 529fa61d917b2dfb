"""Make the demo's pictures: seven classes of clip art, split once into train and val.

    python tests/data/make_demo_pictures.py CLIPART ftui/demo/pictures

CLIPART is the `png` folder of Debian's package `openclipart-png` (made with version
1:0.18+dfsg-19). The result is checked in, so nobody needs to run this, and no test does. The same
clip art, and the same Pillow, give the same bytes.

Which pictures. No model had a say in it: the rules below were written while looking at sheets of
all candidates, and before any training.

1. Candidates are the files that `SOURCES` names: the collection's own folder of each class, less
   its folders of symbols and road signs, and a few files of other folders, mostly `unsorted`.
2. Left out by name (`LEFT_OUT`), where a person would not say the class on seeing the picture:
   parts, diagrams, symbols, broken drawings, scenes with several subjects; also weapons, nudity,
   smoking, and likenesses of real persons, mascots and other people's characters. `_bw` files are
   outlines of coloured files and go too.
3. Left out by measure: too small, nearly empty, a very long strip, or without any colour or grey
   (silhouettes and outlines).
4. A picture that looks like one of another class belongs to neither; of pictures of one class that
   look alike, the first by name stays. Alike means that the edges of small copies correlate.
5. Shuffled with a fixed seed and cut to `MOST` a class, more than `SERIES` of one numbered series
   (home1, home2, ...) only where a class is short. A series falls wholly into train, for its
   pictures share a hand and would make the validation easy.

How they are stored: flattened on white, cropped to what is drawn, set in the middle of a white
square of `SIDE` pixels, as JPEG.
"""

import argparse
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

SEED, MOST, VAL, SERIES = 7, 66, 15, 8
SIDE, MARGIN, QUALITY = 224, 8, 85
MOST_PIXELS = 40_000_000  # a dozen are sheets of 160 million pixels, drawn by a slip
LEAST_SIDE, LEAST_INK, LEAST_COLOUR, LONGEST_ASPECT = 60, 0.12, 0.10, 4.0
ALIKE = 0.66

Picture = tuple[Path, Image.Image]  # where it came from, and what is stored of it
Prints = NDArray[np.float64]

SOURCES = {
    "animals": "animals/**/* unsorted/{Anatra,Colombo,elefante_in_corsa,gabbiano_piccolo}"
    " unsorted/{pescetto,struzzo,Pinguino1,Pinguino3}",
    "buildings": "buildings/* buildings/homes/* education/school_in_fall* recreation/sand_castle*"
    " transportation/vehicles/lighthouse_01"
    " unsorted/{Condominio,aziendaVendite,fattoria,grattacieli_grigi,igloo,tenda_da*}",
    "food": "food/**/* unsorted/{Cornetto,tramezzino}",
    "people": "people/* unsorted/{Traslocatore*,carpentiere*,donna_casinista,imbianchino*}"
    " unsorted/{principessa,ragazz*,signorina*,trekking*}",
    "plants": "plants/**/* signs_and_symbols/map_symbols/{tree,plant}*"
    " unsorted/{foglie_verdi,rosa1,rosa2,rose}",
    "tools": "tools/* office/{pencil*,pen_*,ballpoint*,scissors*,pinzatrice*}"
    " education/brush plants/trees/{bowsaw,bypasspruner}*"
    " unsorted/{asse_da,carretta_da,lampada_da,metro_,motosega,pinzatrice,scala_,sega_}*",
    "transportation": "transportation/* transportation/vehicles/**/* transportation/boating/*"
    " recreation/toys/{kiddy_train,wagon}* unsorted/{Montacarichi,ambulanza,betoniera,caterpillar}",
}

LEFT_OUT = {
    "animals": "2_dead baby-tux baby_tux ninja_tux tux_ plush cymru dragon_head mermaid incredible"
    " troll amibe kallisti lucchetto mirjam duck_yellow_ii wing_mitchell turkey_on mascot tatoo"
    " tante_orme three_eyes stormo virus emule cat_scrathing paesaggio skoynk squeek shaezy mhooo"
    " cani_e_gatti manager cartoon_vgcats dolphin_01 sleeping_bear crazy_monkey angry_monkey"
    " simbolo_egizio ragno_figo zanzara_cretina porcinet toro_al_tramonto elephant_symbol",
    "buildings": "brick capitello city_horizon old_sign school_hallway wall furniture houses_jon",
    "food": "beer alcohol bowl_ large_plate small_plate toque libro_di chef mix_cucina"
    " meatgrinder gumnut baby_bottle flower-pot come_si fuoco straw_tote slate-apple tree_whit"
    " barrel lattine mug_toh macchina food_leif marshmallow tile_orange eris kallisti"
    " bread_and_wine glass_01 lemonade_linda burger_linda ice_cream_cone_li icecube ice_cube"
    " sugarbox lime_half_jarno galette frying_pan cookie what_s_up picnic softdrink cola"
    " pop_can teapot bottled",
    "people": "3_faces alien baby_bottle bach backpacker bad_guy beach_trip beethove blue_eye"
    " boy_symbol breakdance brozo camper car_ride card_figure chat_icon don_t_panic einstein elfish"
    " enthusiast eye fata feet_in female fingerprint fire_engine fireman_enrique future_beckham"
    " gender girl_symbol grampa grandpa_01 handel handshake hide_girl hygieia icons_ jazz"
    " john_coltrane left_hand martin_luther maya my_lovely pregnancy reminder right_hand"
    " safety_pin sailing_kids samoa saxo self_portrait sexy silhouette silvia skull stripper"
    " stylized_yoga symbolic van_gogh wedding_sign xbill human a_youngster a_happy_boy"
    " a_man_singing a_boy_plays al_bar architetto_architetto cm1 runner_simple ppl man_crystal"
    " utent buddy busy_mom inservice kid_01 angry_punk",
    "plants": "cannabis cayenne human_ potato bowsaw bypass christmas_balls mirjam fiore_0"
    " magnolia reed island gumnut acorn cacuts",
    "tools": "airbrush bottle_ bucket_mich cellular compass_01 digital_camera electric_lighter"
    " gallows burner insecticide kexi lampada_di lente_ mag1 mag2 mag3 mag4 magnifying_glass_tom"
    " mattone metal_cage natural_gas nodding nunchaku pansement panel route scart smoke stefan"
    " thermometer umbrella paint_brush_linda paint_roller_banner paint_roller_border"
    " paint_roller_wall pan_frouke simple_shovel vacuum_cleaner_mar pen_pencil",
    "transportation": "ampel anchor beach_trip car_ride boating_rules knot_ sailing_ lighthouse"
    " suitcase shelby grain_elevator 1989 chevrolet m1_abrams wing_mitchell the_mad soviet kaboom"
    " Evel advertising EX street_sign toy_paper nws_ departing man_w_umbrella labels kids route"
    " yield stop_sign_right military airplane_nicu crossroads curve_ahead no_u_turn",
}


def series_of(path: Path) -> str:
    """The name without its number: home1 and home12 are one series, `_01` endings are not."""
    name = re.sub(r"_0?[0-9]?[a-z]?$", "", path.stem.lower())
    return re.sub(r"(_?\d+[a-z]?)+$", "", name)


def matches(root: Path, patterns: str) -> Iterator[Path]:
    """The PNG files that the blank-separated patterns name; `{a,b}` stands for either."""
    for pattern in patterns.split():
        braces = re.search(r"\{(.*)\}", pattern)
        for option in braces[1].split(",") if braces else [""]:
            glob = pattern.replace(braces[0], option) if braces else pattern
            yield from root.glob(glob + ".png")


def candidates(root: Path, label: str) -> list[Path]:
    """A class's files by name, each name once, less what `LEFT_OUT` names and the `_bw` files."""
    names = {path.name: path for path in sorted(matches(root, SOURCES[label]))}
    signs = {path.name for path in root.glob("transportation/roadsigns/*")}
    words = [*LEFT_OUT[label].split(), "_bw", "b_w_", "_b_amp_w", "silhouet", "contour"]
    return [
        names[name]
        for name in sorted(names.keys() - signs)
        if not any(word in names[name].relative_to(root).as_posix() for word in words)
    ]


def drawing(path: Path) -> Image.Image | None:
    """The picture on white, cropped to its ink; None where rule 3 leaves it out."""
    Image.MAX_IMAGE_PIXELS = None
    with Image.open(path) as opened:
        if opened.width * opened.height > MOST_PIXELS:
            return None
        rgba = opened.convert("RGBA")
    flat = Image.new("RGBA", rgba.size, "white")
    flat.alpha_composite(rgba)
    picture = flat.convert("RGB")
    ink = ImageChops.invert(picture).convert("L").point(lambda v: 255 * (v > 12))
    box = ink.getbbox()
    if box is None:
        return None
    picture = picture.crop(box)
    width, height = picture.size
    if max(width, height) < LEAST_SIDE or max(width / height, height / width) > LONGEST_ASPECT:
        return None
    small = picture.copy()
    small.thumbnail((160, 160))
    values = np.asarray(small, dtype=np.int16)
    dark, light = values.min(2), values.max(2)
    inked = dark < 240
    toned = inked & ((light - dark > 40) | ((light > 60) & (dark < 215)))
    if inked.mean() < LEAST_INK or toned.mean() < LEAST_COLOUR:
        return None
    return picture


def squared(picture: Image.Image) -> Image.Image:
    """The drawing in the middle of a white square, never enlarged beyond twice its size."""
    room = SIDE - 2 * MARGIN
    scale = min(room / max(picture.size), 2.0)
    size = [max(1, round(side * scale)) for side in picture.size]
    resized = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    square = Image.new("RGB", (SIDE, SIDE), "white")
    square.paste(resized, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return square


def fingerprints(pictures: list[Image.Image]) -> Prints:
    """(N, 4608) unit vectors of the slopes of 48 x 48 grey copies; products are likeness, 0 to 1.

    Slopes, not greys: on white ground any two blobs correlate, their edges do not. Signs are
    dropped, so that an outline on white and the same on black are alike.
    """
    grey = [np.asarray(p.convert("L").resize((48, 48)), dtype=np.float64) for p in pictures]
    rows = np.stack(grey)
    slopes = np.stack([np.abs(np.diff(rows, axis=axis, prepend=255)) for axis in (1, 2)], axis=1)
    flat = np.sqrt(slopes.reshape(len(rows), -1))
    flat -= flat.mean(1, keepdims=True)
    unit: Prints = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return unit


def distinct(
    found: list[tuple[str, Path, Image.Image]],
) -> dict[str, list[Picture]]:
    """Rule 4: of each class the pictures that look like no other class's, nor an earlier one."""
    prints = fingerprints([picture for _, _, picture in found])
    alike = prints @ prints.T > ALIKE
    labels = np.array([label for label, _, _ in found])
    kept: dict[str, list[Picture]] = {label: [] for label in SOURCES}
    stays = np.zeros(len(found), dtype=bool)
    for i, (label, path, picture) in enumerate(found):
        stays[i] = not (alike[i] & ((labels != label) | stays)).any()
        if stays[i]:
            kept[label].append((path, picture))
    return kept


def split(pool: list[Picture], chance: random.Random) -> dict[str, list[Picture]]:
    """Rule 5: the chosen of one class, a series wholly in train or in val."""
    chance.shuffle(pool)
    seen: Counter[str] = Counter()
    first: list[Picture] = []
    later: list[Picture] = []
    for path, picture in pool:
        seen[series_of(path)] += 1
        (first if seen[series_of(path)] <= SERIES else later).append((path, picture))
    chosen = (first + later)[:MOST]
    series = Counter(series_of(path) for path, _ in chosen)
    alone = [item for item in chosen if series[series_of(item[0])] == 1]
    val = alone[: min(VAL, len(chosen) // 4)]
    return {"val": val, "train": [item for item in chosen if item not in val]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clipart", type=Path, help="the png folder of Debian's openclipart-png")
    parser.add_argument("out", type=Path, help="replaced: out/{train,val}/<class>/<name>.jpg")
    asked = parser.parse_args()
    found = [
        (label, path, squared(picture))
        for label in SOURCES
        for path in candidates(asked.clipart, label)
        if (picture := drawing(path)) is not None
    ]
    chance = random.Random(SEED)
    shutil.rmtree(asked.out, ignore_errors=True)
    for label, pool in distinct(found).items():
        for part, items in split(pool, chance).items():
            folder = asked.out / part / label
            folder.mkdir(parents=True)
            for path, picture in items:
                name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-")
                picture.save(folder / f"{name}.jpg", quality=QUALITY, optimize=True)
            print(f"{label:15} {part:6} {len(items)} of {len(pool)}")


if __name__ == "__main__":
    main()
