// What the page holds: blocks of gzipped JSON in base64, unpacked here; nothing is fetched.

async function unpack(element) {
  const raw = atob(element.textContent);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// A short rest, in which the browser can draw and answer to keys.
const rest = () => new Promise((done) => { setTimeout(done, 0); });

// Do work(i) for i below size in slices of 12 ms. Ends early, and says false, when going() says that nobody waits for it.
async function inSlices(size, work, going = () => true) {
  let until = performance.now() + 12;
  for (let i = 0; i < size; i += 1) {
    work(i);
    if (performance.now() > until) {
      await rest();
      if (!going()) return false;
      until = performance.now() + 12;
    }
  }
  return going();
}

// The texts are unpacked when they are first asked for. texts.at(i) is [question, response].
const texts = {
  blocks: [...document.querySelectorAll("script.texts")],
  chunks: [],
  size: 0,
  get there() { return this.blocks.length > 0; },
  get open() { return this.there && this.chunks.length === this.blocks.length; },
  async load(progress = () => {}) {
    this.loading ??= (async () => {
      for (const block of this.blocks) {
        const chunk = await unpack(block);
        if (!this.size) this.size = chunk.length;
        this.chunks.push(chunk);
        progress(this.chunks.length / this.blocks.length);
        await rest();
      }
    })();
    await this.loading;
  },
  at(i) { return this.chunks[Math.floor(i / this.size)][i % this.size]; },
};
