// Start: unpack the scores, then build the parts that this study has.

async function start() {
  const [told, responses] = await Promise.all(["study-data", "response-data"].map((id) => unpack(byId(id))));
  const study = new Study(told, responses);
  const browser = new Browser(study);
  if (byId("trajectories")) new Trajectories(study, (choice) => browser.setRule(choice.rule));
  if (byId("compare")) {
    new Judges(study, (i) => {
      browser.open(i);
      byId("one").scrollIntoView({ block: "center" });
    });
  }
  for (const row of document.querySelectorAll("[data-file]")) offerFile(row);
  for (const figure of document.querySelectorAll(".drawn")) readyFigure(figure);
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
  }
  document.documentElement.dataset.ready = "true";
}

// A CSV that is in the page: as a file, or its rows below the list.
function offerFile(row) {
  const { file } = row.dataset;
  const block = [...document.querySelectorAll("script[data-csv]")].find((found) => found.dataset.csv === file);
  const shown = byId("file-shown");
  const show = async () => {
    const [head, ...rows] = readCsv(await unpack(block));
    const more = rows.length > 500 ? `The first 500 of ${whole(rows.length)} rows; the file has all.` : `${whole(rows.length)} rows.`;
    shown.replaceChildren(make("h4", {}, file), make("p", { class: "small" }, more), table(head ?? [], rows.slice(0, 500), file));
    shown.scrollIntoView({ block: "nearest" });
  };
  const download = async () => save(file.replaceAll("/", "_"), await unpack(block));
  const button = (text, click) => make("button", { type: "button", click, "aria-label": `${text} ${file}` }, text);
  row.cells[2].append(button("Download", download));
  row.cells[3].append(button("Show", show));
}

// A figure is as wide as the page; where that is narrow, a click gives it its full size, to be scrolled. A link to its numbers
// opens their list.
function readyFigure(figure) {
  const [card, image, button] = [".card", "img", ".zoom"].map((name) => figure.querySelector(name));
  figure.querySelector('a[href^="#file-"]').addEventListener("click", () => { byId("files").open = true; });
  const narrow = matchMedia("(max-width: 62rem)");
  const click = () => {
    if (!narrow.matches) return;
    button.setAttribute("aria-pressed", String(card.classList.toggle("full")));
  };
  const offer = () => { button.hidden = !narrow.matches; };
  button.addEventListener("click", click);
  image.addEventListener("click", click);
  narrow.addEventListener("change", offer);
  offer();
}

async function copy(button) {
  const text = byId(button.dataset.copy).innerText;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // A file has no right to the clipboard in every browser: select it, and the reader copies.
    getSelection().selectAllChildren(byId(button.dataset.copy));
    button.textContent = "Selected: press Ctrl+C";
  }
  setTimeout(() => { button.textContent = label; }, 2500);
}

start().catch((error) => {
  const trouble = byId("trouble");
  trouble.hidden = false;
  trouble.textContent = `This page could not read its data (${error.message}). It needs a browser of 2023 or later.`;
  throw error;
});
