// Numbers for people, and the few functions that statistics need.

const percent = (share) => (share === null || share === undefined ? "-" : `${(100 * share).toFixed(1)}%`);
const range = (low, high) => (low === null || low === undefined ? "no interval" : `${percent(low)} to ${percent(high)}`);
const whole = (n) => n.toLocaleString("en");
const point = (value) => (value === null || value === undefined ? "-" : String(Math.round(value * 10) / 10));
const sum = (values) => values.reduce((total, value) => total + value, 0);
const distinct = (values) => [...new Set(values)];
const pretty = (name) => name.replaceAll("_", " ");

const expit = (x) => 1 / (1 + Math.exp(-x));
const logit = (p) => Math.log(p / (1 - p));
// log(expit(x)) without overflow
const logExpit = (x) => (x < 0 ? x - Math.log1p(Math.exp(x)) : -Math.log1p(Math.exp(-x)));

// The normal distribution function: erfc by its continued fraction in the tail, by its series near 0.
function normalShare(z) {
  const x = Math.abs(z) / Math.SQRT2;
  let upper;
  if (x < 2.5) {
    let term = x;
    let erf = x;
    for (let n = 1; Math.abs(term) > 1e-17 * erf; n += 1) {
      term *= -x * x / n;
      erf += term / (2 * n + 1);
    }
    upper = 0.5 - erf / Math.sqrt(Math.PI);
  } else {
    let fraction = x;
    for (let n = 60; n > 0; n -= 1) fraction = x + n / 2 / fraction;
    upper = Math.exp(-x * x) / fraction / Math.sqrt(Math.PI) / 2;
  }
  return z < 0 ? upper : 1 - upper;
}

// Linear interpolation at x in rising xs; the ends beyond them.
function interpolate(x, xs, ys) {
  if (x <= xs[0]) return ys[0];
  for (let i = 1; i < xs.length; i += 1) {
    if (x <= xs[i]) return ys[i - 1] + (ys[i] - ys[i - 1]) * (x - xs[i - 1]) / (xs[i] - xs[i - 1]);
  }
  return ys[ys.length - 1];
}
