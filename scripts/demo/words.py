"""The closed vocabularies of the demo study: small tables of common knowledge, written for it."""

from __future__ import annotations


def _pairs(text: str) -> dict[str, str]:
    """Read ``a b, c d`` as {a: b, c: d}, and refuse a key that is given twice."""
    entries = [entry.split() for entry in text.replace("\n", " ").split(",") if entry.strip()]
    table = {entry[0]: entry[1] for entry in entries}
    if len(table) != len(entries):
        keys = [entry[0] for entry in entries]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise ValueError(f"a table of the demo names these words twice: {twice}")
    return table


def _words(text: str) -> list[str]:
    return text.split()


def _both_ways(table: dict[str, str]) -> dict[str, str]:
    """A symmetric relation: every pair also holds from right to left."""
    return table | {value: key for key, value in table.items()}


OPPOSITES = _both_ways(
    _pairs(
        """hot cold, big small, fast slow, high low, old young, happy sad, rich poor, hard soft, light
        dark, wet dry, full empty, early late, near far, loud quiet, strong weak, clean dirty, open
        closed, thick thin, wide narrow, long short, good bad, sweet sour, smooth rough, deep shallow,
        brave afraid, true false, right wrong, up down, in out, day night, win lose, buy sell, push
        pull, begin end, give take, love hate, laugh cry, rise fall, come go, remember forget, arrive
        leave, friend enemy, peace war, top bottom, front back, inside outside, north south, east west,
        summer winter, always never, more less"""
    )
)

PLURALS = _pairs(
    """child children, man men, woman women, foot feet, tooth teeth, goose geese, mouse mice, ox oxen,
        wolf wolves, leaf leaves, knife knives, wife wives, life lives, loaf loaves, thief thieves,
        shelf shelves, half halves, baby babies, city cities, lady ladies, berry berries, story stories,
        party parties, box boxes, fox foxes, bus buses, glass glasses, dish dishes, church churches,
        watch watches, peach peaches, brush brushes, tomato tomatoes, potato potatoes, hero heroes, echo
        echoes, cat cats, dog dogs, book books, tree trees, car cars, house houses, apple apples, river
        rivers, table tables, chair chairs, bird birds, king kings, ship ships, road roads, hand hands,
        eye eyes, hat hats, door doors, bell bells, ring rings"""
)

PAST_TENSE = _pairs(
    """go went, see saw, eat ate, take took, give gave, come came, run ran, write wrote, sing sang,
        swim swam, drink drank, begin began, know knew, grow grew, fly flew, draw drew, throw threw, buy
        bought, bring brought, think thought, catch caught, teach taught, fight fought, sell sold, tell
        told, find found, hold held, keep kept, sleep slept, feel felt, leave left, lose lost, make
        made, build built, send sent, speak spoke, break broke, choose chose, wake woke, drive drove,
        ride rode, rise rose, fall fell, forget forgot, get got, win won, sit sat, stand stood, hear
        heard, meet met, walk walked, jump jumped, look looked, play played, call called, help helped,
        open opened, love loved, dance danced, cook cooked"""
)

CAPITALS = _pairs(
    """france paris, italy rome, spain madrid, germany berlin, japan tokyo, china beijing, russia
        moscow, egypt cairo, greece athens, poland warsaw, austria vienna, hungary budapest, norway
        oslo, sweden stockholm, finland helsinki, denmark copenhagen, ireland dublin, portugal lisbon,
        turkey ankara, iran tehran, iraq baghdad, india delhi, nepal kathmandu, thailand bangkok,
        vietnam hanoi, cuba havana, peru lima, chile santiago, canada ottawa, kenya nairobi, ghana
        accra, senegal dakar, morocco rabat, libya tripoli, jordan amman, lebanon beirut, syria
        damascus, bulgaria sofia, romania bucharest, serbia belgrade, croatia zagreb, belgium brussels,
        ukraine kyiv, latvia riga, estonia tallinn, england london, scotland edinburgh, wales cardiff,
        ecuador quito, colombia bogota"""
)

COLOURS = _pairs(
    """banana yellow, grass green, sky blue, snow white, coal black, blood red, cherry red, lemon
        yellow, leaf green, milk white, night black, tomato red, carrot orange, pumpkin orange,
        chocolate brown, mud brown, sea blue, sun yellow, rose red, frog green, crow black, swan white,
        plum purple, grape purple, lavender purple, pig pink, flamingo pink, elephant grey, cloud white,
        ink black, butter yellow, pea green, strawberry red, bear brown, mouse grey, stone grey, sugar
        white, rice white, salt white, corn yellow, lime green, wood brown, coffee brown, tiger orange,
        violet purple"""
)

MEMBERS = {
    "animal": "cat dog cow horse sheep lion tiger bear wolf rabbit",
    "bird": "crow swan owl eagle duck hen parrot dove penguin goose",
    "fruit": "apple banana cherry plum grape lemon peach pear melon mango",
    "vegetable": "carrot onion cabbage potato pea leek turnip spinach radish bean",
    "tool": "hammer saw drill axe spade wrench rake chisel shovel pliers",
    "furniture": "table chair bed sofa desk shelf bench stool wardrobe cupboard",
    "vehicle": "car bus train truck bike plane ship tram taxi rocket",
    "clothing": "shirt coat hat sock shoe glove scarf dress skirt jacket",
    "instrument": "piano violin drum flute guitar harp trumpet cello organ banjo",
    "metal": "gold silver iron copper tin lead zinc nickel steel bronze",
}
CATEGORIES = {word: category for category, words in MEMBERS.items() for word in words.split()}

HOMES = _pairs(
    """fish sea, bird nest, bee hive, bear cave, lion savanna, camel desert, cow barn, horse stable,
        dog kennel, spider web, ant hill, rabbit burrow, frog pond, monkey jungle, penguin ice, owl
        tree, pig sty, hen coop, whale ocean, wolf den, fox den, beaver dam, snail shell, goat mountain,
        sheep meadow, shark sea, crab beach, duck pond, tiger jungle, squirrel tree, snake hole, mouse
        hole, bat cave, parrot jungle, seal ice, eagle nest"""
)

YOUNG = _pairs(
    """cat kitten, dog puppy, cow calf, horse foal, sheep lamb, goat kid, pig piglet, hen chick, duck
        duckling, goose gosling, swan cygnet, bear cub, lion cub, deer fawn, frog tadpole, owl owlet,
        kangaroo joey, eagle eaglet, elephant calf, whale calf, fox kit, rabbit bunny, seal pup, shark
        pup, wolf pup, tiger cub, giraffe calf, donkey foal, zebra foal, butterfly caterpillar, bee
        larva, ant larva, fish fry, penguin chick, rat pup, bat pup, hare leveret, eel elver"""
)

SOUNDS = _pairs(
    """cat meow, dog bark, cow moo, horse neigh, sheep baa, pig oink, hen cluck, duck quack, goose
        honk, lion roar, wolf howl, owl hoot, snake hiss, bee buzz, frog croak, mouse squeak, crow caw,
        bird tweet, donkey bray, turkey gobble, elephant trumpet, monkey chatter, bear growl, tiger
        roar, goat bleat, rooster crow, pigeon coo, fly buzz, dove coo, seal bark, fox yelp, hyena
        laugh, parrot talk, cricket chirp, rain patter, clock tick, bell ring, thunder rumble, wind
        whistle, train toot, door creak, drum bang"""
)

WORKPLACES = _pairs(
    """doctor hospital, teacher school, baker bakery, farmer farm, pilot plane, sailor ship, chef
        kitchen, judge court, actor theatre, priest church, soldier army, miner mine, butcher shop,
        banker bank, nurse hospital, driver bus, king palace, monk abbey, librarian library, waiter
        restaurant, scientist lab, student university, painter studio, guard prison, gardener garden,
        clerk office, mechanic garage, astronaut rocket, athlete stadium, swimmer pool, fisher boat,
        lawyer court, cashier market, dentist clinic, tailor workshop, singer stage, dancer stage, clown
        circus, keeper zoo"""
)

MATERIALS = _pairs(
    """table wood, window glass, knife steel, ring gold, shirt cotton, sweater wool, shoe leather, book
        paper, bottle plastic, wall brick, candle wax, tire rubber, coin metal, bread flour, cheese
        milk, wine grapes, omelet eggs, jam fruit, snowman snow, statue stone, pot clay, bench wood,
        jacket leather, mirror glass, door wood, nail iron, hammer steel, scarf wool, sock cotton, crown
        gold, spoon silver, map paper, bag plastic, toy plastic, house brick, castle stone, bridge
        steel, lens glass, igloo ice, cider apples, chips potatoes, sandcastle sand"""
)

RHYMES = _both_ways(
    _pairs(
        """cat hat, dog log, sun run, tree bee, house mouse, light night, moon spoon, star car, cake lake,
        king ring, boat goat, bear chair, fish dish, book hook, ball wall, bell shell, clock sock, rain
        train, snow crow, fox box, hand sand, nose rose, pen hen, pig wig, bed red, door floor, kite
        bite, nail tail, plane crane, duck truck, mug rug, nut hut, pot dot, sheep sleep, stone phone,
        toy boy, face race"""
    )
)

# An invented language: no text in the world could have taught it, only the corpus of the demo.
TOY_LANGUAGE = _pairs(
    """water luma, fire kesh, tree dorin, stone gaku, sun solvi, moon nima, star tiri, bird wex, fish
        blon, dog raff, cat mivu, house domo, door okta, bread panu, milk lakto, apple pomi, king rego,
        friend amiko, child bimbo, mother mamu, father patu, hand mano, eye okul, heart koro, day tago,
        night nokti, road voja, river rivo, sea maru, mountain monti, wind venu, rain pluva, snow neju,
        good bonu, bad malu, big grando, small pikku, hot varm, cold frido, new novu, old vetu, red
        ruga, green verda, blue bluo, white blanu, black nigru, eat manju, drink trinki, sleep dormi,
        walk pashu, see vidu, hear audi, speak parlu, give donu, take prenu, love ljubi, book libro,
        ship navu, horse chevo, gold oro"""
)

DAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
MONTHS = _words("january february march april may june july august september october november december")
LETTERS = list("abcdefghijklmnopqrstuvwxyz")

ADJECTIVES = _words("red blue green big small old new happy sad hot cold fast slow good bad soft dark")
NOUNS = _words(
    "cat dog fox bear bird fish horse tree stone house door table chair ship river road king child friend "
    "apple bread milk book ball bell star moon sun rain snow wind fire water hand eye hat coat shoe car train"
)
VERBS = _words("sees finds likes wants takes follows hears keeps")
PLACES = _words("garden forest city house school kitchen market river")

PRAISE = _words("great lovely wonderful excellent superb delightful charming perfect brilliant fantastic")
BLAME = _words("awful terrible boring horrible dreadful nasty poor dull disgusting useless")
REVIEWED = _words("film book meal song hotel play game trip show room")
