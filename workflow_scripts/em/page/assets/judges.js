// Two judges of the same responses: how often they gave which pair of scores or labels, and where they differ most.

const BINS = 20;
const LISTED = 50;

class Judges {
  constructor(study, open) {
    this.study = study;
    this.open = open;
    const options = study.judges.map((name) => [name, pretty(name)]);
    setOptions(byId("judge-a"), options, study.judges[0]);
    setOptions(byId("judge-b"), options, study.judges[1]);
    byId("compare").addEventListener("change", (event) => { if (event.target.id !== "judge-metric") this.showMetrics(); this.draw(); });
    this.showMetrics();
    this.draw();
  }

  showMetrics() {
    const { judges } = this.study.responses;
    const [a, b] = [byId("judge-a").value, byId("judge-b").value];
    const shared = Object.keys(judges[a]).filter((metric) => metric in judges[b]);
    setOptions(byId("judge-metric"), shared.map((name) => [name, pretty(name)]), byId("judge-metric").value);
  }

  draw() {
    const { judges, size } = this.study.responses;
    const [a, b, metric] = ["judge-a", "judge-b", "judge-metric"].map((id) => byId(id).value);
    if (!metric) return this.nothing(`${a} and ${b} give no metric in common.`);
    const [first, second] = [judges[a][metric].value, judges[b][metric].value];
    const both = Array.from({ length: size }, (_, i) => i).filter((i) => first[i] !== null && second[i] !== null);
    if (!both.length) return this.nothing(`${a} and ${b} scored no response in common.`);
    const labels = distinct([...first, ...second]).filter((value) => typeof value === "string").sort();
    const bins = labels.length || BINS;
    const bin = (value) => (labels.length ? labels.indexOf(String(value)) : Math.min(BINS - 1, Math.floor(value * BINS / 100)));
    const names = (i, short) => (labels.length ? labels[i] : short ? String(i * 100 / BINS) : `${i * 100 / BINS} to ${(i + 1) * 100 / BINS}`);
    const counts = {};
    for (const i of both) {
      const key = `${bin(first[i])} ${bin(second[i])}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    const rows = Object.entries(counts).map(([key, n]) => [...key.split(" ").map((at) => names(Number(at))), n]);
    const title = `${pretty(metric)} of ${whole(both.length)} responses that both scored`;
    byId("judge-chart").replaceChildren(make("figcaption", { class: "title" }, title), countMap({
      title, labelX: pretty(a), labelY: pretty(b), counts, size: bins, names,
      even: !labels.length,
      click: (i, j) => this.list(both.filter((at) => bin(first[at]) === i && bin(second[at]) === j), first, second, a, b),
    }), make("p", { class: "small" }, "The fuller the colour, the more responses (log scale). A click, or arrow keys and Enter, list those of a cell."),
    numbersOf(`${this.study.study}_${metric}_${a}_${b}`, [a, b, "responses"], rows));
    const far = (i) => (labels.length ? Number(first[i] !== second[i]) : Math.abs(first[i] - second[i]));
    const differ = both.filter((i) => far(i) > 0).sort((i, j) => far(j) - far(i) || i - j);
    this.list(differ, first, second, a, b);
    return undefined;
  }

  list(found, first, second, a, b) {
    const show = (value) => (typeof value === "number" ? point(value) : value);
    const { columns, questions } = this.study.responses;
    const rows = found.slice(0, LISTED).map((i) => make("li", {}, make("button", { type: "button", click: () => this.open(i) },
      `${a} ${show(first[i])}, ${b} ${show(second[i])} · ${questions[columns.question[i]][1]} · ${this.study.cells[columns.cell[i]].organism}, step ${this.study.cells[columns.cell[i]].step}`)));
    const more = found.length > LISTED ? [make("li", { class: "small" }, `and ${whole(found.length - LISTED)} more`)] : [];
    byId("differences").replaceChildren(...(rows.length ? [...rows, ...more] : [make("li", {}, "None.")]));
  }

  nothing(text) {
    byId("judge-chart").replaceChildren(make("p", { class: "note" }, text));
    byId("differences").replaceChildren();
  }
}
