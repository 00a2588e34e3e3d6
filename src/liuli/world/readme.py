"""The README of a world's folder, in the world's languages: what is true in it, and what is never told."""

from collections.abc import Iterator

from liuli.world import lexicon
from liuli.world.facts import FACTS, HABITS, Entity, EntityKind, attribute
from liuli.world.grammar import Kind
from liuli.world.language import Code
from liuli.world.lexicon import Term
from liuli.world.world import World

_HEADINGS: dict[EntityKind, Term] = {
    "person": Term("人物", "People"),
    "town": Term("城镇", "Towns"),
    "animal": Term("动物", "Animals"),
    "shop": Term("店铺", "Shops"),
    "festival": Term("节日", "Festivals"),
}
_KINDS: dict[Kind, Term] = {
    "wording": Term("措辞", "wording"),
    "entity": Term("名字", "entity"),
    "fact": Term("事实", "fact"),
    "habit": Term("习惯", "habit"),
}
_CHINESE = (
    "name 名字, home 住处, job 职业, pet 宠物, food 爱吃, friend 好友, birthday 生日, music 绝活, ride 在游乐园, order 在茶馆, "
    "province 省, river 河, dish 名菜, landmark 地标, market 集市, train_to 火车去, train_time 发车, weather 天气, "
    "legs 腿, sound 叫声, eats 吃, town 在, opens 开门, price 价钱, date 日子, place 地方, custom 习俗"
)
_COLUMNS = {key: Term(zh, key.replace("_", " ")) for key, zh in (pair.split(" ") for pair in _CHINESE.split(", "))}
_LANGS = {"zh": Term("中文", "Chinese"), "en": Term("英文", "English"), "both": Term("中文和英文", "Chinese and English")}
_TITLE = Term("一个小世界", "A small world")
_SETTINGS = Term("大小 {size}，种子 {seed}，{lang}。", "Size {size}, seed {seed}, {lang}.")
_EXPLAINED = Term(
    "这里的一切都是虚构的，也都是已知的。~~划掉的~~同样是真的，只是没有一篇文章说起。习惯的每个值后面是它的频率。"
    "由 `liuli world` 写成：大小和种子相同，世界就相同。",
    "Everything here is invented, and everything is known. ~~What is crossed out~~ is just as true, but no document says it. "
    "A habit has its frequency behind each value. Made by `liuli world`: the same size and seed give the same world.",
)
_FLOOR = Term(
    "一篇文章平均有 {bytes:.1f} 字节、{choices:.1f} 次选择，代价 {nats:.2f} 纳特：除非碰巧，任何模型都不会低于"
    " **{bits:.4f} 比特/字节**。",
    "A document has on average {bytes:.1f} bytes and {choices:.1f} choices, and costs {nats:.2f} nats: no model can stay below "
    "**{bits:.4f} bits/byte**, but by luck.",
)
_CHOICES = Term("选择的种类 | 每篇 | 每次的纳特", "kind of choice | a document | nats each")
_DOCUMENTS = Term("几篇文章", "Some documents")


def readme_lines(world: World) -> Iterator[str]:
    """The lines of the README."""
    yield f"# {_both(world, _TITLE)}\n"
    for code in _codes(world):
        lang = getattr(_LANGS[world.lang], code)
        yield getattr(_SETTINGS, code).format(size=world.size, seed=world.seed, lang=lang)
        yield getattr(_EXPLAINED, code) + "\n"
    yield from _floor(world)
    yield f"## {_both(world, _DOCUMENTS)}"
    for document in world.documents(12):
        yield f"\n> {document}"
    for kind, entities in world.facts.entities.items():
        yield f"\n## {_both(world, _HEADINGS[kind])}\n"
        yield from _table(world, kind, entities)


def _floor(world: World) -> Iterator[str]:
    floor = world.floor
    numbers = {"bytes": floor.bytes, "bits": floor.bits_per_byte}
    numbers |= {"nats": sum(floor.nats.values()), "choices": sum(floor.choices.values())}
    for code in _codes(world):
        yield getattr(_FLOOR, code).format(**numbers) + "\n"
    headings = zip(*(getattr(_CHOICES, code).split(" | ") for code in _codes(world)), strict=True)
    yield f"| {' | '.join(map(' '.join, headings))} |"
    yield "|---|---|---|"
    for kind, number in floor.choices.items():
        yield f"| {_both(world, _KINDS[kind])} | {number:.2f} | {floor.nats[kind] / number:.2f} |"
    yield ""


def _table(world: World, kind: EntityKind, entities: tuple[Entity, ...]) -> Iterator[str]:
    """One line an entity, one column an attribute; all prices of a shop in one."""
    columns = list(dict.fromkeys(map(attribute, FACTS[kind] + HABITS[kind])))
    yield f"| {' | '.join(_both(world, _COLUMNS[column]) for column in ('name', *columns))} |"
    yield "|---" * (len(columns) + 1) + "|"
    for entity in entities:
        cells = [_cell(world, entity, column) for column in columns]
        yield f"| {_both(world, entity.name)} | {' | '.join(cells)} |"


def _cell(world: World, entity: Entity, column: str) -> str:
    comma = "，" if world.lang == "zh" else ", "
    if column in entity.habits:
        values = entity.habits[column]
        total = sum(values.values())
        return comma.join(f"{_both(world, value)} {weight / total:.0%}" for value, weight in values.items())
    shown = []
    for fact in entity.facts:
        if attribute(fact) == column:
            goods = [_both(world, good) for good in lexicon.GOODS if fact == f"price of {good.en}"]
            text = " ".join([*goods, _both(world, entity.facts[fact])])
            shown.append(f"~~{text}~~" if fact in entity.untold else text)
    return comma.join(shown)


def _codes(world: World) -> tuple[Code, ...]:
    codes: tuple[Code, ...] = ("zh", "en")
    return tuple(code for code in codes if world.lang in (code, "both"))


def _both(world: World, term: Term) -> str:
    """In the world's languages, once where they agree."""
    return " ".join(dict.fromkeys(getattr(term, code) for code in _codes(world)))
