"""How long an execution on AWS takes within the quotas of an account: a simulation, second by second.

*Conventions.* Every batch is one execution of a Distributed Map, which calls the function once or more. It begins when
the quotas have room for it: the executions of the map, the calls of the function, the environments of the function
(whose number grows at a fixed rate) and the transitions of states of the account.
"""

from collections import Counter
from dataclasses import dataclass

#: Transitions of states for a batch with one call, and for every further call (the definition in `modules/archive`).
BATCH_TRANSITIONS, CALL_TRANSITIONS = 5, 3


@dataclass(frozen=True)
class Quotas:
    """The limits on what runs at once. The defaults are those of an account that is not new.

    Attributes
    ----------
    max_concurrency : int, batches at once: the variable of the Terraform module
    map_executions : int, executions of a Distributed Map at once; fixed
    function_calls : int, calls at once of all functions of a region; 10 in a new account
    growth : float, new environments of a function a second
    transitions : float, transitions of states a second, and as many at once; 5,000 in some regions
    """

    max_concurrency: int = 1_000
    map_executions: int = 10_000
    function_calls: int = 1_000
    growth: float = 100.0
    transitions: float = 800.0

    @property
    def at_once(self) -> int:
        """Batches that can run at the same time."""
        return min(self.max_concurrency, self.map_executions, self.function_calls)


@dataclass(frozen=True)
class Course:
    """The course of an execution.

    Attributes
    ----------
    seconds : int, from the first batch to the end of the last
    most_at_once : int, batches
    transitions : int, of states, which are paid for
    limit : str, the quota that delayed it for the longest time; empty if no quota did
    """

    seconds: int
    most_at_once: int
    transitions: int
    limit: str


def simulate_execution(
    n_batches: int, call_s: float, quotas: Quotas | None = None, *, calls: int = 1, cold_start_s: float = 10.0
) -> Course:
    """Simulate the batches of an execution.

    Parameters
    ----------
    n_batches : int >= 0
    call_s : float > 0, seconds of one call of the function
    quotas : Quotas, optional
    calls : int > 0, calls that each batch needs
    cold_start_s : float, seconds that the first call of every environment takes longer

    Returns
    -------
    course : Course

    Examples
    --------
    100 TB in 48,200 batches of 37 s, a thousand at once; and in a new account.

    >>> simulate_execution(48_200, 37.0)
    Course(seconds=1824, most_at_once=1000, transitions=241000, limit='max_concurrency')
    >>> round(simulate_execution(48_200, 37.0, Quotas(function_calls=10)).seconds / 86400, 1)
    2.1
    """
    quotas = quotas or Quotas()
    transitions = BATCH_TRANSITIONS + CALL_TRANSITIONS * (calls - 1)
    rooms = {
        "max_concurrency": quotas.max_concurrency,
        "map_executions": quotas.map_executions,
        "function_calls": quotas.function_calls,
    }
    narrowest = min(rooms, key=lambda name: rooms[name])
    ends: Counter[int] = Counter()
    waits: Counter[str] = Counter()
    left, running, idle, made, second, most = n_batches, 0, 0, 0, 0, 0
    tokens = quotas.transitions
    while left or running:
        ended = ends.pop(second, 0)
        running, idle = running - ended, idle + ended
        may = {
            narrowest: quotas.at_once - running,
            "growth": idle + int(quotas.growth * (second + 1)) - made,
            "transitions": int(tokens // transitions),
        }
        begun = min(left, *may.values())
        if begun < left:
            waits[min(may, key=lambda name: may[name])] += 1
        warm = min(begun, idle)
        ends[second + max(1, round(calls * call_s))] += warm
        ends[second + max(1, round(calls * call_s + cold_start_s))] += begun - warm
        idle, made = idle - warm, made + begun - warm
        left, running, most = left - begun, running + begun, max(most, running + begun)
        tokens = min(quotas.transitions, tokens - begun * transitions + quotas.transitions)
        second += 1
    limit = waits.most_common(1)[0][0] if waits else ""
    return Course(max(0, second - 1), most, n_batches * transitions, limit)
