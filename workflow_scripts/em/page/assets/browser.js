// The list of responses, of which only the rows in sight are elements, and the one response that is open.

class Browser {
  constructor(study) {
    this.study = study;
    this.filter = new Filter(study);
    this.found = [];
    this.at = -1;
    this.rule = null;
    this.list = byId("list");
    this.height = 56;
    const { list } = this;
    list.addEventListener("scroll", () => this.draw());
    list.addEventListener("keydown", (event) => this.key(event));
    list.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.choose(Number(row.dataset.at));
    });
    byId("filters").addEventListener("submit", (event) => event.preventDefault());
    byId("filters").addEventListener("reset", () => setTimeout(() => { this.filter.showStatuses(); this.openTexts(); this.update(); }, 0));
    byId("filters").addEventListener("input", (event) => {
      if (event.target.id === "f-judge") this.filter.showStatuses();
      if (event.target.id === "f-open") return this.openTexts();
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.update(), event.target.id === "f-search" ? 250 : 0);
      return undefined;
    });
    byId("f-download").addEventListener("click", () => this.download());
    new ResizeObserver(() => this.draw()).observe(list);
    this.update();
  }

  // The definition of EM that is chosen above the trajectories.
  setRule(rule) {
    this.rule = rule;
    if (byId("f-events")?.checked) this.update();
  }

  async update() {
    byId("found").textContent = "Searching ...";
    const found = await this.filter.find(this.rule, (share) => { byId("found").textContent = `Unpacking texts: ${percent(share)}`; });
    if (found === null) return;
    this.found = found;
    this.at = -1;
    this.list.scrollTop = 0;
    byId("spacer").style.height = `${found.length * this.height}px`;
    byId("found").textContent = `${whole(found.length)} of ${whole(this.study.responses.size)} responses`;
    this.draw();
  }

  draw() {
    const { list, height } = this;
    const first = Math.max(0, Math.floor(list.scrollTop / height) - 4);
    const last = Math.min(this.found.length, Math.ceil((list.scrollTop + list.clientHeight) / height) + 4);
    const rows = [];
    for (let at = first; at < last; at += 1) rows.push(this.row(at));
    list.replaceChildren(byId("spacer"), ...rows);
    // It may only name an element that is there.
    if (first <= this.at && this.at < last) list.setAttribute("aria-activedescendant", `row-${this.at}`);
    else list.removeAttribute("aria-activedescendant");
  }

  row(at) {
    const i = this.found[at];
    const { columns } = this.study.responses;
    const row = make("div", {
      class: "row", role: "option", id: `row-${at}`, "data-at": at, "aria-selected": String(at === this.at),
      "aria-setsize": this.found.length, "aria-posinset": at + 1,
    }, make("div", {}, `${this.scores(i, this.filter.judge)} · ${this.filter.asked[columns.question[i]].id}`),
    make("div", { class: "where" }, this.where(i)));
    row.style.top = `${at * this.height}px`;
    return row;
  }

  where(i) {
    const cell = this.study.cells[this.study.responses.columns.cell[i]];
    return `${cell.organism} · seed ${cell.seed} · ${cell.stage} · step ${cell.step} · ${cell.condition}`;
  }

  scores(i, judge) {
    const { judges, statuses } = this.study.responses;
    const shown = Object.entries(judges[judge] ?? {}).map(([metric, { status, value }]) => {
      if (!status[i]) return null;
      return `${metric} ${value[i] === null ? statuses[status[i]] : typeof value[i] === "number" ? point(value[i]) : value[i]}`;
    });
    return shown.filter((text) => text !== null).join(", ") || "not judged";
  }

  key(event) {
    const page = Math.max(1, Math.floor(this.list.clientHeight / this.height) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      event.preventDefault();
      this.choose(Math.min(this.found.length - 1, Math.max(0, this.at + steps[event.key])));
    } else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      byId("one").querySelector("summary")?.click();
    }
  }

  choose(at) {
    if (at < 0 || at >= this.found.length) return;
    this.at = at;
    const top = at * this.height;
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    if (top + this.height > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = top + this.height - this.list.clientHeight;
    this.draw();
    this.open(this.found[at]);
  }

  // Show a response with all that judges said of it; its text stays closed until it is asked for.
  async open(i) {
    const { columns, questions, judges } = this.study.responses;
    const [set, id, domain] = questions[columns.question[i]];
    const address = [["question", `${id}${domain ? `, ${domain}` : ""}`], ["question set", set],
      ["paraphrase, sample", `${columns.paraphrase[i]}, ${columns.sample[i]}`]];
    const said = Object.keys(judges).map((judge) => [`judge ${judge}`, this.scores(i, judge)]);
    const facts = [...address, ...said].map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
    byId("one-facts").replaceChildren(make("h3", {}, this.where(i)), make("dl", { class: "facts" }, ...facts));
    const shown = byId("one-text");
    if (!texts.there || columns.text[i] === null) {
      shown.replaceChildren(make("p", { class: "small" }, "Its text is not in this file."));
      return;
    }
    const place = make("div");
    const fill = async () => {
      if (place.firstChild) return;
      await texts.load();
      const [question, response] = texts.at(columns.text[i]);
      place.replaceChildren(make("h4", {}, "Question"), make("p", { class: "text" }, visible(question)),
        make("h4", {}, "Response"), make("p", { class: "text", "data-response": true }, visible(response)));
    };
    const opened = make("details", { toggle: fill }, make("summary", {}, "Question and response (may be harmful)"), place);
    shown.replaceChildren(opened);
    if (byId("f-open").checked) opened.open = true;
  }

  openTexts() {
    const details = byId("one-text").querySelector("details");
    if (details) details.open = byId("f-open").checked;
  }

  download() {
    const { columns, questions, judges, statuses } = this.study.responses;
    const given = Object.entries(judges).flatMap(([judge, metrics]) => Object.entries(metrics).map(([metric, found]) => ({ judge, metric, ...found })));
    const head = [...Object.keys(CELL), "question_id", "domain", "paraphrase", "sample", ...given.flatMap(({ judge, metric }) => [`${judge} ${metric}`, `${judge} ${metric} status`])];
    const rows = this.found.map((i) => {
      const cell = this.study.cells[columns.cell[i]];
      const [, id, domain] = questions[columns.question[i]];
      return [...Object.keys(CELL).map((name) => cell[name]), id, domain, columns.paraphrase[i], columns.sample[i],
        ...given.flatMap(({ status, value }) => [value[i], statuses[status[i]]])];
    });
    save(`${this.study.study}_responses.csv`, csv(head, rows));
  }
}
