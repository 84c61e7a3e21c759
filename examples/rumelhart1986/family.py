"""The two family trees of 1986: 24 people, 12 relations, and every question that has an answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RELATIONS = (
    "father", "mother", "husband", "wife", "son", "daughter", "uncle", "aunt", "brother", "sister", "nephew", "niece",
)  # fmt: skip


class Couple(NamedTuple):
    husband: str
    wife: str
    son: str = ""
    daughter: str = ""


# The same tree twice: person k of one stands where person k of the other does.
ENGLISH = (
    Couple("Christopher", "Penelope", "Arthur", "Victoria"),
    Couple("Andrew", "Christine", "James", "Jennifer"),
    Couple("Arthur", "Margaret"),
    Couple("James", "Victoria", "Colin", "Charlotte"),
    Couple("Charles", "Jennifer"),
)
ITALIAN = (
    Couple("Roberto", "Maria", "Emilio", "Lucia"),
    Couple("Pierro", "Francesca", "Marco", "Angela"),
    Couple("Emilio", "Gina"),
    Couple("Marco", "Lucia", "Alfonso", "Sophia"),
    Couple("Tomaso", "Angela"),
)


def members(couples: tuple[Couple, ...]) -> list[str]:
    """The 12 people of a tree, the men first: parents before children in both halves."""
    men = [c.husband for c in couples] + [c.son for c in couples]
    women = [c.wife for c in couples] + [c.daughter for c in couples]
    return [name for name in dict.fromkeys(men + women) if name]


PEOPLE = members(ENGLISH) + members(ITALIAN)


def relatives(couples: tuple[Couple, ...]) -> dict[tuple[str, str], set[str]]:
    """(person, relation) -> all who stand in that relation to the person, where there is somebody."""
    found: dict[tuple[str, str], set[str]] = {}

    def note(person: str, relation: str, other: str) -> None:
        found.setdefault((person, relation), set()).add(other)

    for c in couples:
        note(c.husband, "wife", c.wife)
        note(c.wife, "husband", c.husband)
        for child, as_child in ((c.son, "son"), (c.daughter, "daughter")):
            for parent, as_parent in ((c.husband, "father"), (c.wife, "mother")):
                if child:
                    note(child, as_parent, parent)
                    note(parent, as_child, child)
        if c.son:
            note(c.son, "sister", c.daughter)
            note(c.daughter, "brother", c.son)
    for parents in couples:
        for sibling in (c for c in couples for parent in parents[:2] if parent in c[2:]):
            # a parent's sibling with whom they married
            other_child = next(name for name in sibling[2:] if name not in parents[:2])
            home = next(c for c in couples if other_child in c[:2])
            for child, as_child in ((parents.son, "nephew"), (parents.daughter, "niece")):
                for other, as_other in ((home.husband, "uncle"), (home.wife, "aunt")):
                    if child:
                        note(child, as_other, other)
                        note(other, as_child, child)
    return found


def questions() -> list[tuple[str, str, tuple[str, ...]]]:
    """Every (person, relation, answers) of both trees, in the order of PEOPLE and RELATIONS."""
    answers = relatives(ENGLISH) | relatives(ITALIAN)
    return [
        (person, relation, tuple(sorted(answers[person, relation], key=PEOPLE.index)))
        for person in PEOPLE
        for relation in RELATIONS
        if (person, relation) in answers
    ]


def coded() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The questions as numbers: person (104 × 24) and relation (104 × 12) one-hot, answers (104 × 24) 0 or 1."""
    asked = questions()
    person, relation, answer = (np.zeros((len(asked), D)) for D in (24, 12, 24))
    for i, (p, r, found) in enumerate(asked):
        person[i, PEOPLE.index(p)] = 1.0
        relation[i, RELATIONS.index(r)] = 1.0
        answer[i, [PEOPLE.index(name) for name in found]] = 1.0
    return person, relation, answer
