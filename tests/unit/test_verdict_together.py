"""Several studies in few sentences: every study has its say, the answer first, and what is open says what would settle it."""

from math import nan

import pytest
from clxai.verdict.records import Evidence, Kind, Statement
from clxai.verdict.rules import statements_of
from clxai.verdict.together import seeds_to_settle, together, told
from clxai.verdict.wording import sentence
from invented import ABOVE, everything, one, trust_contrasts


def statement(topic, weight, claim="claim"):
    return Statement(topic, claim, Kind.FOUND, (topic, str(weight)), weight=weight)


def test_each_study_has_its_say_before_any_has_a_second():
    many = [statement("answer", 0), *(statement("trust", weight) for weight in range(33, 49))]
    found = together({"one": many, "two": many[:2], "three": many}, most=7)
    assert [len(own) for own in found.values()] == [3, 2, 2]
    assert all(own[0].topic == "answer" for own in found.values())


def test_the_leading_topics_come_first_and_minor_statements_never():
    topics = ["trust", "differences", "differences", "oracle", "question", "answer"]
    given = [statement(topic, 40 - 5 * place) for place, topic in enumerate(topics)] + [statement("size", 60)]
    given += [statement("size", 48, "needed"), statement("trust", 1)]
    (found,) = together({"study": given}).values()
    assert [each.topic for each in found] == [
        "answer",
        "question",
        "oracle",
        "differences",
        "size",
        "trust",
        "differences",
        "trust",
    ]
    assert [each.weight for each in found][3:] == [30, 48, 1, 35, 40]


def test_no_more_than_ten_sentences_of_real_statements():
    given = statements_of(everything())
    found = together({"one": given, "two": given, "three": given})
    assert sum(map(len, found.values())) == 10
    assert [own[0].topic for own in found.values()] == ["answer"] * 3


def number(value, low, high, n_seeds=5):
    return Evidence("", value, low, high, n_seeds)


@pytest.mark.parametrize(
    ("given", "seeds"),
    [
        (number(0.1, -0.1, 0.3), 20),  # twice as wide as it may be: four times the seeds
        (number(-0.1, -0.25, 0.05), 12),  # 5 * 1.5^2 = 11.25
        (number(0.1, 0.05, 0.15), 5),  # 0 is out already
        (number(0.0, -0.1, 0.1), None),
        (number(0.1, nan, nan), None),
        (Evidence("", 0.1), None),
    ],
)
def test_seeds_that_would_settle_grow_with_the_square_of_the_width(given, seeds):
    assert seeds_to_settle(given) == seeds


def test_an_open_question_says_what_would_settle_it():
    study = everything(trust_contrasts=trust_contrasts([(-0.1, 0.102)]))
    (asked,) = (each for each in statements_of(study) if each.topic == "question")
    text = told(asked)
    assert text.startswith(sentence(asked).removesuffix("."))
    assert text.endswith("; to tell a difference of this size from 0 would take more than 1000 seeds.")
    wide = everything(trust_contrasts=trust_contrasts([(-0.1, 0.3)]))
    assert told(one(statements_of(wide), topic="question")).endswith("from 0 would take about 20 seeds.")
    sure = one(statements_of(everything(trust_contrasts=trust_contrasts([ABOVE]))), topic="question")
    assert told(sure) == sentence(sure)
