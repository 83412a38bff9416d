"""The web chat in a real browser: what a customer sees, presses and hears, and what survives trouble."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import APIResponse, BrowserContext, Locator, Page, Route, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route as Path

from bot.app import create_app, open_channels
from bot.assistant import Assistant
from bot.stores.memory import MemoryStore

Serve = Callable[[Any], str]
Visit = Callable[..., Page]
Make = Callable[..., Assistant]
WEBHOOK = "**/webhooks/webchat/webhook"
LOOK = {
    "title": {"en": "Corner Shop", "zh": "街角小店"},
    "welcome": {"en": "I know when we open and take orders.", "zh": "我可以告诉您营业时间，也可以帮您下单。"},
    "suggestions": {"en": ["Your hours?", "An order"], "zh": ["营业 hours"]},
}


@pytest.fixture
def shop(serve: Serve, assistant: Assistant) -> str:
    """The address of the shop's bot."""
    return serve(create_app(assistant, open_channels({"webchat": LOOK})))


def say(page: Page, text: str) -> None:
    """Type it and wait until it is answered."""
    page.get_by_role("textbox").fill(text)
    page.keyboard.press("Enter")
    answered(page)


def answered(page: Page) -> None:
    expect(page.locator(".turn.user.waiting")).to_have_count(0)


def bubbles(page: Page) -> Locator:
    return page.locator(".bubble:not(.typing)")


def shown(page: Page) -> list[str]:
    return bubbles(page).all_inner_texts()


def conversation_of(page: Page, address: str) -> str:
    """The address of the page's conversation in the API."""
    key = f"frontdesk:{address}:session"
    session = page.evaluate("key => JSON.parse(localStorage.getItem(key))", key)
    return f"{address}/conversations/webchat:{session}"


def turns_of(page: Page, address: str) -> list[str]:
    """What the server heard in the page's session, message by message."""
    events = httpx.get(f"{conversation_of(page, address)}/tracker").json()["events"]
    return [event["text"] for event in events if event["event"] == "user"]


# ---- talking ----


def test_the_page_greets_and_offers_what_to_say_first(visit: Visit, shop: str) -> None:
    page = visit(shop)
    expect(page).to_have_title("Corner Shop")
    expect(page.get_by_role("heading", name="Corner Shop")).to_be_visible()
    expect(page.get_by_text("I know when we open and take orders.")).to_be_visible()
    page.get_by_role("button", name="Your hours?").click()
    answered(page)
    assert shown(page) == ["Your hours?", "We open at nine.\n\nWe close at six."]
    expect(page.locator(".welcome")).to_have_count(0)


def test_what_is_typed_is_answered_by_key_and_by_button(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "hello")
    page.get_by_role("textbox").fill("links")
    page.get_by_role("button", name="Send").click()
    expect(bubbles(page)).to_have_count(4)
    assert shown(page)[:3] == ["hello", "Hello from the shop.", "links"]


def test_nothing_is_sent_when_nothing_was_written(visit: Visit, shop: str) -> None:
    page = visit(shop)
    page.get_by_role("textbox").fill("  \n ")
    expect(page.get_by_role("button", name="Send")).to_be_disabled()
    page.keyboard.press("Enter")
    assert shown(page) == []


def test_a_button_is_pressed_once(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "order")
    yes, no = page.get_by_role("button", name="Yes, order"), page.get_by_role("button", name="No", exact=True)
    yes.dblclick()
    expect(bubbles(page).last).to_have_text("It is ordered.")
    expect(yes).to_be_disabled()
    expect(no).to_be_disabled()
    expect(yes).to_have_class(re.compile("chosen"))
    assert turns_of(page, shop) == ["order", '/buy{"what": "tea"}']


def test_a_question_left_behind_cannot_be_answered_any_more(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "order")
    say(page, "hello")
    expect(page.get_by_role("button", name="Yes, order")).to_be_disabled()


def test_links_open_apart_and_html_stays_text(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "links")
    link = page.get_by_role("link")
    expect(link).to_have_attribute("href", "https://shop.example/a?b=1&c=2")
    expect(link).to_have_attribute("rel", "noopener noreferrer")
    expect(link).to_have_attribute("target", "_blank")
    expect(bubbles(page).last).to_contain_text("<b>Not bold</b> <img src=x onerror=alert(1)> see")
    expect(page.locator(".bubble b, .bubble img")).to_have_count(0)
    expect(page.locator("cite")).to_have_text("Source: Terms")


def test_a_picture_that_does_not_load_becomes_a_link(visit: Visit, shop: str, problems: list[str]) -> None:
    page = visit(shop)
    page.route("https://shop.example/*.png", lambda route: route.abort())
    say(page, "hours")
    expect(page.get_by_role("link", name="Picture from the assistant")).to_be_visible()
    problems.clear()


def test_a_slow_answer_shows_that_the_assistant_is_writing(visit: Visit, shop: str) -> None:
    page = visit(shop)
    held: list[Route] = []
    page.route(WEBHOOK, lambda route: held.append(route))
    page.get_by_role("textbox").fill("hello")
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="The assistant is writing")).to_be_visible()
    held[0].continue_()
    expect(bubbles(page).last).to_have_text("Hello from the shop.")
    expect(page.get_by_role("img", name="The assistant is writing")).to_have_count(0)


def test_a_long_answer_is_read_from_its_beginning(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "terms")
    log = page.get_by_role("log").bounding_box()
    answer = bubbles(page).last.bounding_box()
    assert log
    assert answer
    assert answer["height"] > log["height"]
    assert log["y"] < answer["y"] < log["y"] + 100


# ---- any text ----


@pytest.mark.parametrize(
    "text", ["👩‍👩‍👧 🏦 𠮷", "x" * 10_000, "word " * 1_900, "a\n" * 300 + "b", "\u202eabc", "<script>1</script>"]
)
def test_any_text_is_shown_as_it_is_inside_its_bubble(visit: Visit, shop: str, text: str) -> None:
    page = visit(shop)
    say(page, text)
    expect(bubbles(page).first).to_have_text(text.strip())
    expect(bubbles(page).last).to_have_text("Please say that in other words.")
    assert page.get_by_role("log").evaluate("log => log.scrollWidth <= log.clientWidth")


@pytest.mark.parametrize(
    ("text", "direction"), [("مرحبا، كيف حالك؟", "rtl"), ("שלום hello", "rtl"), ("hello שלום", "ltr")]
)
def test_text_runs_in_its_own_direction(visit: Visit, shop: str, text: str, direction: str) -> None:
    page = visit(shop)
    page.get_by_role("textbox").fill(text)
    assert page.get_by_role("textbox").evaluate("box => getComputedStyle(box).direction") == direction
    say(page, text)
    assert bubbles(page).first.evaluate("bubble => getComputedStyle(bubble).direction") == direction


def test_half_an_emoji_does_not_stop_the_conversation(visit: Visit, shop: str) -> None:
    page = visit(shop)
    page.get_by_role("textbox").evaluate("box => { box.value = 'hello \\ud83d'; }")
    page.get_by_role("textbox").press("Enter")
    expect(bubbles(page).last).to_have_text("Hello from the shop.")


# ---- one conversation, whatever happens ----


def test_a_reload_keeps_the_conversation(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "hours")
    say(page, "order")
    page.get_by_role("button", name="Yes, order").click()
    answered(page)
    before = shown(page)
    page.reload()
    expect(bubbles(page)).to_have_count(len(before))
    assert shown(page) == before
    expect(page.get_by_role("button", name="Yes, order")).to_be_disabled()
    expect(page.locator(".picture")).to_be_visible()


def test_a_question_still_open_can_be_answered_after_a_reload(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "order")
    page.reload()
    page.get_by_role("button", name="Yes, order").click()
    expect(bubbles(page).last).to_have_text("It is ordered.")


def test_two_tabs_show_one_conversation(visit: Visit, shop: str) -> None:
    first = visit(shop)
    say(first, "order")
    second = first.context.new_page()
    second.goto(shop)
    second.get_by_role("button", name="Yes, order").click()
    expect(bubbles(first).last).to_have_text("It is ordered.")
    expect(first.get_by_role("button", name="Yes, order")).to_be_disabled()
    say(first, "hello")
    expect(bubbles(second)).to_have_count(6)
    assert shown(first) == shown(second)
    assert turns_of(first, shop) == ["order", '/buy{"what": "tea"}', "hello"]


def test_a_new_conversation_begins_in_every_tab_and_shows_nothing_of_the_old(visit: Visit, shop: str) -> None:
    first = visit(shop)
    say(first, "hello")
    second = first.context.new_page()
    second.goto(shop)
    expect(bubbles(second)).to_have_count(2)
    second.get_by_role("button", name="New conversation").click()
    for page in (first, second):
        expect(bubbles(page)).to_have_count(0)
        expect(page.get_by_role("button", name="Your hours?")).to_be_visible()
    say(first, "links")
    assert turns_of(second, shop) == ["links"]


def test_two_visitors_see_nothing_of_each_other(visit: Visit, shop: str) -> None:
    anna, ben = visit(shop), visit(shop)
    say(anna, "hello")
    ben.reload()
    expect(ben.get_by_role("button", name="Your hours?")).to_be_visible()
    assert shown(ben) == []


def test_a_session_is_never_part_of_an_address(visit: Visit, shop: str) -> None:
    page = visit(shop)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    say(page, "hello")
    session = page.evaluate("key => JSON.parse(localStorage.getItem(key))", f"frontdesk:{shop}:session")
    assert len(asked) >= 5
    assert not [url for url in asked if session in url]


def test_messages_sent_while_the_server_is_away_are_kept_and_answered_once(
    visit: Visit, running: Callable[..., Any], make: Make, problems: list[str]
) -> None:
    store = MemoryStore()
    with running(create_app(make(store))) as address:
        page = visit(address)
        say(page, "hello")
    for text in ("hours", "order"):
        page.get_by_role("textbox").fill(text)
        page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Cannot reach the assistant. Your message is kept and will be sent.")
    expect(page.locator(".turn.user").last).to_contain_text("Not sent yet")
    with running(create_app(make(store)), int(address.rpartition(":")[2])):
        answered(page)
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.locator(".turn.user").last).not_to_contain_text("Not sent yet")
        expect(page.get_by_role("button", name="Yes, order")).to_be_enabled()
        assert turns_of(page, address) == ["hello", "hours", "order"]
    only_unreachable(problems)


def only_unreachable(problems: list[str]) -> None:
    """That a request failed is what these tests mean; anything else is a problem still."""
    assert problems
    problems[:] = [problem for problem in problems if "Failed to load resource" not in problem]


def test_an_answer_lost_on_the_way_is_asked_for_again_and_nothing_happens_twice(
    visit: Visit, shop: str, problems: list[str]
) -> None:
    page = visit(shop)
    say(page, "order")

    def lose_the_answer(route: Route) -> None:
        route.fetch()
        route.abort()

    page.route(WEBHOOK, lose_the_answer, times=1)
    page.get_by_role("button", name="Yes, order").click()
    expect(bubbles(page).last).to_have_text("It is ordered.")
    assert turns_of(page, shop) == ["order", '/buy{"what": "tea"}']
    only_unreachable(problems)


def test_what_was_unanswered_before_a_reload_is_sent_after_it(visit: Visit, shop: str, problems: list[str]) -> None:
    page = visit(shop)
    page.route(WEBHOOK, lambda route: route.abort())
    page.get_by_role("textbox").fill("order")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Not sent yet")).to_be_visible()
    page.unroute(WEBHOOK)
    page.reload()
    expect(page.get_by_role("button", name="Yes, order")).to_be_enabled()
    assert turns_of(page, shop) == ["order"]
    only_unreachable(problems)


def test_two_tabs_keep_the_unsent_messages_of_both(visit: Visit, shop: str, problems: list[str]) -> None:
    first = visit(shop)
    second = first.context.new_page()
    second.goto(shop)
    first.context.route(WEBHOOK, lambda route: route.abort())
    for page, text in ((first, "hello"), (second, "links")):
        page.get_by_role("textbox").fill(text)
        page.keyboard.press("Enter")
        expect(page.get_by_text("Not sent yet")).to_be_visible()
    second.close()
    first.context.unroute(WEBHOOK)
    first.reload()
    expect(bubbles(first)).to_have_count(4)
    assert turns_of(first, shop) == ["hello", "links"]
    only_unreachable(problems)


def test_a_new_conversation_does_not_wait_for_the_old_one(visit: Visit, shop: str) -> None:
    page = visit(shop)
    held: list[Route] = []
    page.route(WEBHOOK, lambda route: held.append(route), times=1)
    page.get_by_role("textbox").fill("terms")
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name="The assistant is writing")).to_be_visible()
    page.get_by_role("button", name="New conversation").click()
    say(page, "hello")
    held[0].continue_()
    assert shown(page) == ["hello", "Hello from the shop."]


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("en-GB", "One moment, please. Your message is kept and will be answered."),
        ("zh-CN", "请稍候，您的消息已保留，很快会得到答复。"),
    ],
)
def test_a_busy_server_asks_for_a_moment_and_answers_once(
    visit: Visit, shop: str, problems: list[str], locale: str, words: str
) -> None:
    page = visit(shop, locale=locale)
    busy = {"status": 503, "headers": {"Retry-After": "1"}, "json": {"reason": "TooManyMessages"}}
    page.route(WEBHOOK, lambda route: route.fulfill(**busy), times=2)
    page.get_by_role("textbox").fill("hello")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text(words)
    expect(page.get_by_text("Not sent yet")).to_have_count(0)
    answered(page)
    expect(page.get_by_role("alert")).to_be_hidden()
    assert shown(page) == ["hello", "Hello from the shop."]
    assert turns_of(page, shop) == ["hello"]
    only_unreachable(problems)


def test_a_chat_that_opens_while_the_server_is_busy_says_so(visit: Visit, shop: str, problems: list[str]) -> None:
    page = visit(shop)
    page.route("**/webchat/session", lambda route: route.fulfill(status=503, json={}), times=1)
    page.reload()
    expect(page.get_by_role("alert")).to_have_text("One moment, please…")
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.get_by_role("heading", name="Corner Shop")).to_be_visible()
    only_unreachable(problems)


@pytest.mark.parametrize(("status", "words"), [(413, "Not sent: the message is too long."), (400, "Not sent.")])
def test_a_refused_message_says_so_and_the_conversation_goes_on(
    visit: Visit, shop: str, problems: list[str], status: int, words: str
) -> None:
    page = visit(shop)
    page.route(WEBHOOK, lambda route: route.fulfill(status=status, json={}), times=1)
    say(page, "much")
    expect(page.locator(".turn.user").get_by_role("alert")).to_have_text(words)
    say(page, "hello")
    assert shown(page) == ["much", "hello", "Hello from the shop."]
    only_unreachable(problems)


# ---- several messages at once, and messages that come by themselves ----


def write(page: Page, *texts: str) -> None:
    """Type them one after the other, without waiting for an answer."""
    for text in texts:
        page.get_by_role("textbox").fill(text)
        page.keyboard.press("Enter")


def let_the_bot_say_something(page: Page, address: str, intent: str = "hours") -> None:
    """What the customer has not asked for, as a reminder or a human agent would."""
    httpx.post(f"{conversation_of(page, address)}/trigger_intent", json={"name": intent}).raise_for_status()


def hold_questions(page: Page) -> None:
    """The page's questions whether there is anything new get no answer."""
    page.route("**/webchat/session?*", lambda route: None)


HOURS = "We open at nine.\n\nWe close at six."
AT_ONCE = [
    ("hello", "Hello from the shop."),
    ("order", "Shall I order it?"),
    ("hours", HOURS),
]


def test_what_is_typed_in_a_row_is_answered_once_and_in_order_whichever_request_arrives(
    visit: Visit, shop: str
) -> None:
    page = visit(shop)
    held: list[Route] = []
    page.route(WEBHOOK, lambda route: held.append(route), times=2)
    write(page, "hello", "order", "hours")
    answered(page)
    expected = [text for pair in AT_ONCE for text in pair]
    assert shown(page) == expected
    expect(page.get_by_role("button", name="Yes, order")).to_be_disabled()
    assert len(held) == 2
    with page.expect_response(WEBHOOK), page.expect_response(WEBHOOK):
        for route in held:
            route.continue_()
    page.reload()
    expect(bubbles(page)).to_have_count(len(expected))
    assert shown(page) == expected
    assert turns_of(page, shop) == ["hello", "order", "hours"]


def keep_unanswered(page: Page, address: str, *texts: str) -> None:
    """As if these messages had been written and could not be sent; the page is loaded again."""
    page.evaluate(
        """([key, texts]) => {
          const session = JSON.parse(localStorage.getItem(`${key}session`));
          const kept = texts.map((message, number) => ({ session, message, message_id: `kept-${number}` }));
          localStorage.setItem(`${key}unanswered`, JSON.stringify(kept));
        }""",
        [f"frontdesk:{address}:", texts],
    )
    page.reload()


def test_more_than_fits_into_one_request_is_sent_in_several(visit: Visit, shop: str) -> None:
    page = visit(shop)
    texts = [f"hello {number}" for number in range(45)]
    keep_unanswered(page, shop, *texts)
    expect(bubbles(page)).to_have_count(90)
    answered(page)
    assert turns_of(page, shop) == texts
    assert shown(page)[::2] == texts


def test_of_several_messages_only_the_one_that_is_refused_is_not_sent(
    visit: Visit, shop: str, problems: list[str]
) -> None:
    page = visit(shop)
    keep_unanswered(page, shop, "hello", "x" * 120_000, "hours")
    answered(page)
    expect(page.get_by_text("Not sent: the message is too long.")).to_have_count(1)
    assert turns_of(page, shop) == ["hello", "hours"]
    only_unreachable(problems)


def test_what_is_typed_in_a_row_is_one_turn_where_the_bot_waits_for_more(
    visit: Visit, serve: Serve, assistant: Assistant
) -> None:
    shop = serve(create_app(assistant, open_channels({"webchat": {"wait": 1}})))
    page = visit(shop)
    other = page.context.new_page()
    other.goto(shop)
    expect(other.get_by_role("textbox")).to_be_visible()
    write(page, "well", "hello", "you")
    answered(page)
    expected = ["well", "hello", "you", "Hello from the shop."]
    assert shown(page) == expected
    assert turns_of(page, shop) == ["well\nhello\nyou"]
    page.reload()
    for tab in (page, other):
        expect(bubbles(tab)).to_have_count(4)
        assert shown(tab) == expected


def test_what_the_bot_says_by_itself_appears_in_every_tab_once_and_in_order(visit: Visit, shop: str) -> None:
    first = visit(shop)
    say(first, "hello")
    second = first.context.new_page()
    second.goto(shop)
    expect(bubbles(second)).to_have_count(2)
    let_the_bot_say_something(first, shop)
    for page in (first, second):
        expect(bubbles(page)).to_have_count(3)
    say(second, "order")
    expected = ["hello", "Hello from the shop.", HOURS, "order", "Shall I order it?"]
    first.reload()
    for page in (first, second):
        expect(bubbles(page)).to_have_count(5)
        assert shown(page) == expected


def test_what_the_bot_said_by_itself_comes_before_the_answer_to_what_was_said_after_it(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "hello")
    hold_questions(page)
    let_the_bot_say_something(page, shop)
    say(page, "order")
    assert shown(page) == ["hello", "Hello from the shop.", HOURS, "order", "Shall I order it?"]


def test_an_answer_that_comes_both_ways_is_shown_once(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "hello")
    held: list[tuple[Route, APIResponse]] = []
    page.route(WEBHOOK, lambda route: held.append((route, route.fetch())), times=1)
    write(page, "hours")
    answered(page)
    assert shown(page)[2:] == ["hours", HOURS]
    expect(page.get_by_role("img", name="The assistant is writing")).to_have_count(0)
    with page.expect_response(WEBHOOK):
        held[0][0].fulfill(response=held[0][1])
    say(page, "hello")
    assert shown(page)[2:] == ["hours", HOURS, "hello", "Hello from the shop."]


def test_a_conversation_that_was_erased_is_gone_from_the_page(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "hello")
    httpx.delete(f"{conversation_of(page, shop)}/tracker").raise_for_status()
    expect(page.get_by_role("button", name="Your hours?")).to_be_visible()
    assert shown(page) == []
    say(page, "hours")
    assert shown(page) == ["hours", HOURS]


def test_what_is_said_in_a_conversation_that_was_erased_begins_it_anew(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "hello")
    hold_questions(page)
    httpx.delete(f"{conversation_of(page, shop)}/tracker").raise_for_status()
    say(page, "hours")
    expect(bubbles(page)).to_have_count(2)
    assert shown(page) == ["hours", HOURS]


def test_the_server_is_asked_only_while_somebody_looks_at_a_conversation(
    context: Callable[..., BrowserContext], shop: str
) -> None:
    page = context().new_page()
    page.clock.install()
    page.add_init_script("Object.defineProperty(document, 'hidden', { get: () => window.isHidden ?? false })")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "?after=" in request.url else None)
    page.goto(shop)
    expect(page.get_by_role("button", name="Your hours?")).to_be_visible()
    page.clock.run_for(60_000)
    assert asked == []
    say(page, "hello")
    page.evaluate("isHidden = true")
    page.clock.run_for(60_000)
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before
    let_the_bot_say_something(page, shop)
    page.evaluate("isHidden = false; document.dispatchEvent(new Event('visibilitychange'))")
    expect(bubbles(page).last).to_have_text(HOURS)


def test_who_reads_what_was_said_earlier_is_left_where_they_are(visit: Visit, shop: str) -> None:
    page = visit(shop)
    say(page, "terms")
    say(page, "terms")
    log = page.get_by_role("log")
    log.evaluate("log => { log.scrollTop = 100; }")
    let_the_bot_say_something(page, shop)
    expect(bubbles(page)).to_have_count(5)
    assert log.evaluate("log => log.scrollTop") == 100


# ---- in every language, on every screen, without a mouse or without eyes ----


def test_a_chinese_visitor_finds_everything_in_chinese(visit: Visit, shop: str) -> None:
    page = visit(shop, locale="zh-CN")
    expect(page).to_have_title("街角小店")
    expect(page.get_by_text("我可以告诉您营业时间，也可以帮您下单。")).to_be_visible()
    expect(page.get_by_role("textbox", name="您的消息")).to_have_attribute("placeholder", "请输入消息…")
    page.get_by_role("button", name="营业 hours").click()
    expect(page.get_by_role("button", name="新对话")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "zh-CN"


def test_the_language_is_switched_and_remembered(visit: Visit, shop: str) -> None:
    page = visit(shop)
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="街角小店")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="营业 hours")).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Corner Shop")).to_be_visible()


def test_a_bot_of_one_language_offers_no_switch(visit: Visit, serve: Serve, make: Make) -> None:
    page = visit(serve(create_app(make(languages=("en",)))), locale="zh-CN")
    expect(page.get_by_text("How can we help?")).to_be_visible()
    expect(page.get_by_role("button", name="English")).to_be_hidden()
    expect(page.get_by_role("button", name="中文")).to_be_hidden()


def test_everything_can_be_done_with_the_keyboard(visit: Visit, shop: str) -> None:
    page = visit(shop)
    expect(page.get_by_role("textbox")).to_be_focused()
    page.keyboard.type("an order")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("please")
    page.keyboard.press("Enter")
    expect(bubbles(page).first).to_have_text("an order\nplease")
    yes = page.get_by_role("button", name="Yes, order")
    expect(yes).to_be_enabled()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    expect(yes).to_be_focused()
    assert yes.evaluate("button => getComputedStyle(button).outlineWidth") == "2px"
    page.keyboard.press("Enter")
    expect(bubbles(page).last).to_have_text("It is ordered.")
    expect(page.get_by_role("textbox")).to_be_focused()


def test_enter_that_chooses_a_chinese_character_does_not_send(visit: Visit, shop: str) -> None:
    page = visit(shop)
    box = page.get_by_role("textbox")
    box.fill("ni hao")
    box.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    expect(box).to_have_value("ni hao")
    assert shown(page) == []


def test_a_screen_reader_hears_who_said_what(visit: Visit, shop: str) -> None:
    page = visit(shop)
    log = page.get_by_role("log", name="Conversation")
    expect(log).to_have_attribute("aria-live", "polite")
    expect(page.get_by_role("textbox", name="Your message")).to_be_visible()
    expect(page.get_by_role("region", name="Corner Shop")).to_be_visible()
    say(page, "hello")
    expect(log.locator(".turn.user")).to_contain_text("You said:")
    expect(log.locator(".turn.bot")).to_contain_text("Assistant:")
    for button in page.get_by_role("button").all():
        assert button.get_attribute("aria-label") or button.inner_text()


@pytest.mark.parametrize("width", [320, 390])
def test_it_fits_a_phone(visit: Visit, shop: str, width: int) -> None:
    page = visit(shop, viewport={"width": width, "height": 640}, has_touch=True)
    say(page, "order")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    for part in (page.get_by_role("textbox"), page.get_by_role("button", name="Send"), page.get_by_role("heading")):
        expect(part).to_be_in_viewport(ratio=1)
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box
        assert min(box["width"], box["height"]) >= 40


CONTRAST = """element => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const isClear = (one) => parts(getComputedStyle(one).backgroundColor)[3] === 0;
  let behind = element;
  while (isClear(behind)) behind = behind.parentElement || behind.getRootNode().host;
  const light = (color) => parts(color).slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""
"""A text's contrast with what lies behind it. Source: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_is_legible_in_both_themes(visit: Visit, shop: str, theme: str) -> None:
    page = visit(shop, color_scheme=theme)
    expect(page.get_by_role("button", name="Your hours?")).to_be_visible()
    texts = page.locator("h1, h2, .welcome p, .disclosure, header button:visible, .choice").all()
    contrasts = [text.evaluate(CONTRAST) for text in texts]
    say(page, "links")
    say(page, "order")
    page.get_by_role("button", name="Yes, order").click()
    answered(page)
    page.mouse.move(0, 0)
    texts = page.locator(".bubble, .bubble a, .source, time, .choice, textarea").all()
    contrasts += [text.evaluate(CONTRAST) for text in texts]
    assert len(contrasts) > 20
    assert min(contrasts) >= 4.5
    background = page.locator(".log").evaluate("log => getComputedStyle(log.parentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 3 * 64) is (theme == "dark")


# ---- on any other web page ----

FOREIGN = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8"><title>A bank</title><link rel="icon" href="data:,">
    <script src="{bot}/webchat/widget.js" defer></script>
  </head>
  <body>
    <h1>A bank</h1>
    <frontdesk-chat server="{bot}" title-text="Ask the bank" language="en"></frontdesk-chat>
  </body>
</html>"""
POLICY = (
    "default-src 'none'; script-src {bot}; style-src {bot}; connect-src {bot}; img-src https: data:; base-uri 'none'"
)


@pytest.fixture
def bank(serve: Serve) -> Callable[..., str]:
    """`bank(bot, …)` → a web page of another origin that embeds the bot, under a strict policy of its own."""
    page: dict[str, str] = {}

    async def home(request: Request) -> HTMLResponse:
        return HTMLResponse(FOREIGN.format(**page), headers={"Content-Security-Policy": POLICY.format(**page)})

    address = serve(Starlette(routes=[Path("/", home)]))

    def embed(bot: str = "") -> str:
        page["bot"] = bot
        return address

    return embed


def test_the_widget_talks_on_another_page_and_keeps_to_its_policy(
    visit: Visit, serve: Serve, assistant: Assistant, bank: Callable[..., str]
) -> None:
    page = visit(bank(serve(create_app(assistant, cors=[bank()]))))
    launcher = page.get_by_role("button", name="Open the chat")
    launcher.click()
    expect(page.get_by_role("heading", name="Ask the bank")).to_be_visible()
    say(page, "hours")
    assert shown(page) == ["hours", "We open at nine.\n\nWe close at six."]
    page.keyboard.press("Escape")
    expect(page.get_by_role("textbox")).to_be_hidden()
    expect(launcher).to_be_focused()
    assert page.title() == "A bank"
    launcher.click()
    page.reload()
    expect(bubbles(page)).to_have_count(2)


def test_the_widget_fills_a_phone_and_can_be_closed(
    visit: Visit, serve: Serve, assistant: Assistant, bank: Callable[..., str]
) -> None:
    bot = serve(create_app(assistant, cors=["*"]))
    page = visit(bank(bot), viewport={"width": 360, "height": 640})
    page.get_by_role("button", name="Open the chat").click()
    box = page.locator(".panel").bounding_box()
    assert box == {"x": 0, "y": 0, "width": 360, "height": 640}
    page.locator(".close").click()
    expect(page.locator(".panel")).to_be_hidden()


def test_a_page_that_is_not_allowed_says_that_the_assistant_cannot_be_reached(
    visit: Visit, shop: str, bank: Callable[..., str], problems: list[str]
) -> None:
    page = visit(bank(shop))
    page.get_by_role("button", name="Open the chat").click()
    expect(page.get_by_role("alert")).to_have_text("Cannot reach the assistant. Trying again…")
    assert any("blocked by CORS policy" in problem for problem in problems)
    problems.clear()


def test_a_browser_that_keeps_nothing_still_chats(context: Callable[..., BrowserContext], shop: str) -> None:
    visitor = context()
    visitor.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new Error('no'); } })")
    page = visitor.new_page()
    page.goto(shop)
    say(page, "hello")
    say(page, "order")
    page.get_by_role("button", name="Yes, order").click()
    expect(bubbles(page).last).to_have_text("It is ordered.")


def test_the_pages_style_sets_the_colours_and_nothing_else(visit: Visit, serve: Serve, shop: str) -> None:
    style = "frontdesk-chat { --accent: #7a1f2b; } body { text-transform: uppercase; line-height: 4; }"
    html = (
        f"<style>{style}</style><script src='{shop}/webchat/widget.js' defer></script><frontdesk-chat></frontdesk-chat>"
    )

    async def home(request: Request) -> HTMLResponse:
        return HTMLResponse("<!doctype html><link rel='icon' href='data:,'>" + html)

    page = visit(serve(Starlette(routes=[Path("/", home)])))
    launcher = page.get_by_role("button", name="Open the chat")
    assert launcher.evaluate("button => getComputedStyle(button).backgroundColor") == "rgb(122, 31, 43)"
    assert page.locator("h1").evaluate("title => getComputedStyle(title).textTransform") == "none"


def test_the_server_of_the_script_is_the_server_of_the_chat(visit: Visit, serve: Serve, assistant: Assistant) -> None:
    bot = serve(create_app(assistant, cors=["*"]))

    async def home(request: Request) -> HTMLResponse:
        head = f"<!doctype html><link rel='icon' href='data:,'><script src='{bot}/webchat/widget.js'></script>"
        return HTMLResponse(f"{head}<frontdesk-chat page></frontdesk-chat>")

    page = visit(serve(Starlette(routes=[Path("/", home)])))
    say(page, "hello")
    assert shown(page) == ["hello", "Hello from the shop."]
