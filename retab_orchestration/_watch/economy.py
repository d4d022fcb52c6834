"""Whether to page the list or to ask for runs one by one: arithmetic on what pages and answers have cost."""

import math

__all__ = ["Economy"]

# Bytes. What a request costs besides its body, in the bytes that take as much work to read: about 0.4 ms of a core.
_REQUEST = 32 * 1024
# A page of more than this is halved, because reading it holds up everybody else on the loop.
_LARGEST_PAGE = 256 * 1024
_MOST_ROWS = 100
# Rows on the first page, when nobody knows how large a row is.
_FIRST_PAGE = 25
_LIKELY_ROW = 1024.0

# Seconds for which the list is left alone after it was not worth its price, and after it failed.
_AFTER_LOSS = 600.0
_AFTER_FAILURE = 15.0


class Economy:
    """What is known of the price of the list. Costs are in bytes, a request counted as some."""

    def __init__(self) -> None:
        self.limit = _FIRST_PAGE
        """Rows to ask for on the next page."""
        self._row = _LIKELY_ROW
        self._share = 1.0  # of the rows listed, those that somebody waits for
        self._failures = 0
        self._failed_until = self._lost_until = -math.inf
        self._worth_from = 0.0
        """So many runs may be worth it sooner: the first to be watched are few among those on the list."""

    def prefers_list(self, looks: float, watched: int, on_the_way: int, now: float) -> bool:
        """Tell whether a listing costs less than asking for runs one by one.

        Args:
            looks: How many looks it would save.
            watched: Runs, not waits, that are watched and that it may tell of.
            on_the_way: Those of them that it would come by on its way to the oldest that is wanted.
            now: The present time.
        """
        if now < self._failed_until or (now < self._lost_until and watched < self._worth_from):
            return False
        rows = on_the_way / self._share
        pages = math.ceil(rows / self._rows_per_page())
        return pages * _REQUEST + rows * self._row < looks * self.single

    @property
    def single(self) -> float:
        """What it costs to ask for one run."""
        return _REQUEST + self._row

    def goes_on(self, unseen: int, wanted: int, spent: float) -> bool:
        """Tell whether one page more is worth its price.

        Args:
            unseen: Runs that are wanted and were on no page yet.
            wanted: Runs that are wanted.
            spent: What the pages so far have cost.
        """
        return unseen * self.single > self._page() and spent + self._page() <= wanted * self.single

    def read_page(self, rows: int, size: int) -> float:
        """Learn from a page and return what it cost.

        Args:
            rows: How many rows it had.
            size: Its bytes.
        """
        if rows:
            self._row = size / rows
        if size > _LARGEST_PAGE:
            self.halve()
        elif rows >= self.limit:
            self.limit = min(_MOST_ROWS, max(self.limit, min(2 * self.limit, self._rows_per_page())))
        return _REQUEST + size

    def halve(self) -> bool:
        """Ask for half as many rows from now on; return whether fewer than before are possible."""
        before, self.limit = self.limit, max(1, self.limit // 2)
        return self.limit < before

    def ended(self, watched: int, found: int, rows: int, spent: float, now: float) -> None:
        """Learn from a listing.

        Args:
            watched: How many runs were watched when it began.
            found: How many of them it told of.
            rows: How many rows it had.
            spent: What it cost.
            now: The present time.
        """
        self._failures = 0
        if rows:
            self._share = min(1.0, max(found, 1) / rows)
        if spent > found * self.single:
            self._lost_until, self._worth_from = now + _AFTER_LOSS, 2 * watched
            self._share = 1.0  # it may be another list by then
        else:
            self._lost_until = -math.inf

    def failed(self, now: float) -> None:
        """Leave the list alone for a while, longer each time."""
        self._failed_until = now + min(_AFTER_LOSS, _AFTER_FAILURE * 2.0 ** min(self._failures, 10))
        self._failures += 1

    def _rows_per_page(self) -> int:
        return max(1, min(_MOST_ROWS, int(_LARGEST_PAGE / self._row)))

    def _page(self) -> float:
        return _REQUEST + self.limit * self._row
