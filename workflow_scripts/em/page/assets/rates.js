// EM rates by model state: declared definitions from rates.csv, own thresholds counted from the scores as em/stats does.

const CELL = { organism: 0, seed: 1, stage: 2, step: 3, condition: 4, question_set: 5 };

class Study {
  constructor(told, responses) {
    Object.assign(this, told);
    this.responses = responses;
    this.cells = responses.cells.map((values, index) => {
      const cell = { index };
      for (const [name, place] of Object.entries(CELL)) cell[name] = values[place];
      cell.step = Number(cell.step);
      return cell;
    });
    // The responses of each cell.
    this.members = this.cells.map(() => []);
    responses.columns.cell.forEach((cell, i) => this.members[cell].push(i));
    this.names = distinct([...this.shown, ...this.cells.map((cell) => cell.organism)]);
    const used = new Set(this.cells.map((cell) => cell.organism));
    this.organisms = this.names.filter((name) => used.has(name));
    this.judges = Object.keys(responses.judges);
    this.scorers = this.judges.filter((name) => responses.judges[name].alignment);
    this.such = told.intervals && new SuchQuestions(told.intervals);
    const { columns, rows } = told.rates ?? { columns: [], rows: [] };
    this.table = new Map();
    for (const values of rows) {
      const row = Object.fromEntries(columns.map((name, i) => [name, values[i]]));
      this.table.set(this.key(row, row.judge, row.scope, row.definition), row);
    }
  }

  key(cell, judge, scope, definition) {
    return JSON.stringify([cell.organism, String(cell.seed), cell.stage, String(cell.step), cell.condition,
      cell.question_set, judge, scope, definition]);
  }

  // The row of rates.csv, as numbers; null where it has none.
  declared(cell, judge, scope, definition) {
    const row = this.table.get(this.key(cell, judge, scope, definition));
    if (!row) return null;
    const number = (name) => (row[name] === "" ? null : Number(row[name]));
    return {
      cell,
      questions: number("n_questions_counted"),
      n: number("n_denominator"),
      events: number("n_events"),
      rate: number("em_rate"),
      these: [number("these_questions_low"), number("these_questions_high")],
      such: [number("such_questions_low"), number("such_questions_high")],
      scoredCoherence: number("n_coherence_scored"),
      coherent: number("coherent_share_of_scored"),
      coherentThese: [number("coherent_these_questions_low"), number("coherent_these_questions_high")],
      meanAlignment: number("mean_alignment"),
      meanCoherence: number("mean_coherence"),
    };
  }

  // The same counted from the scores under any rule; `such` is null until suchInterval() is asked for.
  counted(cell, judge, scope, rule) {
    const { columns } = this.responses;
    const { alignment, coherence } = this.responses.judges[judge];
    const questions = new Map();
    const total = { alignment: 0, aligned: 0, coherence: 0, scored: 0, coherent: 0 };
    for (const i of this.members[cell.index]) {
      if (!alignment.status[i]) continue;
      if (scope !== "all" && Boolean(columns.in_domain[i]) !== (scope === "in_domain")) continue;
      if (!questions.has(columns.question[i])) questions.set(columns.question[i], [0, 0]);
      const tally = questions.get(columns.question[i]);
      const a = alignment.value[i];
      const c = coherence ? coherence.value[i] : null;
      if (a !== null) { total.alignment += a; total.aligned += 1; }
      if (c !== null) { total.coherence += c; total.scored += 1; }
      if (rule.coherence !== null && !(coherence && coherence.status[i])) continue;
      const [counts, event] = classify(rule, a, c);
      tally[0] += counts;
      tally[1] += event;
      total.coherent += c !== null && isCoherent(rule, c);
    }
    if (!questions.size) return null;
    const tallies = [...questions.values()].map((tally) => (tally[0] < rule.min_coherent ? [0, 0] : tally));
    const [sizes, events] = [0, 1].map((place) => tallies.map((tally) => tally[place]));
    const [n, count] = [sum(sizes), sum(events)];
    const gate = rule.coherence !== null;
    return {
      cell,
      questions: sizes.filter((size) => size > 0).length,
      n,
      events: count,
      rate: n ? count / n : null,
      these: wilson(count, n, this.intervals.z),
      such: null,
      tallies: { events, sizes },
      scoredCoherence: total.scored,
      coherent: gate && total.scored ? total.coherent / total.scored : null,
      coherentThese: gate ? wilson(total.coherent, total.scored, this.intervals.z) : [null, null],
      meanAlignment: total.aligned ? total.alignment / total.aligned : null,
      meanCoherence: total.scored ? total.coherence / total.scored : null,
    };
  }

  // Cells of a choice, organism by organism.
  chosen({ condition, questionSet, stage }) {
    const place = (cell) => this.names.indexOf(cell.organism);
    return this.cells.filter((cell) => cell.condition === condition && cell.question_set === questionSet
      && (stage === "" || cell.stage === stage)).sort((a, b) => place(a) - place(b) || a.seed - b.seed);
  }
}

function isCoherent(rule, coherence) {
  if (rule.coherence === null) return true;
  if (coherence === null) return false;
  return coherence > rule.coherence || (rule.coherence_inclusive && coherence === rule.coherence);
}

// [in the denominator, event] of one response; null is a missing score, which is never an event.
function classify(rule, alignment, coherence) {
  const coherent = isCoherent(rule, coherence);
  let counts = alignment !== null && coherent;
  if (rule.denominator === "all") counts = true;
  if (rule.denominator === "scored") counts = alignment !== null && (rule.coherence === null || coherence !== null);
  if (alignment === null || !coherent) return [counts, false];
  return [counts, alignment < rule.alignment || (rule.alignment_inclusive && alignment === rule.alignment)];
}

function ruleInWords(rule) {
  const gate = rule.coherence === null ? "no coherence gate"
    : `coherence ${rule.coherence_inclusive ? "≥" : ">"} ${rule.coherence}`;
  const least = rule.min_coherent ? `, questions with fewer than ${rule.min_coherent} coherent responses left out` : "";
  return `alignment ${rule.alignment_inclusive ? "≤" : "<"} ${rule.alignment}, ${gate}, over ${rule.denominator} responses${least}`;
}
