// Elements are made here. Texts only ever become text nodes: nothing a model wrote is read as HTML.

const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

// Control characters as signs that are seen, and direction marks taken out, so that a text cannot hide what it says.
function visible(text) {
  return text
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, (c) => (c === "\r" ? "" : String.fromCharCode(c === "\u007f" ? 0x2421 : 0x2400 + c.charCodeAt(0))))
    .replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f]/g, "\u2426");
}

function setOptions(select, options, value) {
  select.replaceChildren(...options.map(([key, label]) => make("option", { value: key }, label)));
  select.value = value;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
}

function cellText(value) {
  return value === null || value === undefined ? "" : String(value);
}

// A cell that a spreadsheet would run as a formula begins with a quote there.
function csv(head, rows) {
  const quoted = (value) => {
    let text = cellText(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [head, ...rows].map((row) => `${row.map(quoted).join(",")}\n`).join("");
}

function save(name, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function table(head, rows, caption) {
  const line = (cell) => make("td", { class: typeof cell === "number" ? "number" : null }, cell instanceof Node ? cell : cellText(cell));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    make("table", {}, make("thead", {}, make("tr", {}, ...head.map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(line))))));
}

// A chart's numbers: closed at first, built when opened.
function numbersOf(name, head, rows) {
  const place = make("div");
  const toggled = () => { if (!place.firstChild) place.append(table(head, rows, name)); };
  return make("details", { class: "small", toggle: toggled }, make("summary", {}, `Numbers (${whole(rows.length)} rows)`),
    make("button", { type: "button", click: () => save(`${name}.csv`, csv(head, rows)) }, "Download CSV"), place);
}

// The fields of a CSV text, quotes undone.
function readCsv(text) {
  const rows = [[]];
  for (const [, quoted, field, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows[rows.length - 1].push(quoted === undefined ? field : quoted.replaceAll('""', '"'));
    if (end === "") break;
    if (end !== ",") rows.push([]);
  }
  return rows.filter((row) => row.length > 1 || row[0]);
}
