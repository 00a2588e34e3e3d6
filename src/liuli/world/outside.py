"""What is in no world: names that nobody there has heard of, and matters of which nobody there speaks.

Friends ask an assistant about themselves, about great cities, and what two and two are. It was trained on one small place, so
it has to say that it does not know; otherwise it answers with somebody else's facts. Each list has a part that no conversation
uses, for the evaluation.
"""

from collections.abc import Collection
from functools import cache
from typing import TypeVar

from liuli.world import lexicon
from liuli.world.facts import Dice, EntityKind
from liuli.world.language import Code
from liuli.world.lexicon import Term, terms

T = TypeVar("T")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


KEPT = 5  # every fifth entry of a list is kept for the evaluation

FAMILY_NAMES = (
    *lexicon.FAMILY_NAMES,
    *terms("王 Wang, 刘 Liu, 周 Zhou, 黄 Huang, 徐 Xu, 胡 Hu, 朱 Zhu, 高 Gao, 郭 Guo, 何 He, 林 Lin, 郑 Zheng, 唐 Tang"),
)
# Alone after a family name, or after 小, 阿, 老 and 大.
SYLLABLES = terms(
    "二 Er, 伟 Wei, 娜 Na, 敏 Min, 静 Jing, 丽 Li, 磊 Lei, 洋 Yang, 艳 Yan, 杰 Jie, 娟 Juan, 涛 Tao, 超 Chao, 霞 Xia, "
    "平 Ping, 刚 Gang, 英 Ying, 华 Hua, 玉 Yu, 飞 Fei, 鹏 Peng, 辉 Hui, 波 Bo, 斌 Bin, 浩 Hao, 宇 Yu, 轩 Xuan, 博 Bo, "
    "睿 Rui, 欣 Xin, 怡 Yi, 佳 Jia, 琪 Qi, 雨 Yu, 婷 Ting, 慧 Hui, 颖 Ying, 琳 Lin, 晶 Jing, 鑫 Xin, 旭 Xu, 凯 Kai, "
    "亮 Liang, 峰 Feng, 光 Guang, 名 Ming, 鸣 Ming, 君 Jun, 俊 Jun, 洪 Hong, 宏 Hong, 影 Ying, 方 Fang, 学 Xue, 王 Wang, "
    "李 Li, 张 Zhang, 刘 Liu, 陈 Chen, 赵 Zhao, 黄 Huang, 吴 Wu, 周 Zhou, 徐 Xu, 三 San, 五 Wu, 六 Liu, 黑 Hei, 白 Bai, "
    "兰 Lan, 花 Hua, 云 Yun, 凤 Feng, 鱼 Yu, 鹿 Lu, 熊 Xiong, 猴 Hou, 文 Wen, 武 Wu, 安 An, 宁 Ning, 康 Kang, 健 Jian, "
    "乐 Le, 新 Xin, 燕 Yan, 菲 Fei, 薇 Wei, 倩 Qian, 雷 Lei, 豪 Hao, 志 Zhi, 成 Cheng, 栋 Dong"
)
GIVEN_NAMES = terms(
    "小二 Xiaoer, 小明 Xiaoming, 小红 Xiaohong, 小丽 Xiaoli, 小龙 Xiaolong, 大牛 Daniu, 大力 Dali, 志强 Zhiqiang, "
    "建华 Jianhua, 建军 Jianjun, 建平 Jianping, 丽华 Lihua, 丽娟 Lijuan, 国庆 Guoqing, 国强 Guoqiang, 国华 Guohua, "
    "婷婷 Tingting, 丹丹 Dandan, 媛媛 Yuanyuan, 芳芳 Fangfang, 晓红 Xiaohong, 晓明 Xiaoming, 晓峰 Xiaofeng, 海燕 Haiyan, "
    "海涛 Haitao, 海波 Haibo, 春梅 Chunmei, 春花 Chunhua, 秀英 Xiuying, 秀兰 Xiulan, 桂花 Guihua, 桂英 Guiying, "
    "玉兰 Yulan, 玉梅 Yumei, 淑芬 Shufen, 淑珍 Shuzhen, 雪松 Xuesong, 文杰 Wenjie, 文博 Wenbo, 文轩 Wenxuan, 子轩 Zixuan, "
    "子涵 Zihan, 梓萱 Zixuan, 雨桐 Yutong, 雨轩 Yuxuan, 欣怡 Xinyi, 欣悦 Xinyue, 诗涵 Shihan, 浩然 Haoran, 浩宇 Haoyu, "
    "宇航 Yuhang, 一诺 Yinuo, 佳琪 Jiaqi, 佳慧 Jiahui, 思远 Siyuan, 思思 Sisi, 梦瑶 Mengyao, 梦洁 Mengjie, 俊杰 Junjie, "
    "俊熙 Junxi, 天宇 Tianyu, 天天 Tiantian, 永强 Yongqiang, 永福 Yongfu, 德华 Dehua, 学友 Xueyou, 润之 Runzhi, 树人 Shuren"
)
TITLES = terms(
    "先生 Mr, 老师 Teacher, 阿姨 Aunt, 医生 Doctor, 老板 Boss, 师傅 Master, 太太 Mrs, 小姐 Miss, 大爷 Old Mr, 奶奶 Old Mrs"
)
WESTERN = _words(
    "Peter Anna Tom Mary John Lucy Jack Emma David Sarah Mike Lisa James Laura Robert Linda Paul Kate Mark Julia George Alice "
    "Daniel Sophie Thomas Nina Martin Eva Oliver Grace Harry Ruby Leo Mia Max Ella Sam Chloe Ben Amy Alex Zoe Adam Rose Luke "
    "Helen Simon Jane Frank Carol Henry Diana Oscar Vera Felix Clara Hugo Irene Victor Nora Walter Olga Bob Sue Bill Ann Jim "
    "Betty Joe Wendy Ted Molly Fred Daisy Charlie Lily Jerry Ivy Kevin Tina Brian Rita Steve Paula Eric Maria Ivan Natasha "
    "Carlos Elena Pierre Ingrid Ahmed Fatima Hans Greta Yuki Kenji Raj Priya"
)
SURNAMES = _words(
    "Smith Brown Jones Miller Taylor Wilson Clark Baker Hill Green Young King Wright Scott Adams Nelson Carter Parker Cook "
    "Bell Ward Gray Stone Fox Wood"
)
# Real ones, which every friend knows, and some that only other stories have.
OTHERS: dict[EntityKind, tuple[Term, ...]] = {
    "town": terms(
        "北京 Beijing, 上海 Shanghai, 广州 Guangzhou, 深圳 Shenzhen, 西安 Xian, 成都 Chengdu, 杭州 Hangzhou, 南京 Nanjing, "
        "武汉 Wuhan, 香港 Hong Kong, 重庆 Chongqing, 天津 Tianjin, 苏州 Suzhou, 青岛 Qingdao, 大理 Dali, 拉萨 Lhasa, "
        "昆明 Kunming, 厦门 Xiamen, 巴黎 Paris, 伦敦 London, 东京 Tokyo, 纽约 New York, 柏林 Berlin, 罗马 Rome, "
        "莫斯科 Moscow, 悉尼 Sydney, 法国 France, 中国 China, 美国 America, 英国 England, 德国 Germany, 日本 Japan, "
        "河口 Rivermouth, 石门 Stonegate, 金湾 Goldbay, 东坡 Eastslope, 绿洲 Oasis, 黑水 Blackwater, 新桥 Newbridge, "
        "双塔 Twintowers"
    ),
    "animal": terms(
        "大象 the elephant, 老虎 the tiger, 狮子 the lion, 猴子 the monkey, 熊猫 the panda, 长颈鹿 the giraffe, 马 the horse, "
        "牛 the cow, 猪 the pig, 鸡 the hen, 蛇 the snake, 蜘蛛 the spider, 蚂蚁 the ant, 蝴蝶 the butterfly, "
        "企鹅 the penguin, 海豚 the dolphin, 鲸鱼 the whale, 狐狸 the fox, 狼 the wolf, 青蛙 the frog, 老鹰 the eagle, "
        "猫头鹰 the owl, 老鼠 the mouse, 骆驼 the camel, 恐龙 the dinosaur"
    ),
    "shop": terms(
        "蓝鲸铺 Whale House, 蜜蜂铺 Bee House, 松果铺 Pinecone House, 雪花铺 Snow House, 老街茶馆 Old Street Teahouse, "
        "同仁堂 Tongrentang, 麦当劳 McDonalds, 星巴克 Starbucks, 沃尔玛 Walmart, 新华书店 Xinhua Books, "
        "便利店 the corner shop, 图书馆 the library, 银行 the bank, 医院 the hospital, 邮局 the post office"
    ),
    "festival": terms(
        "春节 Chinese New Year, 中秋节 the Moon Festival, 国庆节 National Day, 圣诞节 Christmas, 万圣节 Halloween, "
        "情人节 Valentine's Day, 儿童节 Children's Day, 劳动节 Labour Day, 复活节 Easter, 感恩节 Thanksgiving, "
        "重阳节 the Double Ninth, 元宵节 the Lantern Festival, 母亲节 Mother's Day, "
        "啤酒节 the Beer Festival, 电影节 the Film Festival"
    ),
}
# How often each kind is asked about, of 100.
KINDS: dict[EntityKind, int] = {"person": 76, "town": 12, "animal": 6, "shop": 2, "festival": 4}
WESTERN_SHARES: dict[Code, float] = {"zh": 0.15, "en": 0.5}  # of the people
HIGHEST = 20  # number in a request


class Outside:
    """Names and matters that are not in the world.

    Args:
        known: all names in the world, in both languages; none of them is returned.
        kept: whether to use the part of each list that is kept for the evaluation, or the others.
    """

    def __init__(self, known: Collection[str], kept: bool = False):
        self._known, self._kept = known, kept

    def entity(self, dice: Dice, lang: Code) -> tuple[EntityKind, str]:
        """Somebody or something that nobody in the world knows: its kind and its name."""
        kind = dice.weighted(list(KINDS), list(KINDS.values()))
        while True:
            name = self._person(dice, lang) if kind == "person" else getattr(dice.choose(self._of(OTHERS[kind])), lang)
            if name not in self._known:
                return kind, name

    def matter(self, dice: Dice, matters: tuple[str, ...]) -> str:
        """A request or a remark; `{n}` stands for a number."""
        text = dice.choose(self._of(matters))
        while "{n}" in text:
            text = text.replace("{n}", str(dice.choose(range(1, HIGHEST + 1))), 1)
        return text

    def _person(self, dice: Dice, lang: Code) -> str:
        return self._western(dice, lang) if dice.uniform() < WESTERN_SHARES[lang] else self._chinese(dice, lang)

    def _western(self, dice: Dice, lang: Code) -> str:
        first = dice.choose(self._of(WESTERN))
        how = 0 if lang == "zh" else dice.weighted(range(3), (6, 2, 1))
        surname = dice.choose(self._of(SURNAMES))
        return (first, f"{first} {surname}", f"{dice.choose(('Mr', 'Mrs', 'Miss', 'Dr', 'Uncle', 'Aunt'))} {surname}")[how]

    def _chinese(self, dice: Dice, lang: Code) -> str:
        how = dice.weighted(range(4), (35, 25, 30, 10))
        family, syllable = dice.choose(FAMILY_NAMES), dice.choose(self._of(SYLLABLES))
        if how == 0:
            given = dice.choose(self._of(GIVEN_NAMES))
            return family.zh + given.zh if lang == "zh" else f"{family.en} {given.en}"
        if how == 1:
            return family.zh + syllable.zh if lang == "zh" else f"{family.en} {syllable.en}"
        if how == 2:
            return (
                dice.choose("小小小阿老大") + syllable.zh if lang == "zh" else dice.choose(("", "Xiao ", "Old ")) + syllable.en
            )
        title = dice.choose(self._of(TITLES))
        return family.zh + title.zh if lang == "zh" else f"{title.en} {family.en}"

    def _of(self, some: tuple[T, ...]) -> list[T]:
        return _part(some, self._kept)


@cache
def _part(some: tuple[T, ...], kept: bool) -> list[T]:
    """Every fifth entry, or the others; those that are the same in English stay together."""
    keys = [each.en if isinstance(each, Term) else each for each in some]
    return [each for each, key in zip(some, keys, strict=True) if (keys.index(key) % KEPT == KEPT - 1) == kept]
