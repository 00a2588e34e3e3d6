"""The clock tells a fixed time here, and computes with dates."""

from datetime import datetime, timedelta, timezone

import pytest

from liuli.act.builtin.clock import Clock
from liuli.act.load import load_tools
from liuli.act.tools import Tools

NOW = datetime(2026, 2, 28, 9, 5, 7, tzinfo=timezone(timedelta(hours=8)))


@pytest.fixture
def tools() -> Tools:
    return Tools([Clock(lambda: NOW)])


def test_the_time(tools):
    assert tools.call("current_time", {}).text == "2026-02-28 09:05:07 UTC+08:00, Saturday 星期六"


def test_the_real_time_is_told_too():
    assert load_tools(["clock"]).call("current_time", {}).ok


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("days_between", {"start": "2024-02-28", "end": "2024-03-01"}, "2"),
        ("days_between", {"start": "2024-03-01", "end": "2024-02-28"}, "-2"),
        ("days_between", {"start": "1900-01-01", "end": "2000-01-01"}, "36524"),
        ("weekday", {"day": "2000-01-01"}, "Saturday 星期六"),
        ("add_to_date", {"start": "2024-01-31", "months": 1}, "2024-02-29, Thursday 星期四"),
        ("add_to_date", {"start": "2024-02-29", "years": 1}, "2025-02-28, Friday 星期五"),
        ("add_to_date", {"start": "2023-12-31", "days": 1}, "2024-01-01, Monday 星期一"),
        ("add_to_date", {"start": "2024-01-01", "days": -1}, "2023-12-31, Sunday 星期日"),
        ("add_to_date", {"start": "2024-01-01", "months": -13, "weeks": 1}, "2022-12-08, Thursday 星期四"),
    ],
)
def test_arithmetic(tools, name, arguments, text):
    assert tools.call(name, arguments).text == text


@pytest.mark.parametrize(
    ("name", "arguments", "kind", "words"),
    [
        ("weekday", {"day": "2024-02-30"}, "arguments", "day"),
        ("weekday", {"day": "tomorrow"}, "arguments", "valid date"),
        ("add_to_date", {"start": "2024-01-01", "years": 9000}, "error", "between the years 1 and 9999"),
        ("add_to_date", {"start": "9999-12-31", "days": 1}, "error", "between the years 1 and 9999"),
        ("add_to_date", {"start": "2024-01-01", "days": 10**9}, "error", "At most 1,000,000"),
    ],
)
def test_dates_that_do_not_exist(tools, name, arguments, kind, words):
    found = tools.call(name, arguments)
    assert found.failure == kind
    assert words in found.text
