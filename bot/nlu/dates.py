"""Dates and times in English and Chinese messages ("next friday", 下周五, 12 March at 5pm, 上个月).

dateparser reads every other language. It is not used for these two because it knows neither how exact
an expression is (a day, a month) nor periods ("last month"), nor 下周五.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.nlu.numerals import ONES, chinese_number


@dataclass(frozen=True, slots=True)
class Moment:
    """Characters `start` up to `end` mean the time `begin`, or, with `until`, all from `begin` to before `until`.

    `grain` is how exact that is: second, minute, hour, day, week, month, quarter or year.
    """

    start: int
    end: int
    begin: datetime
    grain: str
    until: datetime | None = None


Meaning = tuple[datetime, str] | tuple[datetime, str, datetime]
Rule = tuple[re.Pattern[str], Callable[[re.Match[str], datetime], Meaning | None]]


def find_moments(text: str, language: str, now: datetime, *, day_first: bool = True) -> list[Moment]:
    """The times in `text`, in order and without overlap. `day_first`: 3/4 is the third of April.

    `now` carries the time zone of all results. What has no year, or only a weekday, lies ahead.
    """
    if language == "zh":
        dates, clocks, gap, to = _CHINESE_DATES, _CHINESE_CLOCKS, _CHINESE_GAP, _CHINESE_TO
        if not _CHINESE_GATE.search(text):
            return []
    elif language == "en":
        dates, clocks, gap, to = _ENGLISH_DATES, _ENGLISH_CLOCKS, _ENGLISH_GAP, _ENGLISH_TO
        if not _ENGLISH_GATE.search(text):
            return []
    else:
        return _by_dateparser(text, language, now, day_first)
    numeric = [(_NUMERIC_DATE, _numeric_date(day_first))]
    days = _apply([*dates, *numeric], text, now)
    times = [time for time in _apply(clocks, text, now) if all(_apart(time, day) for day in days)]
    return _join_ranges(_join_clocks(text, days, times, gap, now), text, to)


def _apply(rules: Sequence[Rule], text: str, now: datetime) -> list[Moment]:
    found: list[Moment] = []
    for pattern, meaning in rules:
        for match in pattern.finditer(text):
            try:
                value = meaning(match, now)
            except (ValueError, OverflowError, KeyError):  # 31 February, the year 99999, 半天前
                continue
            if value is not None:
                until = value[2] if len(value) == 3 else None
                found.append(Moment(match.start(), match.end(), value[0], value[1], until))
    kept: list[Moment] = []
    for moment in sorted(found, key=lambda moment: (moment.start - moment.end, moment.start)):
        if all(_apart(moment, other) for other in kept):
            kept.append(moment)
    return sorted(kept, key=lambda moment: moment.start)


def _apart(one: Moment, other: Moment) -> bool:
    return one.end <= other.start or other.end <= one.start


def _join_clocks(
    text: str, days: Sequence[Moment], clocks: Sequence[Moment], gap: re.Pattern[str], now: datetime
) -> list[Moment]:
    """A day and a time of day beside it are one moment; a time alone is today's, or tomorrow's once it has passed."""
    joined: list[Moment] = []
    free = list(clocks)
    for day in days:
        beside = next(
            (
                clock
                for clock in free
                if day.grain == "day"
                and not day.until
                and gap.fullmatch(text[min(day.end, clock.end) : max(day.start, clock.start)])
            ),
            None,
        )
        if beside is None:
            joined.append(day)
            continue
        free.remove(beside)
        move = day.begin - _midnight(now)
        joined.append(
            replace(
                beside,
                start=min(day.start, beside.start),
                end=max(day.end, beside.end),
                begin=beside.begin + move,
                until=beside.until + move if beside.until else None,
            )
        )
    for clock in free:
        has_passed = clock.until is None and clock.begin < now
        joined.append(replace(clock, begin=clock.begin + timedelta(days=1)) if has_passed else clock)
    return sorted(joined, key=lambda moment: moment.start)


def _join_ranges(moments: Sequence[Moment], text: str, to: re.Pattern[str]) -> list[Moment]:
    """Two moments with a "to" between them are the period from the first to the end of the second."""
    out: list[Moment] = []
    for moment in moments:
        if out and to.fullmatch(text[out[-1].end : moment.start]) and out[-1].begin < moment.begin:
            first = out.pop()
            until = moment.until or _shift(moment.begin, moment.grain, 1)
            out.append(replace(first, end=moment.end, until=until, grain=moment.grain))
        else:
            out.append(moment)
    return out


# ---- arithmetic ----------------------------------------------------------------------------------


def _midnight(when: datetime) -> datetime:
    return when.replace(hour=0, minute=0, second=0, microsecond=0)


def _shift(when: datetime, grain: str, n: int) -> datetime:
    """`n` grains later; the 31st becomes the last day of a shorter month."""
    months = {"month": 1, "quarter": 3, "year": 12}.get(grain)
    if months is None:
        return when + timedelta(**{f"{grain}s": n})
    year, month = divmod(when.year * 12 + when.month - 1 + months * n, 12)
    return when.replace(year=year, month=month + 1, day=min(when.day, monthrange(year, month + 1)[1]))


def _begin_of(when: datetime, grain: str) -> datetime:
    when = _midnight(when)
    match grain:
        case "week":
            return when - timedelta(days=when.weekday())
        case "month":
            return when.replace(day=1)
        case "quarter":
            return when.replace(day=1, month=when.month - (when.month - 1) % 3)
        case "year":
            return when.replace(day=1, month=1)
        case _:
            return when


def _whole(now: datetime, grain: str, n: int) -> Meaning:
    """The week, month… that lies `n` after the present one."""
    begin = _shift(_begin_of(now, grain), grain, n)
    return begin, grain, _shift(begin, grain, 1)


def _stretch(now: datetime, grain: str, n: int) -> Meaning:
    """The next `n` days, weeks…, or the last when `n` is negative; up to and with today, from today on."""
    if grain in ("second", "minute", "hour"):
        begin = now.replace(microsecond=0)
        other = _shift(begin, grain, n)
        return min(begin, other), grain, max(begin, other)
    today = _midnight(now)
    if n < 0:
        tomorrow = today + timedelta(days=1)
        return _shift(tomorrow, grain, n), "day", tomorrow
    return today, "day", _shift(today, grain, n)


def _away(now: datetime, grain: str, n: int) -> Meaning:
    """`n` days, weeks… from now: a day, or for hours and less the very time."""
    if grain in ("second", "minute", "hour"):
        return _shift(now.replace(microsecond=0), grain, n), "second" if grain == "second" else "minute"
    return _shift(_midnight(now), grain, n), "day"


def _day(now: datetime, n: int) -> Meaning:
    return _midnight(now) + timedelta(days=n), "day"


def _calendar_day(now: datetime, year: int | None, month: int, day: int) -> Meaning:
    """A day of the calendar; without a year, the next that comes."""
    if year is not None:
        return _midnight(now).replace(year=_full_year(year), month=month, day=day), "day"
    for ahead in range(9):  # 29 February may be eight years away
        try:
            when = _midnight(now).replace(year=now.year + ahead, month=month, day=day)
        except ValueError:
            continue
        if when >= _midnight(now):
            return when, "day"
    raise ValueError(f"no day {day} in month {month}")


def _day_of_month(now: datetime, day: int, month_offset: int | None = None) -> Meaning:
    """The next such day, or that of the month `month_offset` from the present one."""
    month = _shift(_begin_of(now, "month"), "month", month_offset or 0)
    when = month.replace(day=day)
    if month_offset is None and when < _midnight(now):
        when = _shift(month, "month", 1).replace(day=day)
    return when, "day"


def _calendar_month(now: datetime, year: int | None, month: int) -> Meaning:
    when = _begin_of(now, "year").replace(year=_full_year(year) if year is not None else now.year, month=month)
    if year is None and when < _begin_of(now, "month"):
        when = when.replace(year=when.year + 1)
    return when, "month", _shift(when, "month", 1)


def _full_year(year: int) -> int:
    return 2000 + year if year < 100 else year


def _numeric_date(day_first: bool) -> Callable[[re.Match[str], datetime], Meaning | None]:
    def meaning(match: re.Match[str], now: datetime) -> Meaning | None:
        if match["iso"]:
            return _calendar_day(now, int(match["iso"]), int(match["iso_month"]), int(match["iso_day"]))
        a, b, year = int(match["a"]), int(match["b"]), match["year"]
        if not year and match["separator"] != "/":
            return None  # 3.5 and 3-5 are more often something else
        day, month = (a, b) if (day_first or match["separator"] == ".") else (b, a)
        if month > 12:
            day, month = month, day
        return _calendar_day(now, int(year) if year else None, month, day)

    return meaning


_NUMERIC_DATE = re.compile(
    r"(?<![\w./-])(?:(?P<iso>(?:19|20)\d\d)(?P<mark>[-/.])(?P<iso_month>\d\d?)(?P=mark)(?P<iso_day>\d\d?)"
    r"|(?P<a>\d\d?)(?P<separator>[-/.])(?P<b>\d\d?)(?:(?P=separator)(?P<year>(?:19|20)\d\d|\d\d))?)(?![A-Za-z0-9]|[./-]\d)"
)

# ---- English -------------------------------------------------------------------------------------

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_FULL_MONTH = _MONTH.replace("|may|", "|").replace("mar(?:ch)?", "march")  # "may" and "mar" alone are other words
_DAY_NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKDAY = (
    r"(?P<weekday>mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?"
    r"|sat(?:urday)?|sun(?:day)?)"
)
_FULL_WEEKDAY = r"(?P<weekday>(?:mon|tues|wednes|thurs|fri|satur|sun)day)"
_DAY_NUMBER = r"(?P<day>[12]\d|3[01]|0?[1-9])(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_SMALL = {word: n for n, word in enumerate(list(ONES)[:13])} | {
    "a": 1,
    "an": 1,
    "couple": 2,
    "a couple": 2,
    "a couple of": 2,
    "couple of": 2,
    "few": 3,
    "a few": 3,
}
_COUNT = rf"(?P<n>\d{{1,4}}|{'|'.join(sorted(_SMALL, key=len, reverse=True))})"
_GRAIN = r"(?P<grain>second|minute|min|hour|day|week|month|quarter|year)s?"
_STEP = {"this": 0, "current": 0, "next": 1, "coming": 1, "following": 1, "last": -1, "past": -1, "previous": -1}


def _count(word: str) -> int:
    return int(word) if word.isdigit() else _SMALL[word.lower()]


def _grain(word: str) -> str:
    return "minute" if word.lower() == "min" else word.lower()


def _month(match: re.Match[str]) -> int:
    return _MONTH_NAMES.index(match["month"].lower()[:3]) + 1


def _year(match: re.Match[str]) -> int | None:
    return int(match["year"]) if match["year"] else None


def _english_weekday(match: re.Match[str], now: datetime) -> Meaning:
    """ "friday" and "next friday" are the coming one, "this friday" that of this week, "last friday" the one before."""
    weekday = _DAY_NAMES.index(match["weekday"].lower()[:3])
    step = (match["step"] or "").lower()
    ahead = (weekday - now.weekday()) % 7
    if step in ("last", "past", "previous"):
        return _day(now, ahead - 7)
    return _day(now, ahead or (7 if step in ("next", "coming", "following") else 0))


def _english_weekend(match: re.Match[str], now: datetime) -> Meaning:
    saturday = _begin_of(now, "week") + timedelta(days=5 + 7 * _STEP[match["step"].lower()])
    return saturday, "day", saturday + timedelta(days=2)


def _rule(pattern: str, meaning: Callable[[re.Match[str], datetime], Meaning | None]) -> Rule:
    return re.compile(pattern, re.IGNORECASE), meaning


_NAMED_DAYS = {
    "today": 0, "tonight": 0, "tomorrow": 1, "tmrw": 1, "yesterday": -1,
    "day after tomorrow": 2, "day before yesterday": -2,
}  # fmt: skip

_ENGLISH_DATES: list[Rule] = [
    _rule(
        r"\b(?:the )?(?P<name>day after tomorrow|day before yesterday|today|tomorrow|tmrw|yesterday)\b",
        lambda m, now: _day(now, _NAMED_DAYS[m["name"].lower()]),
    ),
    _rule(r"\b(?:right now|just now|now)\b", lambda m, now: (now.replace(microsecond=0), "second")),
    _rule(
        rf"\b(?:on )?(?:(?P<step>next|this|last|past|previous|coming|following) (?:week )?)?{_FULL_WEEKDAY}\b",
        _english_weekday,
    ),
    _rule(rf"\b(?:on |(?P<step>next|this|last|coming) ){_WEEKDAY}\b", lambda m, now: _english_weekday(m, now)),
    _rule(r"\b(?:the )?(?P<step>this|next|last|past|coming) weekend\b", _english_weekend),
    _rule(
        r"\b(?:the )?(?P<step>this|current|next|last|previous|past|coming|following) "
        r"(?P<grain>week|month|quarter|year)\b",
        lambda m, now: _whole(now, _grain(m["grain"]), _STEP[m["step"].lower()]),
    ),
    _rule(
        rf"\b(?:in |over |for )?(?:the )?(?P<step>last|past|previous|next|coming) {_COUNT} {_GRAIN}\b",
        lambda m, now: _stretch(now, _grain(m["grain"]), (_STEP[m["step"].lower()] or 1) * _count(m["n"])),
    ),
    _rule(rf"\b{_COUNT} {_GRAIN} ago\b", lambda m, now: _away(now, _grain(m["grain"]), -_count(m["n"]))),
    _rule(
        rf"\b(?:in {_COUNT} {_GRAIN}('? time)?\b)",
        lambda m, now: _away(now, _grain(m["grain"]), _count(m["n"])),
    ),
    _rule(
        rf"\b{_COUNT} {_GRAIN} (?:from now|from today|later)\b",
        lambda m, now: _away(now, _grain(m["grain"]), _count(m["n"])),
    ),
    _rule(
        rf"\b(?:on )?(?:the )?{_DAY_NUMBER}[ -]?(?:of )?{_MONTH}(?:,?[ -]{_YEAR}\b)?",
        lambda m, now: _calendar_day(now, _year(m), _month(m), int(m["day"])),
    ),
    _rule(
        rf"\b(?:on )?{_MONTH} (?:the )?{_DAY_NUMBER}\b(?:,? {_YEAR}\b)?",
        lambda m, now: _calendar_day(now, _year(m), _month(m), int(m["day"])),
    ),
    _rule(rf"\b(?:in )?{_MONTH},? {_YEAR}\b", lambda m, now: _calendar_month(now, _year(m), _month(m))),
    _rule(
        rf"\b(?:in |of |for |from |(?P<step>last|this|next|since) )?{_FULL_MONTH}",
        lambda m, now: _english_month(m, now),
    ),
    _rule(r"\bin may\b", lambda m, now: _calendar_month(now, None, 5)),
    _rule(r"\bon the (?P<day>\d\d?)(?:st|nd|rd|th)\b", lambda m, now: _day_of_month(now, int(m["day"]))),
    _rule(
        rf"\b(?:in|during|since) {_YEAR}\b",
        lambda m, now: _whole(now, "year", int(m["year"]) - now.year),
    ),
]


def _english_month(match: re.Match[str], now: datetime) -> Meaning:
    ahead = _calendar_month(now, None, _month(match))
    if (match["step"] or "").lower() not in ("last", "since"):
        return ahead
    begin = _shift(ahead[0], "year", -1)
    return begin, "month", _shift(begin, "month", 1)


def _at(now: datetime, hour: int, minute: int = 0, grain: str = "minute") -> Meaning:
    return _midnight(now).replace(hour=hour, minute=minute), grain


def _part_of_day(now: datetime, first: int, last: int) -> Meaning:
    midnight = _midnight(now)
    return midnight + timedelta(hours=first), "hour", midnight + timedelta(hours=last)


def _english_clock(match: re.Match[str], now: datetime) -> Meaning | None:
    hour, minute = int(match["hour"]), int(match["minute"] or 0)
    half = (match["half"] or "").lower().replace(".", "")
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    return _at(now, hour, minute, "minute" if match["minute"] else "hour")


def _english_past(match: re.Match[str], now: datetime) -> Meaning:
    minutes = {"half": 30, "quarter": 15, "a quarter": 15}.get(match["part"].lower()) or int(match["part"])
    hour = _count(match["hour"])
    begin = _midnight(now) + timedelta(hours=hour, minutes=minutes if match["way"].lower() == "past" else -minutes)
    return begin, "minute"


_DAY_PARTS = {"morning": (4, 12), "afternoon": (12, 18), "evening": (18, 24), "night": (18, 24)}

_ENGLISH_CLOCKS: list[Rule] = [
    _rule(
        r"\b(?:at |by |around )?(?P<hour>[01]?\d|2[0-3])(?:[:.](?P<minute>[0-5]\d))? ?(?P<half>[ap]\.?m\b\.?)",
        _english_clock,
    ),
    _rule(r"(?<![\d:.])\b(?:at )?(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)\b(?P<half>)(?!:)", _english_clock),
    _rule(r"\bat (?P<hour>1?\d|2[0-3])(?P<minute>)(?P<half>)(?: o'?clock)?\b(?![.,:/%]?\d| ?%)", _english_clock),
    _rule(r"\b(?P<hour>1?\d|2[0-3])(?P<minute>)(?P<half>) o'?clock\b", _english_clock),
    _rule(
        r"\b(?:at )?(?P<part>half|a quarter|quarter|[1-5]?\d) (?P<way>past|to) "
        rf"(?P<hour>1[0-2]|[1-9]|{'|'.join(list(_SMALL)[1:13])})\b",
        _english_past,
    ),
    _rule(r"\b(?:at )?(?:noon|midday)\b", lambda m, now: _at(now, 12, 0, "hour")),
    _rule(r"\b(?:at )?midnight\b", lambda m, now: _at(now + timedelta(days=1), 0, 0, "hour")),
    _rule(r"\btonight\b", lambda m, now: _part_of_day(now, 18, 24)),
    _rule(
        r"\b(?:this |in the |on the )?(?P<part>morning|afternoon|evening)\b|\b(?<=tomorrow |esterday )night\b",
        lambda m, now: _part_of_day(now, *_DAY_PARTS[(m["part"] or "night").lower()]),
    ),
    _rule(r"\blast night\b", lambda m, now: _part_of_day(now - timedelta(days=1), 18, 24)),
]
_ENGLISH_GAP = re.compile(r"\s*,?\s*(?:(?:at|on|in the)\s+)?", re.IGNORECASE)
_ENGLISH_TO = re.compile(r"\s*(?:to|until|till|through|and|-|–)\s*", re.IGNORECASE)
_ENGLISH_GATE = re.compile(
    r"\d[/.:-]\d|\d(?:st|nd|rd|th)\b|\d ?[ap]\.?m|day|\bnow\b|tonight|tomorrow|tmrw|week|month|year|quarter|ago\b"
    r"|hour|minute|o'?clock|noon|midnight|morning|evening|\bnight|\bat \d|(?:past|to) (?:\d|[a-z]+\b)(?<=[a-z0-9])"
    r"|\b(?:mon|tue|wed|thu|fri|sat|sun|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)|\b(?:in|since|during) \d{4}",
    re.IGNORECASE,
)

# ---- Chinese -------------------------------------------------------------------------------------

_CN = r"[\d零〇一二两三四五六七八九十]"
_CN_DAYS = {
    "大前天": -3, "前天": -2, "昨天": -1, "昨日": -1, "昨": -1, "今天": 0, "今日": 0, "今": 0,
    "明天": 1, "明日": 1, "明": 1, "后天": 2, "大后天": 3,
}  # fmt: skip
_CN_STEPS = {"上上": -2, "上": -1, "这": 0, "本": 0, "下": 1, "下下": 2, "当": 0}
_CN_YEARS = {"前年": -2, "去年": -1, "今年": 0, "本年": 0, "明年": 1, "后年": 2}
_CN_GRAINS = {
    "秒": "second", "秒钟": "second", "分钟": "minute", "小时": "hour", "个小时": "hour",
    "天": "day", "日": "day", "周": "week", "个星期": "week", "星期": "week",
    "个月": "month", "季度": "quarter", "个季度": "quarter", "年": "year",
}  # fmt: skip
_CN_GRAIN = rf"(?P<grain>{'|'.join(sorted(_CN_GRAINS, key=len, reverse=True))})"
_CN_STEP = r"(?P<step>上上|上|这|本|下下|下)"


def _cn(text: str) -> int:
    value = chinese_number(text)
    if not isinstance(value, int):
        raise ValueError(text)
    return value


def _cn_year(match: re.Match[str], now: datetime) -> int | None:
    if match["named"]:
        return now.year + _CN_YEARS[match["named"]]
    return _cn(match["year"]) if match["year"] else None


def _cn_weekday(match: re.Match[str], now: datetime) -> Meaning:
    """下周五 is Friday of the next calendar week; 周五 alone is the coming one."""
    weekday = "一二三四五六日天末".index(match["weekday"])
    if match["weekday"] in "末":
        monday = _begin_of(now, "week") + timedelta(days=7 * _CN_STEPS[match["step"] or "这"])
        return monday + timedelta(days=5), "day", monday + timedelta(days=7)
    weekday = min(weekday, 6)
    if match["step"]:
        return _begin_of(now, "week") + timedelta(days=7 * _CN_STEPS[match["step"]] + weekday), "day"
    return _day(now, (weekday - now.weekday()) % 7)


def _cn_away(match: re.Match[str], now: datetime) -> Meaning:
    sign = -1 if "前" in match["way"] else 1
    if match["n"] == "半":
        return _away(now, *{"年": ("month", 6 * sign), "小时": ("minute", 30 * sign)}[match["grain"].lstrip("个")])
    return _away(now, _CN_GRAINS[match["grain"]], sign * _cn(match["n"]))


_CHINESE_DATES: list[Rule] = [
    _rule(
        r"大前天|大后天|前天|昨[天日]|今[天日]|明[天日]|后天|[昨今明](?=[早晚])",
        lambda m, now: _day(now, _CN_DAYS[m[0]]),
    ),
    _rule(r"现在", lambda m, now: (now.replace(microsecond=0), "second")),
    _rule(rf"(?:{_CN_STEP}个?)?(?:周|星期|礼拜)(?P<weekday>[一二三四五六日天末])", _cn_weekday),
    _rule(
        rf"{_CN_STEP}个?(?:周|星期|礼拜)(?![一二三四五六日天末])",
        lambda m, now: _whole(now, "week", _CN_STEPS[m["step"]]),
    ),
    _rule(rf"{_CN_STEP}个?季度", lambda m, now: _whole(now, "quarter", _CN_STEPS[m["step"]])),
    _rule(
        rf"(?P<step>上上|上|这|本|下下|下|当)个?月(?:(?P<day>{_CN}{{1,3}})[号日])?",
        lambda m, now: (
            _day_of_month(now, _cn(m["day"]), _CN_STEPS[m["step"]])
            if m["day"]
            else _whole(now, "month", _CN_STEPS[m["step"]])
        ),
    ),
    _rule(
        rf"(?:(?P<named>前年|去年|今年|明年|后年)|(?P<year>{_CN}{{4}}|\d\d)年)?(?P<month>{_CN}{{1,2}})月(?:份)?"
        rf"(?P<day>{_CN}{{1,3}})[号日]?",
        lambda m, now: _calendar_day(now, _cn_year(m, now), _cn(m["month"]), _cn(m["day"])),
    ),
    _rule(
        rf"(?:(?P<named>前年|去年|今年|明年|后年)|(?P<year>{_CN}{{4}}|\d\d)年)?(?P<month>{_CN}{{1,2}})月(?:份)?(?!{_CN})",
        lambda m, now: _calendar_month(now, _cn_year(m, now), _cn(m["month"])),
    ),
    _rule(r"前年|去年|今年|本年|明年|后年", lambda m, now: _whole(now, "year", _CN_YEARS[m[0]])),
    _rule(r"(?P<year>(?:19|20)\d\d)年", lambda m, now: _whole(now, "year", int(m["year"]) - now.year)),
    _rule(rf"(?<!{_CN})(?P<day>{_CN}{{1,3}})[号](?![码线楼])", lambda m, now: _day_of_month(now, _cn(m["day"]))),
    _rule(
        rf"(?P<n>{_CN}{{1,3}}|半){_CN_GRAIN}(?P<way>之前|以前|前|之后|以后|后)",
        lambda m, now: _cn_away(m, now),
    ),
    _rule(
        rf"(?P<way>最近|过去|近|前|未来|接下来)(?:的)?(?P<n>{_CN}{{1,3}}){_CN_GRAIN}内?",
        lambda m, now: _stretch(
            now, _CN_GRAINS[m["grain"]], _cn(m["n"]) * (1 if m["way"] in ("未来", "接下来") else -1)
        ),
    ),
]
_CN_PARTS = {
    "凌晨": (0, 6), "早上": (4, 12), "早晨": (4, 12), "上午": (4, 12), "早": (4, 12), "中午": (11, 13),
    "下午": (12, 18), "傍晚": (17, 19), "晚上": (18, 24), "晚": (18, 24), "夜里": (18, 24),
}  # fmt: skip
_CN_PART = "|".join(sorted(_CN_PARTS, key=len, reverse=True))


def _cn_clock(match: re.Match[str], now: datetime) -> Meaning | None:
    if match["hour"] == "一" and not match["part"] and not match["minute"]:
        return None  # 有一点问题: "a bit of a problem"
    hour = _cn(match["hour"])
    minute = {"半": 30, "一刻": 15, "三刻": 45, "整": 0, "钟": 0, "": 0}.get(match["minute"] or "")
    if minute is None:
        minute = _cn(match["minute"].rstrip("分"))
    if match["part"] and hour < 12 and _CN_PARTS[match["part"]][0] >= 11 and not (match["part"] == "中午" and hour > 9):
        hour += 12
    return _at(now, hour, minute, "minute" if minute else "hour")


_CHINESE_CLOCKS: list[Rule] = [
    _rule(
        rf"(?P<part>{_CN_PART})?的?(?P<hour>{_CN}{{1,3}})[点點时](?P<minute>半|一刻|三刻|整|钟|{_CN}{{1,3}}分?)?(?!{_CN})",
        _cn_clock,
    ),
    _rule(rf"(?P<part>{_CN_PART})?(?<!\d)(?P<hour>[01]?\d|2[0-3])[:：](?P<minute>[0-5]\d)(?!\d)", _cn_clock),
    _rule(
        r"(?P<part>凌晨|早上|早晨|上午|中午|下午|傍晚|晚上|(?<=[昨今明])[早晚])",
        lambda m, now: _part_of_day(now, *_CN_PARTS[m["part"]]),
    ),
]
_CHINESE_GAP = re.compile(r"\s*的?\s*")
_CHINESE_TO = re.compile(r"\s*(?:到|至|和|-|–|~|～)\s*")
_CHINESE_GATE = re.compile(r"[天日周月年号点點时晚早午秒]|星期|礼拜|季度|现在|凌晨|分钟|小时|\d[-/.:：]\d")


# ---- every other language ------------------------------------------------------------------------

_OTHER_LIMIT = 200  # dateparser's search takes milliseconds per word


def _by_dateparser(text: str, language: str, now: datetime, day_first: bool) -> list[Moment]:
    from dateparser.search import search_dates

    settings = {
        "RELATIVE_BASE": now.replace(tzinfo=None),
        "DATE_ORDER": "DMY" if day_first else "MDY",
        "PREFER_DATES_FROM": "future",
        "RETURN_TIME_AS_PERIOD": True,
    }
    try:
        found = search_dates(text[:_OTHER_LIMIT], languages=[language], settings=settings) or []
    except ValueError:  # a language that dateparser does not know
        return []
    return list(_placed(text, found, now))


def _placed(text: str, found: Sequence[tuple[str, datetime]], now: datetime) -> Iterator[Moment]:
    at = 0
    for words, when in found:
        start = text.find(words, at)
        if start >= 0 and not words.strip().isdigit():
            at = start + len(words)
            has_time = bool(re.search(r"\d[:h.]\d\d|\d ?h\b|uhr", words, re.IGNORECASE))
            begin = when.replace(tzinfo=now.tzinfo, microsecond=0)
            yield Moment(start, at, begin if has_time else _midnight(begin), "minute" if has_time else "day")
