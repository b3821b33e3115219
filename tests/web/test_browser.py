"""The pages in a real browser, on the real product: by pointer, by keyboard, by menu, and without script."""

import re
import time

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.web.conftest import PASSWORD, Product

pytestmark = pytest.mark.browser

SCORED_WITHIN_MS = 2000
"""What the product promises for the new chance on a card after a move."""


def card(page: Page, name: str) -> Locator:
    return page.locator(".card", has=page.get_by_role("link", name=name, exact=True))


def column_of(page: Page, name: str) -> str:
    found = card(page, name).evaluate("card => card.closest('[data-column]').dataset.column")
    return str(found)


def drag(page: Page, name: str, column: str) -> None:
    """Picks a card up by the mouse and lets it go over a column."""
    source = card(page, name)
    source.scroll_into_view_if_needed()
    box, target = source.bounding_box(), page.locator(f"[data-column={column}]").bounding_box()
    assert box
    assert target
    page.mouse.move(box["x"] + 60, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 60, steps=3)
    page.mouse.move(target["x"] + 90, target["y"] + 160, steps=6)


def heads(page: Page) -> dict[str, int]:
    columns = page.locator("[data-column]").all()
    return {
        str(each.get_attribute("data-column")): int(each.locator("[data-column-count]").inner_text())
        for each in columns
    }


def test_a_dragged_deal_moves_at_once_and_shows_its_new_chance(page: Page) -> None:
    before, scored = heads(page), card(page, "Deal 00").get_attribute("data-scored")
    drag(page, "Deal 00", "proposal")
    page.mouse.up()
    started = time.monotonic()
    assert column_of(page, "Deal 00") == "proposal"
    page.wait_for_function(
        "([name, old]) => [...document.querySelectorAll('.card')].some(each =>"
        " each.dataset.name === name && each.dataset.scored && each.dataset.scored !== old)",
        arg=["Deal 00", scored],
    )
    assert (time.monotonic() - started) * 1000 <= SCORED_WITHIN_MS
    expect(card(page, "Deal 00").locator(".chance-figure")).to_have_text(re.compile(r"^[<>]? ?\d+\s%$"))
    after = heads(page)
    assert after["prospecting"] == before["prospecting"] - 1
    assert after["proposal"] == before["proposal"] + 1
    expect(page.locator("[data-live]")).to_contain_text("Deal 00")
    page.reload()
    assert column_of(page, "Deal 00") == "proposal"


def test_escape_undoes_a_drag(page: Page) -> None:
    home = column_of(page, "Deal 06")
    drag(page, "Deal 06", "negotiation")
    expect(page.locator(".card-ghost")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".card-ghost")).to_have_count(0)
    page.mouse.up()
    assert column_of(page, "Deal 06") == home
    assert "/board" in page.url


def test_a_refused_move_is_undone_in_place_with_its_reason(page: Page) -> None:
    page.route(
        "**/stage",
        lambda route: route.fulfill(
            status=409,
            content_type="application/problem+json",
            body='{"status": 409, "title": "Conflict", "detail": "The deal needs an amount.", "errors": []}',
        ),
    )
    before = heads(page)
    drag(page, "Deal 12", "negotiation")
    page.mouse.up()
    expect(card(page, "Deal 12").locator(".card-trouble")).to_contain_text("The deal needs an amount.")
    assert column_of(page, "Deal 12") == "prospecting"
    assert heads(page) == before


def test_a_deal_that_changed_meanwhile_goes_back_and_shows_its_state(page: Page) -> None:
    card(page, "Deal 12").evaluate("card => card.dataset.version = '99'")
    drag(page, "Deal 12", "negotiation")
    page.mouse.up()
    expect(card(page, "Deal 12").locator(".card-trouble")).to_contain_text("changed meanwhile")
    expect(card(page, "Deal 12")).to_have_attribute("data-version", re.compile(r"^[1-9]$"))
    assert column_of(page, "Deal 12") == "prospecting"


def test_a_lost_deal_is_asked_for_its_reason_in_place(page: Page) -> None:
    card(page, "Deal 07").hover()
    card(page, "Deal 07").locator("summary").click()
    card(page, "Deal 07").get_by_role("button", name="Lost", exact=True).click()
    dialog = page.get_by_role("dialog", name="Move to Lost")
    dialog.get_by_role("button", name="Move to Lost").click()
    expect(dialog).to_contain_text("Choose a reason")
    dialog.get_by_role("button", name="Cancel").click()
    assert column_of(page, "Deal 07") == "qualification"
    card(page, "Deal 07").hover()
    card(page, "Deal 07").locator("summary").click()
    card(page, "Deal 07").get_by_role("button", name="Lost", exact=True).click()
    dialog.get_by_label("Reason").select_option("price")
    dialog.get_by_label("Competitor").select_option(label="Corvex")
    dialog.get_by_role("button", name="Move to Lost").click()
    expect(card(page, "Deal 07")).to_have_attribute("data-version", "2")
    page.reload()
    assert column_of(page, "Deal 07") == "lost"


def test_the_board_by_keyboard(page: Page) -> None:
    first = page.locator("[data-column=qualification] .card").first
    name = str(first.get_attribute("data-name"))
    first.locator(".card-link").focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") != name
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    assert column_of(page, name) == "qualification"
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(card(page, name)).to_have_attribute("data-version", "2")
    assert column_of(page, name) == "proposal"
    assert page.evaluate("document.activeElement.textContent") == name
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_label("Search deals")).to_be_focused()
    page.keyboard.type("Deal 03")
    expect(page.locator(".card")).to_have_count(1)


def test_one_stop_of_tab_for_all_cards(page: Page) -> None:
    assert page.locator(".card-link[tabindex='0']").count() == 1
    assert page.locator(".card-link").count() > 10


def test_a_deal_page_tells_its_chance_and_why_and_follows_what_happens(page: Page) -> None:
    page.get_by_role("link", name="Deal 08", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Deal 08")
    expect(page.locator(".score-large")).to_contain_text("to win")
    base, *steps, total = page.locator(".reason .number").all_inner_texts()
    shown = [float(text.replace("\u2212", "-").replace("\u202f%", "")) for text in (base, *steps)]
    assert abs(sum(shown) - float(total.replace("\u202f%", ""))) <= 1.5
    scored = page.locator("#score").get_attribute("data-scored")
    page.get_by_text("Log activity").click()
    page.get_by_label("Subject").fill("Pricing call")
    page.get_by_role("button", name="Log it as of now").click()
    expect(page.locator("#timeline")).to_contain_text("Call: Pricing call")
    expect(page.locator("#score")).not_to_have_attribute("data-scored", str(scored))


def test_a_recommendation_is_marked_done_without_a_reload(page: Page) -> None:
    page.get_by_role("link", name="Deal 14", exact=True).click()
    action = page.locator(".action").first
    title = action.locator(".action-title").inner_text()
    page.evaluate("window.stayed = true")
    action.get_by_role("button", name="Done").click()
    expect(page.locator("#actions")).not_to_contain_text(title)
    assert page.evaluate("window.stayed") is True


def test_the_theme_is_switched_and_kept(page: Page) -> None:
    page.get_by_label("Appearance").click()
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"


@pytest.mark.parametrize("path", ["/board", "/forecast", "/deals/{deal}", "/day", "/inbox"])
def test_the_phone_layout_fits_and_targets_are_large_enough(page: Page, product: Product, path: str) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(path.format(deal=product.ids["Deal 08"]))
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        "[...document.querySelectorAll('button, summary, select, input:not([type=hidden]), nav a')]"
        ".filter(each => each.offsetParent && !each.closest('.hidden-visually'))"
        ".map(each => [each.outerHTML.slice(0, 90), each.getBoundingClientRect()])"
        ".filter(([, box]) => box.width && (box.width < 24 || box.height < 24)).map(([html]) => html)"
    )
    assert small == []


def test_the_drill_down_of_a_forecast(page: Page) -> None:
    page.goto("/forecast")
    expect(page.locator(".figures")).to_contain_text("AI P50")
    page.locator(".person-table").get_by_role("link", name="Lena Koch").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Lena Koch")
    page.get_by_label("Period").select_option(index=0)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Lena Koch")


def test_pages_work_without_script(chromium: Browser, product: Product) -> None:
    context = chromium.new_context(base_url=product.address, java_script_enabled=False)
    tab = context.new_page()
    tab.goto("/board")
    tab.fill("#email", "tomas@web.example")
    tab.fill("#password", PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    name = "Deal 18"
    assert tab.locator("[data-column=prospecting]").get_by_text(name).count() == 1
    menu = tab.locator(f'[data-name="{name}"]')
    menu.hover()
    menu.locator("summary").click()
    menu.get_by_role("button", name="Negotiation").click()
    expect(tab.locator("[data-column=negotiation]")).to_contain_text(name)
    context.close()


def test_a_record_is_found_and_a_reference_picked_by_keyboard(page: Page) -> None:
    page.goto("/day")
    page.keyboard.press("/")
    box = page.get_by_role("dialog", name="Search all records")
    expect(box).to_be_visible()
    page.keyboard.type("Corvex")
    expect(box.get_by_role("link", name="Corvex")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Corvex")
    page.goto("/records/contacts/new")
    page.get_by_label("Last name").fill("Keys")
    owner = page.get_by_role("combobox", name="Owner")
    owner.fill("lena")
    expect(page.get_by_role("option", name="Lena Koch")).to_have_attribute("aria-selected", "true")
    owner.press("Enter")
    expect(owner).to_have_value("Lena Koch")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Keys")
    expect(page.locator(".facts").first).to_contain_text("Lena Koch")


def test_pages_of_records_fit_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/records/opportunities", "/records/contacts/new", "/records/users", "/find?q=lena"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
    page.locator(".places summary").click()
    expect(page.get_by_role("link", name="Price books")).to_be_visible()
