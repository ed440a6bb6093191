// The shipped networks, played with on a page: compose, continue, harmonise, and translate. No server, no framework.
// An element <div class="gru-play" data-app="compose"> becomes an app; scripts that it needs are loaded when it does.
(() => {
const here = new URL(".", document.currentScript.src), loading = new Map();
const CELLS = { gru: "GRU", lstm: "LSTM", tanh: "tanh" }, LOWEST = 21, TEMPO = 96; // MIDI number of key 0; beats a minute

function load(file) { // a script, once; from beside this one
  if (!loading.has(file)) loading.set(file, new Promise((done, failed) => {
    const refuse = () => { loading.delete(file); failed(new Error(`${file} could not be loaded; try again`)); };
    document.head.append(Object.assign(document.createElement("script"), { src: new URL(file, here), onload: done, onerror: refuse }));
  }));
  return loading.get(file);
}

async function network(data, rnn) {
  await load(`${data}-${rnn}.js`);
  return gruStudy.networks[`${data}/${rnn}`];
}

function make(kind, properties = {}, ...inside) { // an element; text is text, never markup
  const made = document.createElement(kind), { data = {}, aria = {}, ...own } = properties;
  Object.assign(made, own);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(name === "role" ? name : `aria-${name}`, value);
  made.append(...inside);
  return made;
}

const noteName = (key) => ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "G♯", "A", "B♭", "B"][(key + LOWEST) % 12] + (Math.floor((key + LOWEST) / 12) - 1);
const keysOf = (frame) => [...frame.keys()].filter((k) => frame[k]);

function held(frames) { // notes that go on are one: key, first frame, frame after the last
  const found = [], open = new Map();
  [...frames, []].forEach((frame, t) => {
    for (const [key, begin] of open) if (!frame[key]) { found.push({ key, begin, end: t }); open.delete(key); }
    for (const key of keysOf(frame)) if (!open.has(key)) open.set(key, t);
  });
  return found;
}

// ---- sound: struck strings in a small room; one piece at a time on the page

const sound = { context: null, playing: null };

function room(context) { // an echo that dies away within a second
  const seconds = 1.1, rate = context.sampleRate, buffer = context.createBuffer(2, seconds * rate, rate), random = gruStudy.chance(1);
  for (const channel of [0, 1]) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < samples.length; i++) samples[i] = (2 * random() - 1) * (1 - i / samples.length) ** 3;
  }
  return Object.assign(context.createConvolver(), { buffer });
}

function string(context, out, key, begin, seconds) { // bright when struck, then duller and softer
  const f = 440 * 2 ** ((key + LOWEST - 69) / 12), last = Math.min(1.6, 1.1 * (440 / f) ** 0.35), end = begin + seconds;
  const filter = Object.assign(context.createBiquadFilter(), { type: "lowpass" }), gain = context.createGain();
  filter.frequency.setValueAtTime(Math.min(12000, 9 * f + 600), begin);
  filter.frequency.setTargetAtTime(2.2 * f + 200, begin, last / 2);
  gain.gain.setValueAtTime(0, begin);
  gain.gain.linearRampToValueAtTime(0.16, begin + 0.006);
  gain.gain.setTargetAtTime(0, begin + 0.006, last);
  gain.gain.setTargetAtTime(0, end - 0.03, 0.05);
  for (const cents of [-2, 2]) {
    const oscillator = context.createOscillator();
    oscillator.setPeriodicWave(sound.wave);
    oscillator.frequency.value = f;
    oscillator.detune.value = cents;
    oscillator.connect(filter);
    oscillator.start(begin);
    oscillator.stop(end + 0.3);
  }
  filter.connect(gain).connect(out);
}

function silence() {
  const now = sound.playing;
  if (!now) return;
  sound.playing = null;
  now.out.gain.setTargetAtTime(0, sound.context.currentTime, 0.03);
  cancelAnimationFrame(now.frame);
  setTimeout(() => now.out.disconnect(), 400);
  now.ended();
}

function play(frames, from, watch, ended) { // `watch` is told the frame that sounds
  silence();
  const context = sound.context ??= new AudioContext();
  context.resume();
  sound.wave ??= context.createPeriodicWave(new Float32Array(8), Float32Array.of(0, 1, 0.55, 0.3, 0.18, 0.1, 0.06, 0.03));
  sound.room ??= room(context);
  const out = context.createGain(), echo = context.createGain(), limit = context.createDynamicsCompressor(), beat = 60 / TEMPO;
  echo.gain.value = 0.12;
  out.connect(limit).connect(context.destination);
  out.connect(sound.room).connect(echo).connect(context.destination);
  const start = context.currentTime + 0.06 - from * beat, now = sound.playing = { out, ended };
  for (const { key, begin, end } of held(frames)) if (end > from) {
    const first = Math.max(begin, from);
    string(context, out, key, start + first * beat, (end - first) * beat);
  }
  const follow = () => {
    if (sound.playing !== now) return;
    const at = (context.currentTime - start) / beat;
    if (at >= frames.length + 0.5) return silence();
    watch(Math.max(from, at));
    now.frame = requestAnimationFrame(follow);
  };
  follow();
}

// ---- a piano roll: what is given grey, what is made in the colour of its cell; a click plays from there

class Roll {
  constructor(title, colour) {
    this.colour = colour;
    this.canvas = make("canvas", { tabIndex: 0, aria: { role: "img" } });
    this.head = make("div", { className: "gru-roll-head", hidden: true });
    this.button = make("button", { type: "button", className: "gru-sound", textContent: "▶ Play", onclick: () => this.toggle(0) });
    this.said = make("span", { className: "gru-said" });
    this.element = make("figure", { className: "gru-roll" }, make("figcaption", {}, make("strong", { textContent: title }), this.button, this.said),
      make("div", { className: "gru-roll-box" }, this.canvas, this.head));
    this.title = title;
    this.frames = [];
    this.canvas.onclick = (event) => this.toggle(Math.floor((event.offsetX - this.left) / this.wide));
    this.canvas.onkeydown = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.toggle(0); } };
    this.canvas.onpointermove = (event) => {
      const key = this.high - Math.floor(event.offsetY / this.tall), t = Math.floor((event.offsetX - this.left) / this.wide);
      this.canvas.title = this.frames[t] ? `${noteName(key)}, beat ${t + 1}` : "";
    };
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    new MutationObserver(() => this.draw()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  }
  show(frames, isGiven) { // frames of 0 and 1; is a key at a frame given?
    if (sound.playing?.of === this) silence();
    Object.assign(this, { frames, isGiven });
    const notes = frames.reduce((n, f) => n + keysOf(f).length, 0), per = frames.length ? (notes / frames.length).toFixed(1) : 0;
    const words = `${frames.length} beats, ${per} notes a beat`;
    this.said.textContent = words;
    this.canvas.setAttribute("aria-label", `Piano roll of ${this.title}: ${words}. Enter plays it.`);
    this.draw();
  }
  draw() {
    const { canvas, frames } = this, width = canvas.clientWidth, height = canvas.clientHeight, scale = devicePixelRatio;
    if (!width || !frames.length) return;
    Object.assign(canvas, { width: width * scale, height: height * scale });
    const g = canvas.getContext("2d"), style = getComputedStyle(canvas), used = frames.flatMap(keysOf);
    g.scale(scale, scale);
    this.low = Math.min(24, ...used) - 1;
    this.high = Math.max(60, ...used) + 1;
    this.left = 34;
    this.wide = (width - this.left) / frames.length;
    this.tall = height / (this.high - this.low + 1);
    const y = (key) => (this.high - key) * this.tall, x = (t) => this.left + t * this.wide;
    g.font = "11px system-ui, sans-serif";
    g.textBaseline = "middle";
    for (let key = this.low; key <= this.high; key++) if ((key + LOWEST) % 12 === 0) { // every C
      g.globalAlpha = 0.3;
      g.fillStyle = style.color;
      g.fillRect(this.left, y(key) + this.tall, width, 1);
      g.globalAlpha = 1;
      g.fillText(noteName(key), 2, y(key) + this.tall / 2);
    }
    g.globalAlpha = 0.18;
    for (let t = 0; t < frames.length; t += 4) g.fillRect(x(t), 0, 1, height);
    g.globalAlpha = 1;
    for (const { key, begin, end } of held(frames)) for (let t = begin; t < end; t++) {
      g.fillStyle = this.isGiven(t, key) ? style.getPropertyValue("--gru-given") : this.colour;
      g.fillRect(x(t) + (t === begin ? 1 : 0), y(key) + 0.5, this.wide - (t === begin ? 1 : 0) + 0.3, Math.max(2, this.tall - 1));
    }
  }
  toggle(from) {
    if (sound.playing?.of === this && !from) return silence();
    if (!this.frames.length) return;
    this.head.hidden = false;
    play(this.frames, Math.max(0, from), (at) => { this.head.style.left = `${this.left + at * this.wide}px`; }, () => {
      this.head.hidden = true;
      this.button.textContent = "▶ Play";
    });
    sound.playing.of = this;
    this.button.textContent = "■ Stop";
  }
}

// ---- controls

function slider(label, min, max, step, value, spell = String) {
  const shown = make("span", { textContent: spell(value) }), input = make("input", { type: "range", min, max, step, value });
  input.addEventListener("input", () => { shown.textContent = spell(Number(input.value)); });
  return [make("label", {}, label, " ", shown, input), () => Number(input.value), input];
}

function choice(label, options, value) { // options: value -> text
  const input = make("select", {}, ...Object.entries(options).map(([key, text]) => make("option", { value: key, textContent: text, selected: key === value })));
  return [make("label", {}, label, input), () => input.value, input];
}

function telling(status, act) { // what goes wrong is said beside the controls
  return (...args) => Promise.resolve().then(() => act(...args)).then(() => { status.textContent = ""; })
    .catch((error) => { status.textContent = error.message; });
}

// ---- compose

const WAYS = { free: "compose freely", go: "go on from a chorale's beginning", under: "harmonise a chorale's melody" };

function topVoice(frame) { // what a melody on top leaves free: 1 sounds, -1 is silent, 0 is free
  const top = keysOf(frame).at(-1);
  return Array.from(frame, (_, key) => top === undefined || key > top ? -1 : key === top ? 1 : 0);
}

function asked(c, piece) { // what a network is asked for
  const common = { temperature: c.temperature, most: c.four ? 4 : 0, seed: c.seed };
  if (c.way === "free") return { ...common, steps: c.beats };
  if (c.way === "go") return { ...common, steps: Math.max(c.beats, c.given), begin: piece.slice(0, c.given) };
  return { ...common, steps: Math.min(c.beats, piece.length), fixed: piece.slice(0, c.beats).map(topVoice), particles: 16 };
}

async function compose(root) {
  await load("pieces.js");
  const { pieces, colours, notes } = gruStudy, names = Object.keys(pieces);
  const frames = Object.fromEntries(names.map((name) => [name, pieces[name].map((keys) => Uint8Array.from({ length: notes }, (_, k) => keys.includes(k)))]));
  const [rnnBox, rnn] = choice("network", { ...CELLS, all: "all three" }, "gru"), [wayBox, way] = choice("what it does", WAYS, "free");
  const [pieceBox, piece] = choice("chorale", Object.fromEntries(names.map((n) => [n, n.toUpperCase().replace("BWV", "BWV ")])), names[0]);
  const [givenBox, given] = slider("beats given", 1, 32, 1, 8), [beatsBox, beats] = slider("beats", 8, 128, 4, 48);
  const [warmBox, temperature] = slider("temperature", 0, 1.5, 0.05, 1, (v) => v.toFixed(2));
  const four = make("input", { type: "checkbox", checked: true }), status = make("p", { className: "gru-status", aria: { live: "polite" } });
  const again = make("button", { type: "button", className: "gru-main", textContent: "Another" }), rolls = make("div");
  const controls = make("div", { className: "gru-controls" }, rnnBox, wayBox, pieceBox, givenBox, beatsBox, warmBox,
    make("label", { className: "gru-check" }, four, "at most four notes at once"), again);
  root.replaceChildren(controls, status, rolls);
  let seed = 1, shown = "", waiting = false;
  const views = {};
  const update = telling(status, async () => {
    const begun = performance.now(), which = rnn() === "all" ? Object.keys(CELLS) : [rnn()], source = frames[piece()];
    const c = { way: way(), given: given(), beats: beats(), temperature: temperature(), four: four.checked, seed };
    pieceBox.hidden = c.way === "free";
    givenBox.hidden = c.way !== "go";
    if (shown !== which.join()) {
      for (const name of which) views[name] ??= new Roll(CELLS[name], colours[name]);
      silence();
      rolls.replaceChildren(...which.map((name) => views[name].element));
      shown = which.join();
    }
    for (const name of which) {
      const net = await network("chorales", name), wish = asked(c, source);
      const isGiven = (t, key) => t < (wish.begin?.length ?? 0) || wish.fixed?.[t]?.[key] === 1;
      views[name].show([...net.sample(wish)], isGiven);
    }
    root.dataset.milliseconds = Math.round(performance.now() - begun);
    root.dataset.answers = Number(root.dataset.answers ?? 0) + 1;
  });
  const soon = () => { // many events, one answer
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; update(); });
  };
  controls.addEventListener("input", soon);
  again.onclick = () => { seed++; soon(); };
  await update();
}

// ---- translate

function lookedAt(source, tokens, looked) { // a table: a row a word, darker where it was looked at more
  const cell = (p) => make("td", { title: p.toFixed(2) }, make("span", { className: p < 0.05 ? "gru-hidden" : "", textContent: p.toFixed(2) }));
  const rows = tokens.map((token, i) => {
    const cells = [...looked[i]].map(cell);
    cells.forEach((td, k) => td.style.setProperty("--p", looked[i][k]));
    return make("tr", {}, make("th", { scope: "row", textContent: token }), ...cells);
  });
  const head = make("tr", {}, make("td"), ...source.map((token) => make("th", { scope: "col", textContent: token })));
  return make("table", { className: "gru-looked" }, make("caption", { textContent: "Where the network looked (columns) for each word it said (rows): shares of attention" }),
    make("thead", {}, head), make("tbody", {}, ...rows));
}

async function translate(root) {
  const [rnnBox, rnn, rnnInput] = choice("network", CELLS, "gru"), status = make("p", { className: "gru-status", aria: { live: "polite" } });
  await load("pieces.js");
  const input = make("input", { type: "text", value: gruStudy.sentences[0], lang: "de", spellcheck: false }), out = make("div", { aria: { live: "polite" } });
  const button = make("button", { type: "submit", className: "gru-main", textContent: "Translate" });
  const form = make("form", { className: "gru-controls" }, make("label", { className: "gru-wide" }, "a German caption", input), rnnBox, button);
  const examples = make("p", { className: "gru-examples" }, "Try: ", ...gruStudy.sentences.map((s) =>
    make("button", { type: "button", textContent: s, lang: "de", onclick: () => { input.value = s; run(); } })));
  const run = telling(status, async () => {
    status.textContent = "the network reads …";
    const net = await network("captions_de_en", rnn()), begun = performance.now(), tokens = gruStudy.tokens(input.value);
    if (!tokens.length) throw new Error("write a sentence first");
    if (tokens.length > 60) throw new Error(`that is ${tokens.length} words and marks; at most 60 are translated here`);
    const { tokens: said, looked, score, unknown } = net.translate(tokens);
    const source = make("p", { lang: "de" }, ...tokens.flatMap((t) => [unknown.includes(t) ? make("mark", { textContent: t, title: "not in the network's vocabulary" }) : t, " "]));
    const told = `probability of a word ${Math.exp(score).toFixed(2)}${unknown.length ? `; unknown to the network: ${unknown.join(", ")}` : ""}`;
    out.replaceChildren(source, make("p", { className: "gru-sentence", lang: "en", textContent: gruStudy.sentence(said) }), make("p", { className: "gru-said", textContent: told }),
      make("div", { className: "gru-scroll", tabIndex: 0, aria: { role: "region", label: "attention" } }, lookedAt(tokens, said, looked)));
    root.dataset.milliseconds = Math.round(performance.now() - begun);
  });
  form.onsubmit = (event) => { event.preventDefault(); run(); };
  rnnInput.onchange = run;
  root.replaceChildren(form, examples, status, out);
  await run();
}

// ---- begin, each app when it comes into view

const apps = { compose, translate };
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) if (isIntersecting) {
    seen.unobserve(target);
    apps[target.dataset.app](target).catch((error) => { target.textContent = error.message; console.error(error); });
  }
}, { rootMargin: "400px" });
for (const element of document.querySelectorAll(".gru-play")) seen.observe(element);
})();
