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
  for (const place of document.querySelectorAll("[data-file]")) showFile(place);
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(button));
  }
  document.documentElement.dataset.ready = "true";
}

// A CSV that is in the page: its rows on a click, or as a file.
function showFile(place) {
  const block = [...document.querySelectorAll("script[data-csv]")].find((found) => found.dataset.csv === place.dataset.file);
  const fill = async (event) => {
    const body = event.target.querySelector("div");
    if (body.firstChild) return;
    const [head, ...rows] = readCsv(await unpack(block));
    body.append(table(head ?? [], rows.slice(0, 500), place.dataset.file));
    if (rows.length > 500) body.append(make("p", {}, `The first 500 of ${whole(rows.length)} rows; the file has all.`));
  };
  const download = make("button", { type: "button", click: async () => save(place.dataset.file, await unpack(block)) }, `Download ${place.dataset.file}`);
  place.replaceChildren(download);
  place.after(make("details", { class: "small", toggle: fill }, make("summary", {}, `Numbers of ${place.dataset.file}`), make("div")));
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
