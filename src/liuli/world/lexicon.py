"""Names and values of the world, each in both languages: what `facts.py` draws from.

Within a group no text begins another, in either language (`grammar.prefix_free` checks it): "1 March" and not "March 1".
"""

from typing import NamedTuple


class Term(NamedTuple):
    """One thing, as it is called in each language."""

    zh: str
    en: str


def terms(text: str) -> tuple[Term, ...]:
    """Pairs such as "猫 the cat, 狗 the dog": Chinese up to the first space."""
    return tuple(Term(*pair.strip().split(" ", 1)) for pair in text.split(","))


MEN = terms(
    "小明 Ming, 小军 Jun, 小虎 Hu, 小石 Shi, 小松 Song, 小北 Bei, 小田 Tian, 小舟 Zhou, 小枫 Feng, 阿宝 Bao, "
    "阿强 Qiang, 阿福 Fu, 阿龙 Long, 阿贵 Gui, 阿牛 Niu, 阿海 Hai, 阿来 Lai, 阿水 Shui, 阿旺 Wang, 阿根 Gen, "
    "李伯 Uncle Li, 赵叔 Uncle Zhao, 孙爷 Grandpa Sun, 老马 Old Ma, 老秦 Old Qin, 老唐 Old Tang, 大勇 Big Yong, "
    "乐乐 Lele, 毛毛 Maomao, 冬冬 Dongdong"
)
WOMEN = terms(
    "小红 Hong, 小莺 Ying, 小芳 Fang, 小雪 Xue, 小桃 Tao, 小竹 Zhu, 小麦 Mai, 小葵 Kui, 小杏 Xing, 小月 Yue, "
    "阿梅 Mei, 阿珍 Zhen, 阿秀 Xiu, 阿莲 Lian, 阿香 Xiang, 阿青 Qing, 阿巧 Qiao, 阿彩 Cai, 王婶 Auntie Wang, "
    "刘婶 Auntie Liu, 张嫂 Sister Zhang, 钱嫂 Sister Qian, 陈婆 Granny Chen, 郑婆 Granny Zheng, 豆豆 Doudou, "
    "圆圆 Yuanyuan, 果果 Guoguo, 朵朵 Duoduo, 铃铃 Lingling, 笑笑 Xiaoxiao"
)
# The people of a large world beyond these sixty have a family name and one of these: none is a short name from above.
FAMILY_NAMES = terms(
    "赵 Zhao, 钱 Qian, 孙 Sun, 李 Li, 吴 Wu, 陈 Chen, 蒋 Jiang, 沈 Shen, 韩 Han, 杨 Yang, 秦 Qin, 许 Xu, 张 Zhang, "
    "孔 Kong, 曹 Cao, 严 Yan, 金 Jin, 魏 Wei, 谢 Xie, 邹 Zou, 苏 Su, 潘 Pan, 葛 Ge, 范 Fan, 彭 Peng, 鲁 Lu, 马 Ma, "
    "苗 Miao, 任 Ren, 袁 Yuan, 柳 Liu, 罗 Luo, 倪 Ni, 汤 Tang, 滕 Teng, 殷 Yin, 郝 Hao, 安 An, 常 Chang, 齐 Qi, "
    "康 Kang, 顾 Gu, 孟 Meng, 姚 Yao, 邵 Shao, 戴 Dai, 董 Dong"
)
GIVEN_NAMES_OF_MEN = terms(
    "建国 Jianguo, 晓东 Xiaodong, 志远 Zhiyuan, 子安 Zian, 长青 Changqing, 大海 Dahai, 天佑 Tianyou, 少华 Shaohua, "
    "立春 Lichun, 一鸣 Yiming"
)
GIVEN_NAMES_OF_WOMEN = terms(
    "明月 Mingyue, 秋水 Qiushui, 文静 Wenjing, 春燕 Chunyan, 玉珠 Yuzhu, 思雨 Siyu, 若兰 Ruolan, 雪梅 Xuemei, "
    "小满 Xiaoman, 晚晴 Wanqing"
)


def full_names() -> list[Term]:
    """Every family name with every given name."""
    given = (*GIVEN_NAMES_OF_MEN, *GIVEN_NAMES_OF_WOMEN)
    return [Term(family.zh + name.zh, f"{family.en} {name.en}") for family in FAMILY_NAMES for name in given]


JOBS = terms(
    "木匠 a carpenter, 铁匠 a blacksmith, 裁缝 a tailor, 渔夫 a fisher, 邮差 a letter carrier, 教书匠 a teacher, "
    "医生 a doctor, 面包师 a baker, 园丁 a gardener, 画师 a painter, 水手 a sailor, 钟表匠 a watchmaker, "
    "养蜂人 a beekeeper, 伞匠 an umbrella maker, 茶农 a tea grower, 说书人 a storyteller, 修车匠 a bicycle mender, "
    "牧羊人 a shepherd"
)
FOODS = terms(
    "饺子 dumplings, 面条 noodles, 豆腐 tofu, 红烧肉 braised pork, 烤红薯 sweet potatoes, 葱油饼 scallion pancakes, "
    "糖葫芦 candied haws, 西瓜 watermelon, 汤圆 rice balls, 包子 steamed buns, 炒栗子 roast chestnuts, 荔枝 lychees, "
    "腊肠 sausages, 鸡蛋羹 egg custard, 草莓 strawberries, 蘑菇 mushrooms"
)
MUSIC = terms(
    "吹笛子 the flute, 拉二胡 the erhu, 吹口琴 the harmonica, 弹古筝 the zither, 打手鼓 the hand drum, "
    "拉小提琴 the violin, 弹吉他 the guitar, 弹琵琶 the lute, 吹唢呐 the horn, 拉手风琴 the accordion"
)
RIDES = terms(
    "过山车 the roller coaster, 大风车 the big windmill, 旋转木马 the carousel, 碰碰车 the bumper cars, "
    "摩天轮 the Ferris wheel, 海盗船 the pirate ship, 小火车 the little train, 秋千椅 the flying chairs"
)
DRINKS = terms(
    "绿茶 green tea, 豆浆 soy milk, 酸梅汤 plum juice, 姜汤 ginger soup, 米酒 rice wine, 菊花茶 flower tea, "
    "热可可 hot cocoa, 柠檬水 lemonade"
)

TOWNS = terms(
    "青溪 Clearbrook, 白石 Whitestone, 柳湾 Willowbend, 云岭 Cloudridge, 梅庄 Plumfield, 桃源 Peachspring, "
    "南浦 Southwater, 北关 Northgate, 松林 Pinewood, 月港 Moonharbor, 茶山 Teahill, 花桥 Flowerbridge, "
    "铁炉 Ironforge, 盐井 Saltwell, 鹿鸣 Deercall, 鹤洲 Craneisle, 红叶 Redleaf, 沙洲 Sandisle, 麦垛 Haystack, "
    "风口 Windgap, 龙潭 Dragonpool, 雁门 Goosegate, 枣林 Datewood, 落霞 Afterglow"
)
PROVINCES = terms("东川省 Eastvale, 西岭省 Westridge, 海州省 Seashire, 湖阳省 Lakeshire, 山南省 Southfell")
RIVERS = terms(
    "清水河 the Clearwater, 银沙河 the Silversand, 鹿儿河 the Deer River, 柳叶河 the Willowleaf, "
    "大青河 the Great Green, 月牙河 the Crescent, 龙须河 the Dragonbeard, 石头河 the Stony River"
)
DISHES = terms(
    "糖醋鱼 sweet-and-sour fish, 荷叶饭 lotus-leaf rice, 酱鸭 soy duck, 桂花糕 osmanthus cake, 牛肉面 beef soup, "
    "腌笃鲜 bamboo stew, 油焖笋 braised bamboo shoots, 梅菜肉 pickle pork, 莲子粥 lotus porridge, 烤羊腿 roast lamb, "
    "泥鳅汤 loach soup, 野菜饼 herb cakes"
)
LANDMARKS = terms(
    "石拱桥 the stone bridge, 钟楼 the bell tower, 灯塔 the lighthouse, 老水车 the old water wheel, "
    "古井 the ancient well, 戏台 the opera stage, 大槐树 the great locust tree, 白塔 the white pagoda, "
    "渡口 the ferry landing, 书院 the old academy, 城墙 the town wall, 温泉 the hot spring"
)
WEEKDAYS = terms("周一 Monday, 周二 Tuesday, 周三 Wednesday, 周四 Thursday, 周五 Friday, 周六 Saturday, 周日 Sunday")
WEATHER = terms("晴天 sunshine, 小雨 drizzle, 大风 wind, 大雪 snow, 大雾 fog, 阴天 clouds")

SHOPS = terms(
    "灯笼铺 Lantern House, 燕子铺 Swallow House, 月亮铺 Moon House, 石榴铺 Pomegranate House, 松鼠铺 Squirrel House, "
    "云朵铺 Cloud House, 海螺铺 Conch House, 蜻蜓铺 Dragonfly House, 橘子铺 Orange House, 星星铺 Star House, "
    "鲤鱼铺 Carp House, 葫芦铺 Gourd House"
)
GOODS = terms(
    "一把伞 an umbrella, 一盏灯 a lamp, 一壶茶 a pot of tea, 一本书 a book, 一束花 a bunch of flowers, 一支笔 a pen, "
    "一顶草帽 a straw hat, 一袋米 a bag of rice, 一双布鞋 a pair of cloth shoes, 一只风筝 a kite, "
    "一罐蜂蜜 a jar of honey, 一条围巾 a scarf"
)

# A festival's name, the months in which it may be, and the customs that go with that season.
FESTIVALS = (
    (Term("灯节", "Lantern Night"), (1, 2), terms("放河灯 float lamps on the river, 猜灯谜 guess riddles")),
    (Term("花朝节", "Flower Day"), (3, 4), terms("种一棵树 plant a tree, 放风筝 fly kites")),
    (Term("龙舟节", "Dragon Boat Day"), (5, 6), terms("划龙舟 race dragon boats, 挂艾草 hang up mugwort")),
    (Term("萤火节", "Firefly Night"), (7, 8), terms("捉迷藏 play hide-and-seek, 数星星 count the stars")),
    (Term("丰收节", "Harvest Day"), (9, 10), terms("吃长桌饭 dine at one long table, 晒新谷 dry the new rice")),
    (Term("雪灯节", "Snow Lamp Night"), (12,), terms("堆雪狮子 build snow lions, 打雪仗 throw snowballs")),
)
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
# By month, 1 to 12.
MONTH_DATES = {
    month: tuple(Term(f"{month}月{day}日", f"{day} {name}") for day in range(1, days + 1))
    for month, (name, days) in enumerate(zip(MONTHS, MONTH_DAYS, strict=True), 1)
}
DATES = tuple(date for dates in MONTH_DATES.values() for date in dates)
TIMES = tuple(Term(f"{hour}:{minute:02}", f"{hour}:{minute:02}") for hour in range(6, 19) for minute in range(0, 60, 5))
PRICES = tuple(Term(f"{price}元", f"{price} yuan") for price in range(2, 61))

# Animals are the same in every world: name; as somebody's pet; legs; what it says; what it eats.
ANIMALS = (
    terms("猫 the cat, 一只猫 a cat, 四条 four, 喵喵 meow, 鱼干 dried fish"),
    terms("狗 the dog, 一条狗 a dog, 四条 four, 汪汪 woof, 骨头 bones"),
    terms("鹅 the goose, 一只鹅 a goose, 两条 two, 嘎嘎 honk, 菜叶 cabbage leaves"),
    terms("蟋蟀 the cricket, 一只蟋蟀 a cricket, 六条 six, 唧唧 chirp-chirp, 毛豆 green beans"),
    terms("兔子 the rabbit, 一只兔子 a rabbit, 四条 four, 咕咕 hmm-hmm, 胡萝卜 carrots"),
    terms("乌龟 the tortoise, 一只乌龟 a tortoise, 四条 four, 呼呼 puff-puff, 小虾 shrimps"),
    terms("鹦鹉 the parrot, 一只鹦鹉 a parrot, 两条 two, 你好 hello, 瓜子 sunflower seeds"),
    terms("山羊 the goat, 一头山羊 a goat, 四条 four, 咩咩 baa, 嫩草 young grass"),
    terms("喜鹊 the magpie, 一只喜鹊 a magpie, 两条 two, 喳喳 chak-chak, 蚯蚓 earthworms"),
    terms("刺猬 the hedgehog, 一只刺猬 a hedgehog, 四条 four, 哼哼 sniff-sniff, 野果 wild berries"),
    terms("毛驴 the donkey, 一头毛驴 a donkey, 四条 four, 昂昂 hee-haw, 干草 hay"),
    terms("鸭子 the duck, 一只鸭子 a duck, 两条 two, 呱呱 quack, 田螺 water snails"),
)
