"""Plans of one run → which of them have to wait for which, and in what order they are begun. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.reference import ImageReference


def waits(plans: Mapping[int, BuildPlan]) -> dict[int, frozenset[int]]:
    """Return, for each plan, those that have to be done before it.

    An image waits for the one that it is built on, and for an equal one that stands before it, which it then finds.
    Where images go round in a circle, the one that stands first waits for nobody.
    """
    makers: dict[str, list[int]] = defaultdict(list)
    for number in sorted(plans):
        makers[_name(plans[number].reference)].append(number)
    known: dict[int, frozenset[int]] = {}
    for number in sorted(plans):
        plan = plans[number]
        bases = [plan.base_reference, *([plan.mirror_of] if plan.mirror_of else [])] if plan.needs_build else []
        first = makers[_name(plan.reference)][0]
        needed = {makers[name][0] for base in bases if (name := _name(base)) in makers} - {first, number}
        needed |= {first} - {number}
        known[number] = frozenset(one for one in needed if number not in _behind(one, known))
    return known


def interleaved(plans: Mapping[int, BuildPlan]) -> tuple[int, ...]:
    """Return the plans in the order to begin them: of each base one, then the second of each, and so on.

    Whoever comes first to a base brings it and reads what it holds, and the others of that base wait for this.
    """
    places: dict[str, int] = defaultdict(int)
    turns = []
    for number in sorted(plans):
        base = _name(plans[number].base_reference)
        turns.append((places[base], number))
        places[base] += 1
    return tuple(number for _, number in sorted(turns))


def _behind(number: int, known: Mapping[int, frozenset[int]]) -> set[int]:
    """Return all that ``number`` waits for, directly or not."""
    found: set[int] = set()
    new = set(known.get(number, ()))
    while new:
        found |= new
        new = {one for each in new for one in known.get(each, ())} - found
    return found


def _name(reference: ImageReference) -> str:
    return str(replace(reference, digest=None) if reference.tag else reference)
