"""Amounts, numbers, times and addresses, with and without a Duckling server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from bot.errors import ConfigError
from bot.messages import Entity, Parse
from bot.nlu.duckling_entity_extractor import DucklingEntityExtractor
from bot.nlu.languages import detect_language
from bot.nlu.numerals import find_numerals
from bot.nlu.quantities import find_quantities

TUESDAY = datetime(2026, 11, 24, 16, 30, tzinfo=UTC)


def _found(text: str, **options: Any) -> list[tuple[str, str, Any]]:
    options.setdefault("language", detect_language(text, ["en", "zh"]))
    options.setdefault("regions", ("GB", "CN"))
    return [(q.dimension, text[q.start : q.end], q.value) for q in find_quantities(text, now=TUESDAY, **options)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,250.50", [1250.5]),
        ("1.5k and 2 million", [1500, 2_000_000]),
        ("two hundred and fifty", [250]),
        ("twenty-five thousand three hundred and one", [25301]),
        ("half a million", [500_000]),
        ("five and six", [5, 6]),
        ("one two three", [1, 2, 3]),
        ("-5", [-5]),
        ("send minus 5 pounds", [-5]),
        ("ten minus five", [10, 5]),
        ("负五十", [-50]),
        ("the blue one", []),
        ("make it one", [1]),
        ("a card and a pin", []),
        ("sort code 12-34-56, room B12", []),
        ("三千二", [3200]),
        ("两百五", [250]),
        ("二百零五", [205]),
        ("一亿三千万", [130_000_000]),
        ("1.2万", [12_000]),
        ("1万2千", [12_000]),
        ("二〇二六", [2026]),
        ("三点五", [3.5]),
        ("万一丢了一下怎么办", []),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, numbers: list[float]) -> None:
    assert [numeral.value for numeral in find_numerals(text) if not numeral.doubtful] == numbers


@pytest.mark.parametrize(
    ("text", "words", "value", "unit"),
    [
        ("send £20 to Bob", "£20", 20, "GBP"),
        ("20 bucks", "20 bucks", 20, "USD"),
        ("fifty quid please", "fifty quid", 50, "GBP"),
        ("a hundred euros", "a hundred euros", 100, "EUR"),
        ("£1.5k", "£1.5k", 1500, "GBP"),
        ("USD 300", "USD 300", 300, "USD"),
        ("50p", "50p", 0.5, "GBP"),
        ("£5 and 20 pence", "£5 and 20 pence", 5.2, "GBP"),
        ("五百块", "五百块", 500, "CNY"),
        ("转三千二百元给小明", "三千二百元", 3200, "CNY"),
        ("人民币五百", "人民币五百", 500, "CNY"),
        ("100美元", "100美元", 100, "USD"),
        ("五块五", "五块五", 5.5, "CNY"),
        ("¥300", "¥300", 300, "CNY"),
    ],
)
def test_an_amount_has_a_value_and_a_currency(text: str, words: str, value: float, unit: str) -> None:
    [amount] = find_quantities(text, now=TUESDAY, language="zh" if "¥" in text else None)
    assert (amount.dimension, text[amount.start : amount.end], amount.value) == ("amount-of-money", words, value)
    assert amount.info == {"value": value, "type": "value", "unit": unit}


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("next friday", "2026-11-27T00:00"),
        ("last friday", "2026-11-20T00:00"),
        ("tomorrow at 5pm", "2026-11-25T17:00"),
        ("5:15 pm tomorrow", "2026-11-25T17:15"),
        ("3 days ago", "2026-11-21T00:00"),
        ("in two weeks", "2026-12-08T00:00"),
        ("12th of March 2026", "2026-03-12T00:00"),
        ("March 12", "2027-03-12T00:00"),
        ("12/03/2026", "2026-03-12T00:00"),
        ("2026-03-12", "2026-03-12T00:00"),
        ("half past 7", "2026-11-25T07:30"),
        ("下周五", "2026-12-04T00:00"),
        ("周五", "2026-11-27T00:00"),
        ("明天下午三点半", "2026-11-25T15:30"),
        ("昨天", "2026-11-23T00:00"),
        ("二〇二六年三月五日", "2026-03-05T00:00"),
        ("下个月5号", "2026-12-05T00:00"),
        ("三天前", "2026-11-21T00:00"),
    ],
)
def test_a_time_is_an_iso_string(text: str, day: str) -> None:
    assert _found(text) == [("time", text, f"{day}:00.000+00:00")]


@pytest.mark.parametrize(
    ("text", "begin", "until"),
    [
        ("last month", "2026-10-01", "2026-11-01"),
        ("this weekend", "2026-11-28", "2026-11-30"),
        ("last 3 months", "2026-08-25", "2026-11-25"),
        ("1 March 2026 to 5 March 2026", "2026-03-01", "2026-03-06"),
        ("上个月", "2026-10-01", "2026-11-01"),
        ("上周", "2026-11-16", "2026-11-23"),
        ("去年十二月", "2025-12-01", "2026-01-01"),
        ("最近7天", "2026-11-18", "2026-11-25"),
    ],
)
def test_a_period_has_a_from_and_a_to(text: str, begin: str, until: str) -> None:
    [(dimension, _, value)] = _found(text)
    assert dimension == "time"
    assert value == {"from": f"{begin}T00:00:00.000+00:00", "to": f"{until}T00:00:00.000+00:00"}


@pytest.mark.parametrize("text", ["I may go", "he sat down", "有一点问题", "the 99/99/2026", "20-45-67", "转3月500块"])
def test_what_only_looks_like_a_day_is_none(text: str) -> None:
    assert [words for dimension, words, _ in _found(text) if dimension == "time"] == []


def test_the_locale_says_which_number_is_the_month() -> None:
    parse = Parse("on 03/12/2026", language="en")
    DucklingEntityExtractor(locale="en_US").parse([parse])
    DucklingEntityExtractor(locale="en_GB").parse([parse])
    assert [entity.value[:10] for entity in parse.entities] == ["2026-03-12", "2026-12-03"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call 07911 123456", [("phone-number", "07911 123456", "+447911123456")]),
        ("call +1 202 555 0143", [("phone-number", "+1 202 555 0143", "+12025550143")]),
        ("13800138000", [("phone-number", "13800138000", "+8613800138000")]),
        ("mail a.b+c@example.com.", [("email", "a.b+c@example.com", "a.b+c@example.com")]),
        ("see https://a.com/b?c=1.", [("url", "https://a.com/b?c=1", "https://a.com/b?c=1")]),
        ("for 2 weeks", [("duration", "2 weeks", 2)]),
        ("半小时", [("duration", "半小时", 0.5)]),
        ("the second card", [("ordinal", "second", 2)]),
        ("wait a second", [("duration", "a second", 1)]),
        ("第二个", [("ordinal", "第二", 2)]),
        ("500", [("number", "500", 500)]),
        ("hello, where is my card", []),
        ("我的卡在哪里", []),
        ("I won 5 games", [("number", "5", 5)]),
    ],
)
def test_each_dimension_is_found(text: str, expected: list[tuple[str, str, Any]]) -> None:
    assert _found(text) == expected


def test_readings_do_not_overlap_and_only_wanted_dimensions_compete() -> None:
    text = "pay £20 in 2 weeks"
    assert [dimension for dimension, _, _ in _found(text)] == ["amount-of-money", "time"]
    assert _found(text, dimensions=("number",)) == [("number", "20", 20), ("number", "2", 2)]


@pytest.mark.parametrize("text", ["9" * 100_000, "1/" * 50_000, "a@" * 50_000, "五百块" * 30_000, "\x00", "", "½٣"])
def test_hostile_text_is_read_without_harm(text: str) -> None:
    parse = Parse(text)
    DucklingEntityExtractor(languages=["en", "zh"]).parse([parse])
    assert all(entity.end <= 5_000 for entity in parse.entities)


def test_the_entity_has_rasas_shape() -> None:
    parse = Parse("send £20", language="en")
    DucklingEntityExtractor(dimensions=["amount-of-money"], timezone="Europe/London").parse([parse])
    assert [entity.to_json() for entity in parse.entities] == [
        {
            "entity": "amount-of-money",
            "start": 5,
            "end": 8,
            "value": 20,
            "confidence_entity": 1.0,
            "extractor": "DucklingEntityExtractor",
            "additional_info": {"value": 20, "type": "value", "unit": "GBP"},
        }
    ]


def test_another_language_reads_its_dates() -> None:
    [(dimension, words, value)] = _found("am 12. März 2027 bitte", language="de")
    assert (dimension, value) == ("time", "2027-03-12T00:00:00.000+00:00")
    assert "12. März 2027" in words


def test_an_unknown_timezone_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="no timezone 'Mars/Base'"):
        DucklingEntityExtractor(timezone="Mars/Base")


# ---- with a server -------------------------------------------------------------------------------


class _Duckling(BaseHTTPRequestHandler):
    """Answers as Duckling's own server does, to a form at /parse."""

    requests: list[dict[str, list[str]]]
    status = 200

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        type(self).requests.append(form)
        ends = {"from": {"value": "2026-01-01", "grain": "day"}, "to": {"value": "2026-02-01", "grain": "day"}}
        found = [
            {"body": "20", "start": 4, "end": 6, "dim": "number", "value": {"type": "value", "value": 20}},
            {"body": "then", "start": 7, "end": 11, "dim": "time", "value": {"type": "interval", **ends}},
        ]
        self.send_response(self.status if self.path == "/parse" else 404)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[_Duckling]]]:
    handler = type("Handler", (_Duckling,), {"requests": []})
    httpd = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}", handler
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def _parsed(extractor: DucklingEntityExtractor) -> list[Entity]:
    parse = Parse("pay 20 then", language="en")
    extractor.parse([parse])
    return parse.entities


def test_a_servers_answer_is_taken_as_it_is(server: tuple[str, type[_Duckling]]) -> None:
    url, handler = server
    found = _parsed(DucklingEntityExtractor(url=f"{url}/", locale="en_GB", timezone="Europe/London"))
    assert [entity.value for entity in found] == [20, {"to": "2026-02-01", "from": "2026-01-01"}]
    [form] = handler.requests
    assert (form["text"], form["locale"], form["tz"], form["dims"]) == (
        ["pay 20 then"],
        ["en_GB"],
        ["Europe/London"],
        ["null"],
    )


def test_a_failing_server_is_replaced_and_then_left_alone(server: tuple[str, type[_Duckling]]) -> None:
    url, handler = server
    handler.status = 500
    extractor = DucklingEntityExtractor(url=url)
    assert [entity.value for entity in _parsed(extractor) + _parsed(extractor)] == [20, 20]
    assert len(handler.requests) == 1


def test_an_absent_server_is_replaced() -> None:
    assert [entity.value for entity in _parsed(DucklingEntityExtractor(url="http://127.0.0.1:9", timeout=1))] == [20]


@pytest.mark.parametrize("text", ["一" * 30, "九" * 21, "九千亿亿亿亿", "转九亿亿亿亿块"])
def test_a_number_beyond_all_measure_can_be_stored(text):
    import orjson

    parse = Parse(text, language="zh")
    DucklingEntityExtractor(languages=("zh",)).parse([parse])
    orjson.dumps(parse.to_json())
