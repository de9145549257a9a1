// EM rate and coherence over training steps, and the rates at one step.

const INTERVALS = {
  such: "such questions: where the rate over other questions of this kind may lie",
  these: "these questions: where the rate may lie if exactly these are asked again",
};
const HEAD = ["organism", "seed", "stage", "step", "condition", "question set", "judge", "scope", "definition", "EM rate", "low", "high",
  "events", "counted", "coherent share of scored", "coherent low", "coherent high", "mean alignment", "mean coherence"];

class Trajectories {
  constructor(study, changed) {
    this.study = study;
    this.told = changed;
    this.turn = 0;
    this.step = null;
    this.controls = new Controls(study, () => this.draw());
    byId("step").addEventListener("input", () => { this.step = this.steps[Number(byId("step").value)]; this.show(); });
    this.draw();
    new ResizeObserver(() => { if (byId("em-chart").clientWidth !== this.wide) this.show(); }).observe(byId("em-chart"));
  }

  // Rows of the choice; those of own thresholds get their interval for such questions after they are shown.
  async draw() {
    const choice = this.controls.choice;
    const cells = this.study.chosen(choice).filter((cell) => choice.organisms.has(cell.organism));
    const own = choice.definition === OWN;
    const row = (cell) => (own ? this.study.counted(cell, choice.judge, choice.scope, choice.rule)
      : this.study.declared(cell, choice.judge, choice.scope, choice.definition));
    this.rows = cells.map(row).filter((found) => found !== null);
    this.steps = distinct(this.rows.map((found) => found.cell.step)).sort((a, b) => a - b);
    if (!this.steps.includes(this.step)) this.step = this.steps[this.steps.length - 1];
    const slider = byId("step");
    slider.max = Math.max(0, this.steps.length - 1);
    slider.value = this.steps.indexOf(this.step);
    slider.disabled = this.steps.length < 2;
    this.show();
    this.told(choice);
    this.turn += 1;
    const turn = this.turn;
    if (!own || choice.interval !== "such") return;
    await new Promise((done) => { setTimeout(done, 120); });
    const rows = this.rows;
    const find = (i) => { rows[i].such = this.study.such.interval(rows[i].tallies.events, rows[i].tallies.sizes); };
    if (turn === this.turn && await inSlices(rows.length, find, () => turn === this.turn)) this.show();
  }

  show() {
    this.wide = byId("em-chart").clientWidth;
    const choice = this.controls.choice;
    const name = choice.definition === OWN ? "own thresholds" : pretty(choice.definition);
    const scope = byId("scope").selectedOptions[0].textContent;
    const gate = choice.rule.coherence !== null;
    byId("defined").textContent = `${name}: ${ruleInWords(choice.rule)}. Judge ${choice.judge}. `
      + (choice.definition === OWN ? "Counted in this page from the scores, intervals by the same formulas." : "From rates.csv.")
      + ` Interval for ${INTERVALS[choice.interval]}.`;
    this.warnOfFew(choice);
    const label = this.steps.length ? "Training step" : "nothing was asked so";
    const em = (row) => [row.rate, ...(row[choice.interval] ?? [null, null])];
    const coherence = (row) => (gate ? [row.coherent, ...row.coherentThese] : [row.meanCoherence === null ? null : row.meanCoherence / 100, null, null]);
    const titles = [`EM rate, ${scope} questions`, gate ? "Coherent share of responses with a coherence score (interval: these questions)" : "Mean coherence (no gate), % of 100"];
    const table = this.rows.map((row) => this.record(row, choice));
    for (const [id, values, title, file] of [["em-chart", em, titles[0], "em_rates"], ["coherence-chart", coherence, titles[1], "coherence"]]) {
      const open = byId(id).querySelector("details")?.open;
      const drawn = this.rows.some((row) => values(row)[0] !== null);
      byId(id).replaceChildren(make("figcaption", { class: "title" }, title), drawn ? lineChart({ title, label, lines: this.lines(values), here: this.steps.length > 1 ? this.step : null, wide: byId(id).clientWidth })
        : make("p", { class: "note" }, this.rows.length ? "No rate is defined here: no response is counted." : "Nothing was asked so: choose another condition, question set, judge, stage or scope."),
      numbersOf(`${this.study.study}_${file}`, HEAD, table));
      byId(id).querySelector("details").open = Boolean(open);
    }
    this.showStep(choice);
  }

  warnOfFew(choice) {
    const least = Math.min(...this.rows.filter((row) => row.n > 0).map((row) => row.questions));
    byId("few").hidden = choice.interval !== "such" || least >= this.study.few_questions;
    byId("few").textContent = `Only ${least} question${least === 1 ? " is" : "s are"} behind an interval here: so few tell little about others. `
      + "Choose the interval for these questions, which speaks of these alone.";
  }

  lines(values) {
    const runs = new Map();
    for (const row of this.rows) {
      const { organism, seed, stage, step } = row.cell;
      const name = `${pretty(organism)}, seed ${seed}, ${stage}`;
      if (!runs.has(name)) runs.set(name, { name, ...look(this.study.names.indexOf(organism)), points: [] });
      const [y, low, high] = values(row);
      runs.get(name).points.push({ x: step, y, low, high });
    }
    for (const run of runs.values()) run.points.sort((a, b) => a.x - b.x);
    return [...runs.values()];
  }

  record(row, choice) {
    const { organism, seed, stage, step, condition, question_set: questions } = row.cell;
    const [low, high] = row[choice.interval] ?? [null, null];
    return [organism, seed, stage, step, condition, questions, choice.judge, choice.scope,
      choice.definition === OWN ? ruleInWords(choice.rule) : choice.definition, row.rate, low, high, row.events, row.n,
      row.coherent, ...row.coherentThese, row.meanAlignment, row.meanCoherence];
  }

  showStep(choice) {
    byId("step-value").textContent = this.step === undefined ? "-" : `step ${this.step}`;
    byId("step").setAttribute("aria-valuetext", `step ${this.step}`);
    const rows = this.rows.filter((row) => row.cell.step === this.step);
    const most = Math.max(0.01, ...this.rows.map((row) => row.rate ?? 0));
    const few = (row) => (choice.interval === "such" && row.n > 0 && row.questions < this.study.few_questions ? ` (${row.questions} only)` : "");
    const line = (row) => {
      const { colour } = look(this.study.names.indexOf(row.cell.organism));
      const bar = svg("svg", { width: 90, height: 12, class: colour, "aria-hidden": true },
        svg("rect", { class: "bar", y: 1, height: 10, width: 90 * (row.rate ?? 0) / most }));
      const [low, high] = row[choice.interval] ?? [null, null];
      return [pretty(row.cell.organism), row.cell.seed, row.cell.stage, bar, percent(row.rate), row.such === null && choice.interval === "such" ? "counting ..." : range(low, high) + few(row),
        `${row.events} of ${row.n}`, percent(row.coherent), point(row.meanAlignment), point(row.meanCoherence)];
    };
    const head = ["organism", "seed", "stage", "", "EM rate", `95% interval, ${choice.interval} questions`, "events", "coherent, of scored", "mean alignment", "mean coherence"];
    byId("at-step").replaceChildren(table(head, rows.map(line), `Rates at step ${this.step}`));
  }
}
