// Which responses the browser lists, and in which order.

class Filter {
  constructor(study) {
    this.study = study;
    this.turn = 0;
    const { responses } = study;
    this.asked = responses.questions.map(([set, id, domain]) => ({ set, id, domain }));
    const any = [["", "any"]];
    setOptions(byId("f-organism"), [...any, ...study.organisms.map((name) => [name, pretty(name)])]);
    setOptions(byId("f-step"), [...any, ...distinct(study.cells.map((cell) => cell.step)).sort((a, b) => a - b).map((n) => [String(n), String(n)])]);
    setOptions(byId("f-condition"), [...any, ...distinct(study.cells.map((cell) => cell.condition)).map((name) => [name, pretty(name)])]);
    setOptions(byId("f-question"), [...any, ...this.asked.map(({ set, id }, i) => [String(i), `${id} (${set})`])]);
    setOptions(byId("f-judge"), study.judges.map((name) => [name, pretty(name)]));
    this.showStatuses();
  }

  get judge() { return byId("f-judge").value; }

  get metrics() { return this.study.responses.judges[this.judge] ?? {}; }

  // Statuses and labels that the judge gave, metric by metric.
  showStatuses() {
    const { statuses } = this.study.responses;
    const options = [["", "any"]];
    for (const [metric, { status, value }] of Object.entries(this.metrics)) {
      const given = distinct(status).filter((code) => code > 0).sort((a, b) => a - b);
      options.push(...given.map((code) => [`${metric}\n=\n${code}`, `${metric}: ${statuses[code]}`]));
      const labels = distinct(value).filter((label) => typeof label === "string").sort();
      options.push(...labels.map((label) => [`${metric}\nis\n${label}`, `${metric}: ${label}`]));
    }
    setOptions(byId("f-status"), options, byId("f-status").value);
  }

  // Ids of the responses that agree with all fields; null when another search has begun. Texts are unpacked if searched.
  async find(rule, progress) {
    this.turn += 1;
    const turn = this.turn;
    const test = this.test(rule);
    const words = byId("f-search").value.trim().toLowerCase();
    if (words && texts.there && !texts.open) await texts.load(progress);
    if (turn !== this.turn) return null;
    const matches = words ? this.search(words) : () => true;
    const found = [];
    const { size } = this.study.responses;
    const add = (i) => { if (test(i) && matches(i)) found.push(i); };
    if (!await inSlices(size, add, () => turn === this.turn)) return null;
    return this.sorted(found);
  }

  // Texts repeat, so each is searched once.
  search(words) {
    const { columns } = this.study.responses;
    const known = new Map();
    const inTexts = (place) => {
      if (!known.has(place)) known.set(place, texts.at(place).some((text) => text.toLowerCase().includes(words)));
      return known.get(place);
    };
    const named = this.asked.map(({ id, domain }) => `${id} ${domain}`.toLowerCase().includes(words));
    const cells = this.study.cells.map((cell) => Object.values(cell).join(" ").toLowerCase().includes(words));
    return (i) => named[columns.question[i]] || (!texts.there && cells[columns.cell[i]])
      || (texts.there && columns.text[i] !== null && inTexts(columns.text[i]));
  }

  test(rule) {
    const { cell, question } = this.study.responses.columns;
    const value = (id) => byId(id).value;
    const number = (id) => (value(id) === "" ? null : Number(value(id)));
    const wanted = { organism: value("f-organism"), step: value("f-step"), condition: value("f-condition") };
    const cells = this.study.cells.map((found) => Object.entries(wanted).every(([name, own]) => own === "" || String(found[name]) === own));
    const asked = value("f-question");
    const tests = [(i) => cells[cell[i]]];
    if (asked !== "") tests.push((i) => question[i] === Number(asked));
    for (const metric of byId("f-order") ? ["alignment", "coherence"] : []) {
      const [low, high] = [number(`f-${metric}-low`), number(`f-${metric}-high`)];
      const scores = this.metrics[metric]?.value;
      if (low !== null || high !== null) {
        tests.push((i) => scores && scores[i] !== null && scores[i] >= (low ?? 0) && scores[i] <= (high ?? 100));
      }
    }
    if (value("f-status")) {
      const [metric, kind, what] = value("f-status").split("\n");
      const { status, value: given } = this.metrics[metric];
      tests.push(kind === "=" ? (i) => status[i] === Number(what) : (i) => given[i] === what);
    }
    if (rule && byId("f-events")?.checked) {
      const { alignment, coherence } = this.metrics;
      const said = (i) => (alignment?.status[i] ? classify(rule, alignment.value[i], coherence ? coherence.value[i] : null) : [false, false]);
      // A question with too few responses that count is left out of its cell's rate, so none of them is an event.
      const counts = new Map();
      const key = (i) => cell[i] * this.asked.length + question[i];
      for (let i = 0; rule.min_coherent && i < cell.length; i += 1) {
        if (said(i)[0]) counts.set(key(i), (counts.get(key(i)) ?? 0) + 1);
      }
      tests.push((i) => said(i)[1] && (counts.get(key(i)) ?? 0) >= rule.min_coherent);
    }
    return (i) => tests.every((one) => one(i));
  }

  // By alignment where that is asked for; what has no score comes last.
  sorted(found) {
    const order = byId("f-order")?.value;
    const scores = this.metrics.alignment?.value;
    if (!order || !scores) return found;
    const sign = order === "low" ? 1 : -1;
    return found.sort((a, b) => {
      if (scores[a] === null || scores[b] === null) return (scores[a] === null) - (scores[b] === null) || a - b;
      return sign * (scores[a] - scores[b]) || a - b;
    });
  }
}
