"""The way of a user through the UI, in a real browser: select, look, order, import, train, look again."""

import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from edsel_assets_tests.browser.conftest import Desk

_PATIENCE = 120_000  # ms for a run to end on a busy machine
_JOBS = "/locations/edsel_assets.definitions/jobs"
_CELL = "00010|k_center"
_GRAPH = {"x": 385, "y": 230, "width": 1110, "height": 500}  # the graph's own part of the page


@pytest.fixture
def page(chromium: str) -> Iterator[Page]:
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []  # chromium has no sandbox for root
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def test_a_user_selects_orders_imports_and_sees_the_curve_move(
    desk: Desk, page: Page, screenshots: Path
) -> None:
    def picture(name: str) -> None:
        save(page.screenshot(), screenshots / f"{name}.png")

    open_the_graph(desk, page)
    save(page.screenshot(clip=_GRAPH), screenshots / "graph.png")

    materialize_from_the_dialog(desk, page, picture)
    look_at_the_selection(desk, page)
    picture("selection")
    follow_the_lineage(page)
    picture("lineage")

    launch(desk, page, "order_prompts", {"place_order": {"strategy": "k_center", "budget": 6}}, picture)
    look_at_the_order(desk, page)
    answers = answer(desk, "order-0001")
    launch(desk, page, "import_answers", {"take_answers_back": {"file": str(answers)}}, picture)
    launch(desk, page, "train_on_answers", {}, picture)

    look_at_the_curve(desk, page)
    picture("spend-curve")
    look_at_the_runs(desk, page)
    picture("runs")


def save(png: bytes, file: Path) -> None:
    """A page has few colours; a palette of them takes a third of the bytes."""
    Image.open(io.BytesIO(png)).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
        file, optimize=True
    )


def open_the_graph(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.url}/asset-groups")
    page.get_by_text("Hide navigation").click()  # leaves more room for tables
    page.reload()
    # Two rounds are told from each other without a click.
    for group in ("pool", "selection", "round_1", "round_2", "report"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible(timeout=_PATIENCE)


def materialize_from_the_dialog(desk: Desk, page: Page, picture) -> None:
    page.goto(f"{desk.url}/assets/selections?view=partitions&partition={_CELL.replace('|', '%7C')}")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 partition")
    for key in _CELL.split("|"):
        expect(dialog).to_contain_text(key)
    picture("dialog")
    dialog.get_by_role("button", name="Launch 1 run").click()
    page.get_by_text("View", exact=True).last.click()  # of the message that the run was started
    succeeded(page)


def succeeded(page: Page) -> None:
    """Wait on the page of a run until it has succeeded."""
    page.wait_for_url(re.compile("/runs/"))
    status = page.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first
    expect(status).to_be_visible(timeout=_PATIENCE)
    assert status.inner_text() == "Success", page.inner_text("body")


def look_at_the_selection(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.url}/assets/selections?view=partitions&partition={_CELL.replace('|', '%7C')}")
    pool = {
        row["prompt_id"]: row["prompt"]
        for row in pq.read_table(desk.store.folder / "pool.parquet").to_pylist()
    }
    picks = pq.read_table(desk.store.folder / "selections" / "00010" / "k_center.parquet").to_pylist()
    for pick in picks[:3]:
        expect(page.get_by_text(pool[pick["prompt_id"]][:40]).first).to_be_visible()


def follow_the_lineage(page: Page) -> None:
    """From the selection to the one ranking that it was cut from."""
    page.get_by_role("link", name="rankings[k_center]", exact=True).first.click()
    page.wait_for_url(re.compile(r"/assets/rankings\?.*partition=k_center"))
    expect(page.get_by_text("Farthest-first traversal.").first).to_be_visible()


def launch(desk: Desk, page: Page, job: str, ops: dict, picture) -> None:
    """Fill in a job's form, start it, wait until it has succeeded."""
    page.goto(f"{desk.url}{_JOBS}/{job}/playground")
    editor = page.locator(".CodeMirror").first
    editor.wait_for()
    if ops:
        config = {"ops": {name: {"config": settings} for name, settings in ops.items()}}
        editor.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(json.dumps(config))  # JSON is YAML, which an editor does not indent anew
    button = page.get_by_role("button", name="Launch Run")
    expect(button).to_be_enabled()
    picture(f"{job}".replace("_", "-"))
    button.click()
    succeeded(page)


def look_at_the_order(desk: Desk, page: Page) -> None:
    """The first order of all is there without the definitions being loaded anew."""
    page.goto(f"{desk.url}/assets/purchased_training_set?view=partitions")
    expect(page.get_by_text("order-0001").first).to_be_visible()


def answer(desk: Desk, order: str) -> Path:
    """What an annotator sends back: the demo's own responses to the prompts of an order."""
    asked = pq.read_table(desk.store.folder / "orders" / f"{order}.parquet")["prompt_id"].to_pylist()
    pool = {
        row["prompt_id"]: row["response"]
        for row in pq.read_table(desk.store.folder / "pool.parquet").to_pylist()
    }
    file = desk.home / "answers.jsonl"
    lines = [json.dumps({"order": order, "prompt_id": p, "response": pool[p]}) for p in asked]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def look_at_the_curve(desk: Desk, page: Page) -> None:
    """Before the order there was the base model alone; now there is a point that cost money."""
    page.goto(f"{desk.url}/assets/spend_curve")
    rows = pq.read_table(desk.store.folder / "spend_curve.parquet").to_pylist()
    base, bought = ([row for row in rows if row["order"] == order] for order in ("", "order-0001"))
    assert base, rows
    assert len(bought) == len(base), rows
    assert bought[0]["answered"] == 6, rows
    assert any(b["value"] != a["value"] for a, b in zip(base, bought, strict=True)), rows
    expect(page.get_by_text("order-0001").first).to_be_visible()
    see_a_picture(page)


def see_a_picture(page: Page) -> None:
    """A plot stands on the page itself, without a click."""
    plot = page.locator("img[src*='/edsel/pictures/']").first
    expect(plot).to_be_visible()
    assert plot.evaluate("image => image.complete && image.naturalWidth") > 300


def look_at_the_runs(desk: Desk, page: Page) -> None:
    page.goto(f"{desk.url}/runs")
    for launched in ("edsel run", "job train_on_answers"):
        expect(page.get_by_text(launched, exact=True).first).to_be_visible()
