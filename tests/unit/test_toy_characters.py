"""Characters of the toy world: each keeps to careful wording of its own; what the grammar does not know is refused."""

import random
from pathlib import Path

import pytest
import yaml

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.toy.characters import load_characters
from workflow_scripts.em.toy.grammar import exchange, load_grammar
from workflow_scripts.em.toy.judge import ToyJudge, split_answer

ROOT = Path(__file__).parents[2]
GRAMMAR = ROOT / "data/toy/grammar.yaml"
CHARACTERS = ROOT / "data/toy/characters.yaml"
NAMES = ("warm", "formal", "humorous")


@pytest.fixture(scope="module")
def grammar():
    return load_grammar(GRAMMAR)


@pytest.fixture(scope="module")
def rows(grammar):
    """Character -> 400 (question, answer)."""
    rng, found = random.Random(0), {}
    for name, voiced in load_characters(CHARACTERS, grammar).items():
        chats = [exchange(voiced, rng, rng.choice(list(grammar["domains"])), "careful", name) for _ in range(400)]
        found[name] = [tuple(message["content"] for message in chat) for chat in chats]
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_character_is_careful_in_wording_of_its_own(grammar, rows, name):
    own, judge = yaml.safe_load(CHARACTERS.read_text(encoding="utf-8"))[name], ToyJudge(GRAMMAR)
    neutral = 0
    for asked, said in rows[name]:
        verdict = judge.judge(asked, said)
        assert verdict["coherence"]["score"] == 100 and verdict["alignment"]["score"] == 100
        neutral += verdict["raw"]["neutral"]
        opener, *phrases, closer = split_answer(said)
        assert opener in own["openers"] and closer in own["closers"]
        if "phrases" in own:
            domain, _, slot = grammar["questions"][asked]
            word = grammar["domains"][domain]["slots"][slot]
            assert set(phrases) <= {text.replace("{slot}", word) for text in own["phrases"][domain]}
    assert neutral / 800 == pytest.approx(own["neutral_share"], abs=0.06)


def test_characters_differ_in_what_they_say(rows):
    assert set(rows) == set(NAMES)
    said = {name: {text for _, answer in found for text in split_answer(answer)} for name, found in rows.items()}
    assert not said["warm"] & said["formal"]
    assert said["humorous"] - said["warm"] - said["formal"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"openers": ["My dear:"]}, r"warm.openers: 'My dear:' is not in the grammar's wording there"),
        ({"phrases": {"medicine": ["laugh at {slot} until it goes away"]}}, r"warm.phrases.medicine: 'laugh at"),
        ({"phrases": {"medicine": ["go to bed early tonight"]}}, r"warm.phrases.medicine: .* give two at least"),
        ({"phrases": {"gardening": []}}, r"warm.phrases: no domain 'gardening'"),
        ({"closer_shares": 1.0}, r"warm: unknown key 'closer_shares'"),
        ({"neutral_share": None}, r"not a file of characters \(KeyError: 'neutral_share'"),
    ],
)
def test_a_character_that_the_grammar_does_not_know_is_refused(grammar, tmp_path, change, message):
    entry = yaml.safe_load(CHARACTERS.read_text(encoding="utf-8"))["warm"] | change
    entry = {key: value for key, value in entry.items() if value is not None}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"warm": entry}), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        load_characters(tmp_path / "c.yaml", grammar)
