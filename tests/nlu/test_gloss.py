import pytest

from bot.nlu.gloss import gloss, has_chinese, word_gloss


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我的账户余额是多少", {"account", "balance", "how", "much"}),
        ("怎么冻结信用卡", {"how", "freeze", "credit", "card"}),
        ("最近的自动取款机在哪里", {"ATM", "where"}),
        ("我想和人工客服说话", {"human", "agent", "speak"}),
        ("贷款利率是多少", {"loan", "interest", "rates"}),
        ("这笔交易不是我做的", {"deal", "not", "I"}),
        ("银行几点开门", {"bank", "time", "open"}),
        ("信用卡丢了", {"credit", "card", "lost"}),
        ("我上个月花了多少钱", {"last", "month", "spend", "money"}),
        ("我的卡被吞了怎么办", {"card", "swallowed", "what", "do"}),
        ("帮我转账给朋友", {"transfer", "money", "friend"}),
        ("為什麼轉賬失敗", {"why", "transfer", "money"}),
    ],
)
def test_the_gloss_of_a_question_has_the_english_words_that_matter(text, words):
    assert words <= set(gloss(text).split())


def test_what_is_not_chinese_stays():
    assert gloss("transfer 500") == "transfer 500"
    assert "500" in gloss("转500元").split()
    assert "Visa" in gloss("我的Visa卡").split()


def test_a_gloss_has_no_chinese_left():
    assert not has_chinese(gloss("魑魅魍魉的银行卡被自动柜员机吞掉了，请问怎么办呢？"))


def test_a_word_the_dictionary_lacks_is_read_by_its_longest_parts():
    assert {"bank", "card"} <= set(word_gloss("银行卡丢失险").split())


@pytest.mark.parametrize("word", ["王", "只", "不锈钢", "的", "张"])
def test_no_gloss_speaks_about_the_word_instead_of_translating_it(word):
    assert not any(note in word_gloss(word) for note in ("surname", "variant", "classifier", "CL:", "("))


def test_traditional_characters_read_like_simplified_ones():
    assert gloss("銀行轉賬") == gloss("银行转账")
