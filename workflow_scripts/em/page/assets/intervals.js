// The intervals of em/stats/intervals.py and profile.py, for thresholds that nobody declared. Grids, nodes and quantiles
// are Python's own (em/page/interval_constants.py); docs/methods.md has formulas and sources.

function wilson(events, n, z) {
  if (!n) return [null, null];
  const p = events / n;
  const centre = p + z * z / (2 * n);
  const half = z * Math.sqrt(p * (1 - p) / n + z * z / (4 * n * n));
  const scale = 1 + z * z / n;
  return [events === 0 ? 0 : Math.max(0, (centre - half) / scale), events === n ? 1 : Math.min(1, (centre + half) / scale)];
}

class SuchQuestions {
  constructor(constants) {
    Object.assign(this, constants);
    const [first, size] = constants.own;
    this.own = Float64Array.from({ length: size }, (_, i) => first + i * constants.step);
    this.questions = new Map();
    this.found = new Map();
  }

  // [low, high] of the rate over questions with these events and sizes; nulls below two questions.
  interval(events, sizes) {
    const pairs = events.map((e, i) => [e, sizes[i]]).filter(([, n]) => n).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const key = pairs.join(" ");
    if (!this.found.has(key)) this.found.set(key, this.compute(pairs));
    return this.found.get(key);
  }

  compute(pairs) {
    const k = pairs.length;
    if (k < 2) return [null, null];
    const total = sum(pairs.map(([, n]) => n));
    const count = sum(pairs.map(([e]) => e));
    if (count === 0 || count === total) {
      const bound = this.withoutEvents(pairs.map(([, n]) => n));
      return count ? [1 - bound, 1] : [0, bound];
    }
    const p = count / total;
    const robust = k / (k - 1) * sum(pairs.map(([e, n]) => (e - p * n) ** 2)) / total ** 2;
    const t = this.t[k - 2];
    const half = t * Math.sqrt(Math.max(robust, p * (1 - p) / total)) / (p * (1 - p));
    const ends = this.profileBounds(pairs, Math.sqrt(k * Math.log1p(t * t / (k - 1))));
    return [Math.min(expit(logit(p) - half), ends[0]), Math.max(expit(logit(p) + half), ends[1])];
  }

  // Where the signed root of the mean rate's penalised profile likelihood passes -quantile and +quantile.
  profileBounds(pairs, quantile) {
    const { means, spreads } = this;
    const table = new Float64Array(spreads.length * means.length);
    for (const [e, n] of pairs) {
      const share = Math.min(1, this.most / n);
      const one = this.question(e * share, n * share);
      for (let i = 0; i < table.length; i += 1) table[i] += one[i];
    }
    const at = (s, m) => table[s * means.length + m] - 0.5 * (spreads[s] / this.penalty) ** 2;
    const profile = means.map((_, m) => {
      let best = 0;
      for (let s = 1; s < spreads.length; s += 1) if (at(s, m) > at(best, m)) best = s;
      const top = Math.min(Math.max(best, 1), spreads.length - 2);
      return peak(at(top - 1, m), at(top, m), at(top + 1, m))[0];
    });
    const highest = profile.indexOf(Math.max(...profile));
    const top = Math.min(Math.max(highest, 1), profile.length - 2);
    const [best, place] = peak(profile[top - 1], profile[top], profile[top + 1]);
    const signed = profile.map((value, m) => (m < top + place ? -1 : 1) * Math.sqrt(2 * Math.max(best - value, 0)));
    const low = signed[0] < -quantile ? expit(interpolate(-quantile, signed, means)) : 0;
    const high = signed[signed.length - 1] > quantile ? expit(interpolate(quantile, signed, means)) : 1;
    return [low, high];
  }

  // Log-likelihood of one question by spread and mean rate, up to a constant.
  question(e, n) {
    const key = `${e} ${n}`;
    if (this.questions.has(key)) return this.questions.get(key);
    const { own, means } = this;
    const logs = own.map((x) => e * logExpit(x) + (n - e) * logExpit(-x));
    const largest = logs.reduce((a, b) => Math.max(a, b));
    const likely = logs.map((value) => Math.exp(value - largest));
    const found = new Float64Array(this.spreads.length * means.length);
    means.forEach((x, m) => { found[m] = e * logExpit(x) + (n - e) * logExpit(-x); });
    const kernel = this.kernel();
    for (let row = 0; row < found.length - means.length; row += 1) {
      let mixed = 0;
      for (let i = 0, j = row * own.length; i < own.length; i += 1, j += 1) mixed += kernel[j] * likely[i];
      found[means.length + row] = Math.log(Math.max(mixed, 1e-300)) + largest;
    }
    this.questions.set(key, found);
    return found;
  }

  // Share of questions at each own logit, by spread above 0 and mean rate.
  kernel() {
    if (this.shares) return this.shares;
    const { own, means, spreads, step } = this;
    this.shares = new Float64Array((spreads.length - 1) * means.length * own.length);
    let place = 0;
    for (let s = 1; s < spreads.length; s += 1) {
      const spread = spreads[s];
      for (const centre of this.centres[s - 1]) {
        const z = (i) => (own[i] - centre) / spread;
        for (let i = 0; i < own.length; i += 1) {
          this.shares[place + i] = Math.exp(-0.5 * z(i) ** 2) * step / spread / Math.sqrt(2 * Math.PI);
        }
        this.shares[place] = normalShare(z(0) + step / 2 / spread);
        this.shares[place + own.length - 1] = normalShare(-z(own.length - 1) + step / 2 / spread);
        place += own.length;
      }
    }
    return this.shares;
  }

  // The mean rate at which no event at all has a probability of `tail`.
  withoutEvents(sizes) {
    const excess = (mean) => {
      const centre = this.centre(mean, this.exact_spread);
      const none = this.nodes.map((node) => logExpit(-centre - this.exact_spread * node));
      const each = (n) => sum(none.map((value, i) => Math.exp(n * value) * this.weights[i]));
      return sum(sizes.map((n) => Math.log(Math.max(each(n), 1e-300)))) - Math.log(this.tail);
    };
    let low = logit(-Math.expm1(Math.log(this.tail) / sum(sizes)));
    let high = low + 25;
    for (let i = 0; i < 80; i += 1) {
      const middle = (low + high) / 2;
      if (excess(middle) > 0) low = middle; else high = middle;
    }
    return expit((low + high) / 2);
  }

  // The mu for which questions normal(mu, spread) on the logit scale have the mean rate expit(mean).
  centre(mean, spread) {
    let mu = mean;
    for (let i = 0; i < 100; i += 1) {
      const rates = this.nodes.map((node) => expit(mu + spread * node));
      const mixed = sum(rates.map((rate, j) => rate * this.weights[j]));
      const slope = sum(rates.map((rate, j) => rate * (1 - rate) * this.weights[j])) / (mixed * (1 - mixed));
      const change = (logit(mixed) - mean) / slope;
      mu -= change;
      if (Math.abs(change) < 1e-9) break;
    }
    return mu;
  }
}

// Height and place of the top of the parabola through three neighbours.
function peak(left, middle, right) {
  const bend = Math.min(left - 2 * middle + right, -1e-12);
  const slope = 0.5 * (right - left);
  const place = Math.min(1, Math.max(-1, -slope / bend));
  return [middle + place * slope + 0.5 * place ** 2 * bend, place];
}
