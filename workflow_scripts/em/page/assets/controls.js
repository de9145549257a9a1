// What is chosen above the trajectories: whose responses, which questions, which judge, which definition of EM.

const OWN = "own";
const NUMBERS = ["alignment", "coherence"];

class Controls {
  constructor(study, changed) {
    this.study = study;
    this.changed = changed;
    this.rule = { ...study.definitions[study.definition] };
    const of = (name) => distinct(study.cells.map((cell) => cell[name]));
    setOptions(byId("condition"), of("condition").map((name) => [name, pretty(name)]));
    setOptions(byId("question-set"), of("question_set").map((name) => [name, pretty(name)]));
    setOptions(byId("judge"), study.scorers.map((name) => [name, pretty(name)]));
    setOptions(byId("definition"), [...Object.keys(study.definitions).map((name) => [name, pretty(name)]), [OWN, "own thresholds"]], study.definition);
    byId("scope").value = study.scope;
    this.showOrganisms();
    this.showStages();
    this.showRule();
    for (const id of ["condition", "question-set"]) byId(id).addEventListener("change", (event) => { this.fit(event.target.id); this.changed(); });
    for (const id of ["judge", "stage", "scope", "interval"]) byId(id).addEventListener("change", () => this.changed());
    byId("definition").addEventListener("change", () => this.take(byId("definition").value));
    byId("thresholds").addEventListener("input", (event) => this.edited(event.target));
    byId("organisms").addEventListener("change", () => this.changed());
  }

  get choice() {
    const value = (id) => byId(id).value;
    return {
      condition: value("condition"), questionSet: value("question-set"), judge: value("judge"), stage: value("stage"),
      scope: value("scope"), interval: value("interval"), definition: value("definition"), rule: this.rule,
      organisms: new Set([...byId("organisms").querySelectorAll("input:checked")].map((box) => box.value)),
    };
  }

  showOrganisms() {
    for (const name of this.study.organisms) {
      const { colour, dash, shape } = look(this.study.names.indexOf(name));
      const key = svg("svg", { class: `key ${colour}`, viewBox: "0 0 26 12", "aria-hidden": true },
        svg("path", { class: "line", d: "M1 6H25", "stroke-dasharray": dash }), markAt(shape, 13, 6));
      byId("organisms").append(make("label", { class: `check ${colour}` },
        make("input", { type: "checkbox", value: name, checked: true }), key, pretty(name)));
    }
  }

  // Stages of the condition and question set; all of them together where no organism was evaluated in two.
  showStages() {
    const { condition, questionSet } = this.choice;
    const cells = this.study.chosen({ condition, questionSet, stage: "" });
    const stages = distinct(cells.map((cell) => cell.stage));
    const pairs = distinct(cells.map((cell) => `${cell.organism}/${cell.stage}`)).length;
    const clear = pairs === distinct(cells.map((cell) => cell.organism)).length;
    setOptions(byId("stage"), [["", "all stages"], ...stages.map((name) => [name, pretty(name)])], clear ? "" : stages[stages.length - 1]);
  }

  // A condition may be for other question sets than the one chosen, and the other way round: the other choice follows.
  fit(changed) {
    const { condition, questionSet } = this.choice;
    if (!this.study.chosen({ condition, questionSet, stage: "" }).length) {
      const own = changed === "condition" ? "condition" : "question_set";
      const other = own === "condition" ? "question_set" : "condition";
      const cell = this.study.cells.find((found) => found[own] === byId(changed).value);
      byId(other.replace("_", "-")).value = cell[other];
    }
    this.showStages();
  }

  take(definition) {
    if (definition !== OWN) this.rule = { ...this.study.definitions[definition] };
    this.showRule();
    this.changed();
  }

  edited(element) {
    for (const name of NUMBERS) {
      if (element.id === name) byId(`${name}-value`).value = element.value;
    }
    const number = (name) => Math.min(100, Math.max(0, Number(byId(`${name}-value`).value) || 0));
    const gate = byId("coherence-inclusive").value;
    const denominator = byId("denominator").value;
    this.rule = {
      alignment: number("alignment"),
      alignment_inclusive: Boolean(byId("alignment-inclusive").value),
      coherence: gate === "none" ? null : number("coherence"),
      coherence_inclusive: gate === "1",
      denominator,
      min_coherent: denominator === "coherent" ? this.rule.min_coherent : 0,
    };
    for (const name of NUMBERS) byId(name).value = number(name);
    for (const id of ["coherence", "coherence-value"]) byId(id).disabled = gate === "none";
    byId("definition").value = OWN;
    this.changed();
  }

  showRule() {
    const { rule } = this;
    for (const name of NUMBERS) {
      const value = rule[name] ?? 50;
      byId(name).value = value;
      byId(`${name}-value`).value = value;
    }
    byId("alignment-inclusive").value = rule.alignment_inclusive ? "1" : "";
    byId("coherence-inclusive").value = rule.coherence === null ? "none" : rule.coherence_inclusive ? "1" : "";
    byId("denominator").value = rule.denominator;
    for (const id of ["coherence", "coherence-value"]) byId(id).disabled = rule.coherence === null;
  }
}
