// Line charts and maps of counts as small SVGs.

const SHAPES = ["o", "s", "^", "D"];
const DASHES = [null, "8 3", "2 2.4", "10 3 2 3"];
const COLOURS = 7;

// How an organism looks in every chart, as in the figures: colours first, then the same with other dashes and marks.
function look(place) {
  const cycle = Math.floor(place / COLOURS) % DASHES.length;
  return { colour: `c${place % COLOURS}`, dash: DASHES[cycle], shape: SHAPES[cycle] };
}

// About five round values from 0 to at least `most`.
function ticks(most, count = 5) {
  const rough = most / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((value) => value >= rough * 0.999);
  return Array.from({ length: Math.floor(most / step * 1.0001) + 1 }, (_, i) => i * step);
}

function markAt(shape, x, y) {
  if (shape === "s") return svg("rect", { class: "mark", x: x - 3.2, y: y - 3.2, width: 6.4, height: 6.4 });
  if (shape === "^") return svg("path", { class: "mark", d: `M${x} ${y - 4.4}L${x + 4.2} ${y + 3.2}H${x - 4.2}Z` });
  if (shape === "D") return svg("path", { class: "mark", d: `M${x} ${y - 4.6}L${x + 4.6} ${y}L${x} ${y + 4.6}L${x - 4.6} ${y}Z` });
  return svg("circle", { class: "mark", cx: x, cy: y, r: 3.6 });
}

// lines: [{name, colour, dash, shape, points: [{x, y, low, high}]}], x ascending, y a share or null. `here`: an x to mark;
// `wide`: pixels there are, so that text has its size on a phone too.
function lineChart({ title, label, lines, here, wide }) {
  const width = Math.min(640, Math.max(320, wide));
  const [height, left, right, above, below] = [Math.round(120 + 0.34 * width), 46, 12, 12, 42];
  const points = lines.flatMap((line) => line.points);
  const values = points.flatMap((p) => [p.y, p.high]).filter((v) => v !== null && v !== undefined);
  const most = Math.max(0.05, ...values) * 1.04;
  const xs = points.map((p) => p.x);
  const [first, last] = [Math.min(...xs), Math.max(...xs)];
  const pad = last > first ? 8 : 0;
  const x = (v) => (last > first ? left + pad + (v - first) / (last - first) * (width - left - right - 2 * pad) : (left + width - right) / 2);
  const y = (v) => above + (1 - v / Math.min(1, most)) * (height - above - below);
  const root = svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${title}. ${label}. Numbers below.` });
  for (const v of ticks(Math.min(1, most))) {
    root.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      svg("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, `${Math.round(1000 * v) / 10}%`));
  }
  const shown = distinct(xs).sort((a, b) => a - b);
  let lastLabel = -Infinity;
  for (const v of shown) {
    if (x(v) - lastLabel < 30) continue;
    root.append(svg("text", { x: x(v), y: height - below + 18, "text-anchor": "middle" }, String(v)));
    lastLabel = x(v);
  }
  root.append(svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, label));
  if (here !== undefined && here !== null) root.append(svg("line", { class: "here", x1: x(here), x2: x(here), y1: above, y2: height - below }));
  for (const line of lines) {
    const group = svg("g", { class: line.colour }, svg("title", {}, line.name));
    for (const part of unbroken(line.points, (p) => p.low !== null && p.low !== undefined)) {
      if (part.length > 1) {
        const up = part.map((p) => `${x(p.x)} ${y(p.high)}`);
        const down = part.map((p) => `${x(p.x)} ${y(p.low)}`).reverse();
        group.append(svg("path", { class: "band", d: `M${up.join("L")}L${down.join("L")}Z` }));
      } else group.append(svg("line", { class: "whisker", x1: x(part[0].x), x2: x(part[0].x), y1: y(part[0].low), y2: y(part[0].high) }));
    }
    for (const part of unbroken(line.points, (p) => p.y !== null)) {
      group.append(svg("path", { class: "line", d: `M${part.map((p) => `${x(p.x)} ${y(p.y)}`).join("L")}`, "stroke-dasharray": line.dash }));
      for (const p of part) {
        const mark = markAt(line.shape, x(p.x), y(p.y));
        mark.append(svg("title", {}, `${line.name}, step ${p.x}: ${percent(p.y)} (${range(p.low, p.high)})`));
        group.append(mark);
      }
    }
    root.append(group);
  }
  return root;
}

// Runs of points without a gap.
function unbroken(points, defined) {
  const parts = [[]];
  for (const p of points) {
    if (defined(p)) parts[parts.length - 1].push(p);
    else if (parts[parts.length - 1].length) parts.push([]);
  }
  return parts.filter((part) => part.length);
}

// counts: {"i j": n} of bins 0..size-1; a fuller colour is more, on a log scale. Arrow keys go from cell to cell.
function countMap({ title, labelX, labelY, counts, size, names, even, click }) {
  const longest = Math.max(...Array.from({ length: size }, (_, i) => names(i, true).length));
  const [side, left, above] = [360, Math.min(150, 34 + 7 * longest), 8];
  const each = side / size;
  const below = even ? 46 : left;
  const most = Math.max(...Object.values(counts), 1);
  const root = svg("svg", { class: "chart map", viewBox: `0 0 ${left + side + 10} ${above + side + below}`, tabindex: 0, role: "application",
    "aria-label": `${title}. Arrow keys go from cell to cell, Enter lists its responses. Numbers below.` },
  svg("rect", { x: left, y: above, width: side, height: side, fill: "none", class: "grid" }));
  const cells = Object.entries(counts).map(([key, n]) => {
    const [i, j] = key.split(" ").map(Number);
    const said = `${labelX} ${names(i)}, ${labelY} ${names(j)}: ${whole(n)} responses`;
    const cell = svg("rect", {
      class: "cell", x: left + i * each, y: above + side - (j + 1) * each, width: each, height: each, "aria-label": said,
      "fill-opacity": 0.12 + 0.88 * Math.log1p(n) / Math.log1p(most), click: () => click(i, j),
    }, svg("title", {}, said));
    return { i, j, cell, said };
  }).sort((a, b) => a.j - b.j || a.i - b.i);
  root.append(...cells.map(({ cell }) => cell));
  if (even) root.append(svg("line", { class: "even", x1: left, y1: above + side, x2: left + side, y2: above }));
  for (let i = 0; i < size; i += size > 12 ? 5 : 1) {
    const at = even ? i * each : (i + 0.5) * each;
    const [x, y] = [left + at, above + side + 16];
    root.append(svg("text", even ? { x, y, "text-anchor": "middle" } : { x, y, "text-anchor": "end", transform: `rotate(-40 ${x} ${y})` }, names(i, true)),
      svg("text", { x: left - 6, y: above + side - at + 4, "text-anchor": "end" }, names(i, true)));
  }
  root.append(svg("text", { x: left + side / 2, y: above + side + below - 8, "text-anchor": "middle" }, labelX),
    svg("text", { x: 12, y: above + side / 2, "text-anchor": "middle", transform: `rotate(-90 12 ${above + side / 2})` }, labelY));
  let at = -1;
  root.addEventListener("keydown", (event) => {
    const move = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (event.key === "Enter" && at >= 0) click(cells[at].i, cells[at].j);
    if (!move || !cells.length) return;
    event.preventDefault();
    cells[at]?.cell.classList.remove("on");
    at = (at + move + cells.length) % cells.length;
    cells[at].cell.classList.add("on");
    root.setAttribute("aria-label", cells[at].said);
  });
  return root;
}
