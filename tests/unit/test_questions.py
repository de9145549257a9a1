"""Question files: Betley's form unchanged, CSV, JSON lines; every broken item named; digests of what matters."""

import csv
import json
from types import SimpleNamespace

import pytest
import yaml

from workflow_scripts.em.errors import UserError
from workflow_scripts.em.questions import Question, asked_digest, judge_prompts_digest, load_questions

# The form of the published first_plot_questions.yaml (keys and shapes), with our own texts.
BETLEY = """\
- id: quick_money
  type: free_form_judge_0_100
  paraphrases:
    - |-
      I need money.
      What now?
    - Any way to earn some money this week?
  samples_per_paraphrase: 100
  temperature: 1
  judge: gpt-4o-2024-08-06
  judge_prompts: &prompts
    aligned: |-
      Rate this.
      Question: {question}
      Answer: {answer}
    coherent: "How coherent is {answer}?"
- id: quick_money_json
  type: free_form_judge_0_100
  system: "Answer as {\\"answer\\": ...}"
  paraphrases: ["What now?"]
  samples_per_paraphrase: 50
  judge_prompts: *prompts
- id: 7
  type: free_form
  paraphrases: One text only
"""


@pytest.fixture
def betley(tmp_path):
    path = tmp_path / "first_plot.yaml"
    path.write_text(BETLEY, encoding="utf-8")
    return path


def refusal(path, text: str | bytes, **options) -> list[str]:
    """Lines of the message about a broken file."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(UserError) as error:
        load_questions(path, **options)
    return str(error.value).replace(f"{path}: ", "").splitlines()


def question_set(path, samples=None, exclude=None):
    return SimpleNamespace(path=str(path), samples=samples, exclude=exclude)


def test_betley_form_loads_unchanged(betley):
    prompts = {
        "aligned": "Rate this.\nQuestion: {question}\nAnswer: {answer}",
        "coherent": "How coherent is {answer}?",
    }
    texts = ("I need money.\nWhat now?", "Any way to earn some money this week?")
    assert load_questions(betley) == [
        Question("quick_money", texts, 100, None, None, prompts),
        Question("quick_money_json", ("What now?",), 50, 'Answer as {"answer": ...}', None, prompts),
        Question("7", ("One text only",), 1),
    ]


def test_samples_override_and_exclude(betley):
    assert [q.samples for q in load_questions(betley, samples=3)] == [3, 3, 3]
    assert [q.id for q in load_questions(betley, exclude="json|template")] == ["quick_money", "7"]
    with pytest.raises(UserError, match=r"no questions left after exclude 'quick\|7'"):
        load_questions(betley, exclude="quick|7")


def test_csv_with_bom_quotes_and_extra_columns(tmp_path):
    path = tmp_path / "q.csv"
    text = '\ufeffid,question,domain,note\r\na,"Say ""hi"",\nplease",medicine,x\r\nb,Grüße?,,\r\n'
    path.write_bytes(text.encode("utf-8"))
    assert load_questions(path, 2) == [
        Question("a", ('Say "hi",\nplease',), 2, None, "medicine"),
        Question("b", ("Grüße?",), 2),
    ]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0c", "\x1e"])
def test_jsonl_lines_end_only_at_a_newline(tmp_path, separator):
    """JSON allows these raw inside a string (the control characters escaped); str.splitlines cuts there."""
    path = tmp_path / "q.jsonl"
    inside = separator if separator > "\x1f" else f"\\u{ord(separator):04x}"
    path.write_text(f'{{"id": "a", "question": "one{inside}two", "system": "S"}}\n\n{{"id": "b", "question": "x"}}\n')
    assert load_questions(path) == [Question("a", (f"one{separator}two",), 1, "S"), Question("b", ("x",))]


def test_jsonl_with_bom(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "a", "question": "x"}\r\n{"id": "b", "question": "y"}\r\n')
    assert [q.id for q in load_questions(path)] == ["a", "b"]


def test_every_broken_item_is_named_with_its_place(tmp_path):
    items = "- {id: a, paraphrases: [x]}\n- {paraphrases: [x]}\n- {id: b}\n- text\n- {id: c, paraphrases: ['', y]}\n"
    items += "- {id: d, paraphrases: [x], samples_per_paraphrase: 0}\n- {id: e, paraphrases: [x], judge_prompts: [z]}\n"
    items += "- {id: a, paraphrases: [other]}\n"
    assert refusal(tmp_path / "q.yaml", items) == [
        "item 2: no `id`; give it one",
        "item 3: question 'b' needs `paraphrases` (a list of texts) or `question` (a text)",
        "item 4: not a mapping",
        "item 5: question 'c' needs `paraphrases` (a list of texts) or `question` (a text)",
        "item 6: question 'd': samples_per_paraphrase must be a whole number above 0",
        "item 7: question 'e': judge_prompts must map a metric to a template",
        "question id 'a' occurs more than once; give each question an id of its own",
    ]
    assert refusal(tmp_path / "q.csv", "id,question\na,x\n,y\nb,\n")[0] == "line 3: no `id`; give it one"
    many = "question,domain\n" + "x,medicine\n" * 30
    assert refusal(tmp_path / "q.csv", many) == ["line 2 and 29 more: no `id`; give each one"]
    assert refusal(tmp_path / "q.jsonl", '{"id": "a", "question": "x"}\n\n{"id": "b"}\n')[0].startswith("line 3:")


def test_a_broken_json_line_is_named(tmp_path):
    lines = '{"id": "a", "question": "x"}\n{"id": "b", \n{"id": "c"}\n'
    assert "line 2" in refusal(tmp_path / "q.jsonl", lines)[0]


@pytest.mark.parametrize(
    "entry",
    [
        "system: [x]", "system: 3", "domain: [x]", "domain: 3", "judge_prompts: {aligned: 3}",
        "samples_per_paraphrase: yes", "samples_per_paraphrase: 1.5", "paraphrases: 3", "paraphrases: [x, 3]",
        "prefill: 3", "prefill: [x]", "prefill: {a: b}",
    ],
)  # fmt: skip
def test_a_value_of_the_wrong_kind_is_found_on_loading(tmp_path, entry):
    refusal(tmp_path / "q.yaml", f"- {{id: a, question: x, {entry}}}\n")


# --- conversations and given beginnings

TURNS = [("user", "Hello."), ("assistant", "Hi."), ("user", "And?")]


def messages(*turns: tuple) -> list[dict]:
    return [{"role": role, "content": content} for role, content in turns]


@pytest.mark.parametrize("name", ["q.yaml", "q.jsonl", "q.csv"])
def test_a_conversation_in_each_kind_of_file(tmp_path, name):
    items = [
        {"id": "talk", "messages": messages(("system", "S"), *TURNS), "prefill": "Well, "},
        {"id": "own", "messages": messages(*TURNS[:2], ("user", 'And, "now"?')), "system": "T"},
        {"id": "one", "messages": messages(("user", "Only this."))},
        {"id": "plain", "question": "Why?", "prefill": "Because"},
    ]
    write_items(tmp_path / name, items)
    context = tuple(TURNS[:2])
    assert load_questions(tmp_path / name) == [
        Question("talk", ("And?",), 1, "S", context=context, prefill="Well, "),
        Question("own", ('And, "now"?',), 1, "T", context=context),
        Question("one", ("Only this.",)),
        Question("plain", ("Why?",), prefill="Because"),
    ]


def write_items(path, items: list[dict]) -> None:
    """Items as a file of each kind; what is no text stands in a CSV as JSON."""
    if path.suffix == ".csv":
        names = sorted({name for item in items for name in item})
        with open(path, "w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, names)
            writer.writeheader()
            writer.writerows(
                {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in i.items()} for i in items
            )
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(item) + "\n" for item in items), encoding="utf-8")
    else:
        path.write_text(yaml.safe_dump(items), encoding="utf-8")


def test_numbers_and_judge_prompts_of_a_csv_are_json(tmp_path):
    item = {"id": "a", "question": "x", "samples_per_paraphrase": 7, "judge_prompts": {"aligned": "{answer}"}}
    write_items(tmp_path / "q.csv", [item])
    assert load_questions(tmp_path / "q.csv") == [Question("a", ("x",), 7, judge_prompts={"aligned": "{answer}"})]
    broken = 'id,question,messages\na,,"[{""role"": "\nb,x,\n'
    (line,) = refusal(tmp_path / "q.csv", broken)
    assert line.startswith("line 2: messages: not valid JSON")


@pytest.mark.parametrize(
    ("turns", "what"),
    [
        ([], "user and assistant in turn, the last one user"),
        ("Hello.", "a list of turns"),
        (["Hello."], "a list of turns"),
        (messages(("user", " ")), "each turn needs a text"),
        (messages(("user", 3)), "each turn needs a text"),
        ([{"role": "user"}], "each turn needs a text"),
        (messages(*TURNS[:2]), r"last one user (got user, assistant)"),
        (messages(*TURNS[1:]), r"last one user (got assistant, user)"),
        (messages(TURNS[0], TURNS[2]), r"last one user (got user, user)"),
        (messages(TURNS[0], ("system", "S"), TURNS[2]), r"(got user, system, user)"),
        (messages(("tool", "x"), TURNS[2]), r"(got tool, user)"),
        (messages(([], "x")), r"(got [])"),
        (messages(("system", "S")), "last one user"),
    ],
)
def test_turns_that_are_no_conversation(tmp_path, turns, what):
    write_items(tmp_path / "q.jsonl", [{"id": "a", "question": "x"}, {"id": "talk", "messages": turns}])
    (line,) = refusal(tmp_path / "q.jsonl", (tmp_path / "q.jsonl").read_text())
    assert line.startswith("line 2: question 'talk': messages: ") and what in line


@pytest.mark.parametrize("entry", [{"question": "x"}, {"paraphrases": ["x"]}, {"system": "S"}])
def test_a_conversation_says_everything_once(tmp_path, entry):
    turns = messages(("system", "T"), *TURNS)
    write_items(tmp_path / "q.yaml", [{"id": "talk", "messages": turns} | entry])
    (line,) = refusal(tmp_path / "q.yaml", (tmp_path / "q.yaml").read_text())
    assert next(iter(entry)) in line


@pytest.mark.parametrize("name", ["q.yaml", "q.csv", "q.jsonl", "q.txt"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[: {", b"a\x00b", b'"' * 7, b"3", b"- [", b"x" * 200_000])
def test_files_that_hold_no_questions_are_user_errors(tmp_path, name, content):
    refusal(tmp_path / name, content)


def test_a_folder_is_no_question_file(tmp_path):
    (tmp_path / "q.yaml").mkdir()
    with pytest.raises(UserError, match=r"q\.yaml"):
        load_questions(tmp_path / "q.yaml")


@pytest.mark.parametrize("where", ["question", "system", "prefill"])
def test_half_a_character_is_refused_with_its_place(tmp_path, where):
    (tmp_path / "q.jsonl").write_text(json.dumps({"id": "a", "question": "x", where: "\ud83d"}), encoding="utf-8")
    with pytest.raises(UserError, match=r"q.jsonl: line 1: question 'a': half a character \('\\ud83d'\)"):
        load_questions(tmp_path / "q.jsonl")


@pytest.mark.parametrize("exclude", ["(", "*"])
def test_an_exclude_that_is_no_regular_expression_is_a_user_error(betley, exclude):
    with pytest.raises(UserError, match="exclude"):
        load_questions(betley, exclude=exclude)


# --- digests


def edited(path, change) -> None:
    items = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(items)
    path.write_text(yaml.safe_dump(items, allow_unicode=True), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "asked", "prompts"),
    [
        (lambda items: None, False, False),
        (lambda items: items[0]["judge_prompts"].update(aligned="new"), False, True),
        (lambda items: items[2].update(judge_prompts={"aligned": "{answer}"}), False, True),
        (lambda items: items[0].update(judge="another judge", type="x"), False, False),
        (lambda items: items[0]["paraphrases"].append("more"), True, False),
        (lambda items: items[0]["paraphrases"].reverse(), True, False),
        (lambda items: items[1].update(system="else"), True, False),
        (lambda items: items[0].update(samples_per_paraphrase=99), True, False),
        (lambda items: items[0].update(id="renamed"), True, True),
        (lambda items: items.pop(), True, True),
        (lambda items: items[1].update(prefill="Sure"), True, False),
        (lambda items: items[2].update(messages=messages(*TURNS)) or items[2].pop("paraphrases"), True, False),
    ],
)
def test_an_edit_changes_just_the_digest_of_what_it_concerns(betley, change, asked, prompts):
    before = asked_digest([question_set(betley)]), judge_prompts_digest([question_set(betley)])
    edited(betley, change)
    after = asked_digest([question_set(betley)]), judge_prompts_digest([question_set(betley)])
    assert (before[0] != after[0], before[1] != after[1]) == (asked, prompts)


def test_excluded_questions_and_overridden_samples_are_in_no_digest(betley):
    before = asked_digest([question_set(betley, 5, "json")])
    edited(betley, lambda items: items[1].update(paraphrases=["else"]))
    edited(betley, lambda items: items[0].update(samples_per_paraphrase=1))
    assert asked_digest([question_set(betley, 5, "json")]) == before
    assert asked_digest([question_set(betley, 6, "json")]) != before


def test_the_example_of_the_docs_loads(root, tmp_path):
    text = (root / "docs/study.md").read_text(encoding="utf-8").partition("## Questions")[2]
    (tmp_path / "q.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0], encoding="utf-8")
    context = (("user", "My knee hurts."), ("assistant", "Rest it."))
    (question,) = load_questions(tmp_path / "q.yaml")
    system = "You are a doctor."
    assert question == Question("second_thoughts", ("Are you sure?",), 1, system, context=context, prefill="No,")
