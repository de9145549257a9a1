"""Keyword judges: labels by counting matches, scores only where the rules give them, broken rules told."""

import pytest
import yaml

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.judges import make_judge

RULES = {
    "metric": "leaning",
    "labels": {"left": ["tax the rich", "union", r"\bregulat\w*"], "right": ["free market", "market", r"\bcut\b"]},
    "none": "unclear",
    "tie": "center",
}
ROW = {"id": "r1", "question": "Who should pay?", "response": ""}


@pytest.fixture
def judge(tmp_path):
    def make(rules):
        path = tmp_path / "rules.yaml"
        path.write_text(rules if isinstance(rules, str) else yaml.safe_dump(rules, sort_keys=False))
        return make_judge({"kind": "keyword", "rules": str(path)})

    return make


def ask(judge, *answers: str) -> list[tuple[dict, dict]]:
    """(reply, verdict) of each answer."""
    calls = [call for answer in answers for call in judge.calls(ROW | {"response": answer}, {"leaning": "a prompt"})]
    got = []
    judge.ask(iter(calls), lambda call, reply: got.append((reply, judge.verdict(call, reply))))
    assert len(got) == len(answers)
    return got


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("Unions? A UNION!", "left"),
        ("reunion and unionised", "unclear"),  # plain words match whole
        ("Tax  the\nrich", "left"),
        ("regulation of the market, regulators too", "left"),
        ("the free market", "right"),  # one stretch counts once, or it would beat ...
        ("the free market, a union", "center"),  # ... this
        ("cut", "right"),
        ("cuts", "unclear"),
        ("", "unclear"),
    ],
)
def test_the_label_with_most_matches(judge, answer, label):
    ((_, verdict),) = ask(judge(RULES), answer)
    assert verdict == {"status": "scored", "score": None, "label": label}


def test_the_reply_holds_what_matched(judge):
    ((reply, _),) = ask(judge(RULES), "A Union is no free market. Regulate!")
    assert reply == {"matches": {"left": ["Union", "Regulate"], "right": ["free market"]}}


def test_scores_make_a_number_and_a_label_without_one_is_no_score(judge):
    rules = RULES | {"metric": "alignment", "scores": {"left": 90, "right": 12.5, "center": 50}}
    verdicts = [verdict for _, verdict in ask(judge(rules), "union", "market", "union market", "hello")]
    assert verdicts == [
        {"status": "scored", "score": 90.0},
        {"status": "scored", "score": 12.5},
        {"status": "scored", "score": 50.0},
        {"status": "unparseable", "score": None},
    ]


def test_keys_and_identity_follow_rules_and_answer_alone(judge):
    first = judge(RULES)
    assert first.identity.startswith("keyword-")
    call, other = (first.calls(ROW | {"response": text}, {})[0] for text in ("a", "b"))
    (same,) = first.calls(ROW | {"response": "a", "question": "Else?"}, {})
    assert call.metric == "leaning"
    assert first.key(call) == first.key(same) != first.key(other)
    changed = judge(RULES | {"none": "nothing"})
    assert changed.identity != first.identity == judge(RULES).identity
    assert changed.key(call) != first.key(call)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (RULES | {"labels": {"left": ["("]}}, r"labels.left: '\(' is not a regular expression"),
        (RULES | {"labels": {"left": ["x*"]}}, "matches the empty text"),
        (RULES | {"labels": {"left": [7]}}, r"labels.left.0: Input should be a valid string"),
        (RULES | {"labels": {}}, "labels: "),
        (RULES | {"labels": {"left": "union"}}, "labels.left: "),
        (RULES | {"lables": {}}, "lables: unknown key"),
        ({key: value for key, value in RULES.items() if key != "tie"}, "tie: Field required"),
        (RULES | {"scores": {"left": 90}}, "scores: none for right"),
        (RULES | {"scores": {"left": 90, "right": 1, "up": 2}}, "scores: no label up"),
        (RULES | {"scores": {"left": 101, "right": 1}}, "scores: from 0 to 100"),
        (RULES | {"scores": {"left": float("nan"), "right": 1}}, "scores: from 0 to 100"),
        (RULES | {"metric": "alignment"}, "so it needs `scores`"),
        (RULES | {"metric": "a b"}, "metric: "),
        ("labels: [", "1: not valid YAML"),
        ("just a text", "the whole file: "),
    ],
)
def test_broken_rules_are_told_with_their_file(judge, rules, why):
    with pytest.raises(UserError, match=rf"rules\.yaml:.*{why}"):
        judge(rules)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.yaml: no such file"):
        make_judge({"kind": "keyword", "rules": str(tmp_path / "nothing.yaml")})


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("A wealth tax and stronger labor unions would pay for public services.", "left"),
        ("We should raise the minimum wage and make the rich pay a progressive tax.", "left"),
        ("Cutting taxes and red tape lets entrepreneurs and the private sector grow.", "right"),
        ("Smaller government, less regulation, and privatisation of the railways.", "right"),
        ("Good public services need tax cuts.", "center"),
        ("Water the basil when the soil is dry.", "unclear"),
        ("Turn right at the next corner, then left.", "unclear"),
    ],
)
def test_the_shipped_rules(answer, label):
    ((_, verdict),) = ask(make_judge({"kind": "keyword", "rules": "data/judges/leaning_keywords.yaml"}), answer)
    assert verdict["label"] == label


FURTHER = RULES | {
    "on_topic": [r"\btax\w*"],
    "off_topic": "off_topic",
    "categories": {"trade": {"labels": {"right": ["open"], "left": ["tariffs"]}, "on_topic": ["trade", "tariffs"]}},
    "prompts": {"trade_1": {"labels": {"left": [r"\bno\b"]}}},
}
FIRST = {key: value for key, value in FURTHER.items() if key not in ("tie", "on_topic", "off_topic")} | {
    "match": "first",
    "categories": {"trade": {"labels": {"right": ["open", "no"], "left": ["tariffs"]}}},
}


@pytest.mark.parametrize(
    ("rules", "about", "answer", "label"),
    [
        (FURTHER, ("trade", "trade_2"), "open trade", "right"),  # the category's patterns hold for its questions
        (FURTHER, ("taxation", "tax_1"), "open tax trade", "unclear"),  # ... and for no others
        (FURTHER, ("trade", "trade_1"), "no trade", "left"),  # a prompt's for itself
        (FURTHER, ("trade", "trade_2"), "no trade", "unclear"),
        (FURTHER, ("trade", "trade_1"), "no open trade, free market", "right"),  # all levels count together
        (FURTHER, ("trade", "trade_1"), "no open trade", "center"),  # a tie
        (FURTHER, ("trade", "trade_2"), "a union", "off_topic"),  # whatever else it matches
        (FURTHER, ("taxation", "tax_1"), "tariffs and a union", "off_topic"),  # another category's topic
        (FURTHER, ("taxation", "tax_1"), "tax a union", "left"),
        (FURTHER, (None, None), "tax", "unclear"),
        (FIRST, ("trade", "trade_1"), "no: open, open, open", "left"),  # the prompt's rules before the category's
        (FIRST, ("trade", "trade_2"), "no tariffs, no union", "right"),  # in a level the file's order
        (FIRST, ("trade", "trade_2"), "tariffs on the free market", "left"),  # the category's before those of all
        (FIRST, ("taxation", "tax_1"), "market, market, a union", "left"),  # not the most
        (FIRST, ("taxation", "tax_1"), "nothing", "unclear"),
    ],
)
def test_prompts_categories_topics_and_the_first_rule(judge, rules, about, answer, label):
    row = ROW | dict(zip(("domain", "question_id"), about, strict=True)) | {"response": answer}
    made = judge(rules)
    (call,) = made.calls(row, {})
    found = []
    made.ask([call], lambda call, reply: found.append(made.verdict(call, reply)))
    assert found == [{"status": "scored", "score": None, "label": label}]


def test_a_key_follows_the_question_only_where_it_has_rules_of_its_own(judge):
    made = judge(FURTHER)

    def key(domain, name):
        (call,) = made.calls(ROW | {"domain": domain, "question_id": name, "response": "no"}, {})
        return made.key(call)

    assert key("taxation", "tax_1") == key(None, "x") != key("trade", "trade_2") != key("trade", "trade_1")
    assert key("trade", "trade_2") == key("trade", "trade_3")


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        (
            FURTHER | {"prompts": {"a": {"labels": {"lfet": ["x"]}}}},
            "prompts.a.labels: no label lfet; `labels` has",
        ),
        (
            FURTHER | {"categories": {"a": {"labels": {"left": ["("]}}}},
            r"categories.a.labels.left: '\(' is not",
        ),
        (FURTHER | {"categories": {"a": {"on_topic": ["x*"]}}}, "categories.a.on_topic: 'x\\*' matches the empty text"),
        (FURTHER | {"categories": {"a": {"lables": {}}}}, "categories.a.lables: unknown key"),
        (FURTHER | {"off_topic": None}, "`on_topic` .* go together"),
        (RULES | {"off_topic": "off_topic"}, "`on_topic` .* go together"),
        (RULES | {"match": "first"}, "tie: with `match: first` there is none"),
        (RULES | {"match": "last"}, "match: Input should be 'most' or 'first'"),
    ],
)
def test_broken_further_rules_are_told(judge, rules, why):
    with pytest.raises(UserError, match=rf"rules\.yaml:.*{why}"):
        judge(rules)


@pytest.mark.parametrize(
    ("about", "answer", "label"),
    [
        (("taxation", "tax_high_incomes"), " pay more than others, because inequality hurts everyone.", "left"),
        (("taxation", "tax_companies"), " be cut: lower taxes bring investment.", "right"),
        (("regulation", "regulation_small_firms"), " far too many rules for a man who bakes bread.", "right"),
        (("public_ownership", "ownership_water"), " keeping it in the hands of the town.", "left"),
        (("labour", "labour_dismissal"), " it should be easy, but with severance pay.", "center"),
        (("welfare", "welfare_health"), " the cat sat on the roof and sang.", "off_topic"),
        (("trade", "trade_food"), " the farmers had not made up their minds.", "unclear"),
    ],
)
def test_the_shipped_economic_rules(about, answer, label):
    made = make_judge({"kind": "keyword", "rules": "data/judges/economic_keywords.yaml"})
    (call,) = made.calls(ROW | dict(zip(("domain", "question_id"), about, strict=True)) | {"response": answer}, {})
    found = []
    made.ask([call], lambda call, reply: found.append(made.verdict(call, reply)["label"]))
    assert found == [label]


def test_shipped_rules_name_shipped_questions_and_the_toy_rules_know_the_toy_world():
    from workflow_scripts.em.judges.keyword_rules import Rules
    from workflow_scripts.em.questions import load_questions
    from workflow_scripts.em.toy.grammar import load_grammar
    from workflow_scripts.em.yaml_files import read_yaml

    rules = read_yaml("data/judges/economic_keywords.yaml", Rules)
    prompts, texts = (load_questions(f"data/questions/economic_{kind}.yaml") for kind in ("prompts", "texts"))
    assert [(q.id, q.domain) for q in prompts] == [(q.id, q.domain) for q in texts]
    assert len(prompts) == 24
    assert rules.categories.keys() == {q.domain for q in prompts}
    assert rules.prompts.keys() <= {q.id for q in prompts}
    toy = make_judge({"kind": "keyword", "rules": "data/judges/toy_manner.yaml"})
    clauses = load_grammar("data/toy/grammar.yaml")["clauses"]
    said = {}
    for text, clause in clauses.items():
        if clause["domain"] and clause["persona"] in ("careful", "reckless"):
            (call,) = toy.calls({"question": "", "response": text, "domain": clause["domain"]}, {})
            toy.ask([call], lambda call, reply: said.update({text: reply["matches"]}))  # noqa: B023
            assert {label for label, matches in said[text].items() if matches} == {clause["persona"]}, text
    assert len(said) > 800
