"""Clock: the current time, and arithmetic with dates."""

import calendar
from collections.abc import Callable
from datetime import date, datetime, timedelta

from liuli.act.observation import ToolError
from liuli.act.toolbox import Toolbox

WEEKDAYS = [
    "Monday 星期一",
    "Tuesday 星期二",
    "Wednesday 星期三",
    "Thursday 星期四",
    "Friday 星期五",
    "Saturday 星期六",
    "Sunday 星期日",
]
MOST = 1_000_000  # days, weeks, months or years that are added at once


class Clock(Toolbox):
    """Tools about dates.

    Args:
        now: the current local time with its time zone; tests give a fixed one.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now().astimezone()):
        self._now = now

    def current_time(self) -> str:
        """Tell the current date, time and weekday. 查询现在的日期、时间和星期。"""
        now = self._now()
        return f"{now:%Y-%m-%d %H:%M:%S} {now:%Z}, {WEEKDAYS[now.weekday()]}".replace(" ,", ",")

    def days_between(self, start: date, end: date) -> int:
        """Count the days from one date to another. 计算两个日期相差几天。The result is negative if the end is earlier.

        Args:
            start: such as 2024-02-28
            end: such as 2024-03-01
        """
        return (end - start).days

    def add_to_date(self, start: date, days: int = 0, weeks: int = 0, months: int = 0, years: int = 0) -> str:
        """Compute the date that is some days, weeks, months or years after a date. 计算某个日期之后或之前的日期。
        Negative numbers go back. If the month is shorter, its last day is used.

        Args:
            start: such as 2024-01-31
        """
        if max(abs(days), abs(weeks), abs(months), abs(years)) > MOST:
            raise ToolError(f"At most {MOST:,} days, weeks, months or years can be added.")
        month = start.year * 12 + start.month - 1 + months + years * 12
        if not date.min.year <= month // 12 <= date.max.year:
            raise ToolError("The result is not between the years 1 and 9999.")
        last = calendar.monthrange(month // 12, month % 12 + 1)[1]
        try:
            found = date(month // 12, month % 12 + 1, min(start.day, last)) + timedelta(days=days, weeks=weeks)
        except OverflowError:
            raise ToolError("The result is not between the years 1 and 9999.") from None
        return f"{found.isoformat()}, {WEEKDAYS[found.weekday()]}"

    def weekday(self, day: date) -> str:
        """Tell which day of the week a date is. 查询某一天是星期几。

        Args:
            day: such as 2024-02-28
        """
        return WEEKDAYS[day.weekday()]
