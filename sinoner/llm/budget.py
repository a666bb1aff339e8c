"""What a run may spend: reserve the most a request can cost before it is sent, settle when it is answered."""

from __future__ import annotations

from decimal import Decimal

_NOTHING = Decimal(0)


class Budget:
    """A limit on money, on tokens, on both or on neither.

    ``spent + reserved`` never exceeds a limit as long as no request uses more than was reserved for it.
    Where a provider bills more, the sum is entered as billed and nothing more is granted.

    One budget belongs to one event loop: between the check and the booking there is no await.
    """

    def __init__(
        self,
        max_cost: Decimal | None,
        max_tokens: int | None,
        spent_cost: Decimal = _NOTHING,
        spent_tokens: int = 0,
    ) -> None:
        """Start a budget.

        Args:
            max_cost: most that may be spent, in the currency of the price; None = no limit.
            max_tokens: most prompt and completion tokens together; None = no limit.
            spent_cost: what earlier runs of the same folder have spent.
            spent_tokens: tokens they have used.
        """
        self._max_cost = max_cost
        self._max_tokens = max_tokens
        self._spent_cost = spent_cost
        self._spent_tokens = spent_tokens
        self._reserved_cost = _NOTHING
        self._reserved_tokens = 0

    @property
    def spent_cost(self) -> Decimal:
        """Money spent, in the currency of the limit."""
        return self._spent_cost

    @property
    def spent_tokens(self) -> int:
        """Tokens used."""
        return self._spent_tokens

    @property
    def reserved_cost(self) -> Decimal:
        """Money set aside for requests in flight."""
        return self._reserved_cost

    @property
    def reserved_tokens(self) -> int:
        """Tokens set aside for requests in flight."""
        return self._reserved_tokens

    def reserve(self, cost: Decimal, tokens: int) -> bool:
        """Set aside what a request can cost at most.

        Returns:
            False when it does not fit now; then nothing is set aside. It may fit once others are settled.

        Raises:
            ValueError: an amount is negative.
        """
        _no_debt(cost, tokens)
        if not self._fits(self._reserved_cost + cost, self._reserved_tokens + tokens):
            return False
        self._reserved_cost += cost
        self._reserved_tokens += tokens
        return True

    def force(self, cost: Decimal, tokens: int) -> None:
        """Set aside what is on its way already, sent by an earlier process, whether it fits or not."""
        _no_debt(cost, tokens)
        self._reserved_cost += cost
        self._reserved_tokens += tokens

    def settle(self, reserved: tuple[Decimal, int], used: tuple[Decimal, int]) -> None:
        """Book what an answered (or failed) request has used and free the rest of its reservation.

        Args:
            reserved: money and tokens, as they were reserved.
            used: money and tokens, as billed; ``(0, 0)`` for a request that never cost anything.

        Raises:
            ValueError: an amount is negative, or more than is reserved would be freed.
        """
        _no_debt(*reserved)
        _no_debt(*used)
        if reserved[0] > self._reserved_cost or reserved[1] > self._reserved_tokens:
            raise ValueError(f"settles {reserved}, of which not all is reserved")
        self._reserved_cost -= reserved[0]
        self._reserved_tokens -= reserved[1]
        self._spent_cost += used[0]
        self._spent_tokens += used[1]

    def _fits(self, cost: Decimal, tokens: int) -> bool:
        return (self._max_cost is None or self._spent_cost + cost <= self._max_cost) and (
            self._max_tokens is None or self._spent_tokens + tokens <= self._max_tokens
        )


def _no_debt(cost: Decimal, tokens: int) -> None:
    if cost < 0 or tokens < 0:
        raise ValueError(f"negative amount: {cost}, {tokens} tokens")
