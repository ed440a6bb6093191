// What is seen and heard of a piece: its roll with a play-head, a piano's keys, what a reader keeps.
gruStudy.parts[1] = function roll() {
const { KEYS, LOWEST, noteName, keysOf, held, studio, silence, strike, playPiece, toWav, toMidi, toMusicXml, escaped } = gruStudy;

function make(kind, properties = {}, ...inside) { // an element; text is text, never markup
  const made = document.createElement(kind), { data = {}, aria = {}, ...own } = properties;
  Object.assign(made, own);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(name === "role" ? name : `aria-${name}`, value);
  made.append(...inside);
  return made;
}

const button = (textContent, onclick, more = {}) => make("button", { type: "button", textContent, onclick, ...more });

// ---- a drawing of a piece: what is given grey, what is made in the colour of its cell

const LEFT = 34; // pixels, for the names of notes

function extent(frames) { // lowest and highest key that is shown
  const used = frames.flatMap(keysOf);
  return [Math.min(24, ...used) - 1, Math.max(60, ...used) + 1];
}

function drawing({ frames, isGiven, step, name, colour }, width, height) { // as SVG
  const [low, high] = extent(frames), wide = (width - LEFT) / frames.length, tall = height / (high - low + 1), n = (v) => v.toFixed(2);
  const y = (key) => (high - key) * tall, x = (t) => LEFT + t * wide, bar = Math.max(1, Math.round(4 / step)), parts = [];
  const rect = (at, top, w, h, more, inside = "") => parts.push(`<rect x="${n(at)}" y="${n(top)}" width="${n(w)}" height="${n(h)}" ${more}>${inside}</rect>`);
  for (let t = 0; t < frames.length; t += bar) rect(x(t), 0, 1, height, 'fill="currentColor" opacity="0.18"');
  for (let key = low; key <= high; key++) if ((key + LOWEST) % 12 === 0) {
    rect(LEFT, y(key) + tall, width - LEFT, 1, 'fill="currentColor" opacity="0.3"');
    parts.push(`<text x="2" y="${n(y(key) + tall / 2 + 4)}" font-size="11" font-family="system-ui, sans-serif" fill="currentColor">${noteName(key)}</text>`);
  }
  for (const { key, begin, end } of held(frames)) for (let from = begin, to; from < end; from = to) {
    const given = Boolean(isGiven?.(from, key));
    for (to = from + 1; to < end && Boolean(isGiven?.(to, key)) === given;) to++;
    const gap = from === begin ? 1 : 0, told = `${noteName(key)}, beats ${1 + from * step} to ${to * step}${isGiven ? given ? ", given" : ", made" : ""}`;
    rect(x(from) + gap, y(key) + 0.5, (to - from) * wide - gap + 0.2, Math.max(2, tall - 1), `fill="${given ? "#8a9099" : colour}"`, `<title>${told}</title>`);
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" color="#222"><title>${escaped(name)}</title>${parts.join("")}</svg>`;
}

// ---- what a reader keeps

function keep(name, kind, content) {
  const link = make("a", { download: `${name.replace(/[\\/:*?"<>|\x00-\x1f\x7f]/g, "_")}.${kind}`, href: URL.createObjectURL(new Blob([content])) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const STYLE = "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}" +
  "@media(prefers-color-scheme:dark){body{color:#ddd;background:#14181e}}figure{margin:0}.gru-roll-box{position:relative}svg{display:block;width:100%;height:16rem;color:inherit}" +
  "figcaption{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:center}button{font:inherit;padding:.3rem .8rem}.gru-roll-head{position:absolute;top:0;bottom:0;width:2px;background:#d55e00}[hidden]{display:none!important}";

function keepPage(piece) { // one page that plays the piece, with all that it needs
  const rows = piece.frames.map((f, t) => keysOf(f).map((k) => [k, piece.isGiven?.(t, k) ? 1 : 0]));
  const said = JSON.stringify({ ...piece, frames: undefined, isGiven: undefined, told: Boolean(piece.isGiven), rows }).replace(/</g, "\\u003c");
  const begin = (said) => {
    const { KEYS, Roll } = gruStudy, { rows, ...more } = said, on = (t, key) => rows[t].find(([k]) => k === key);
    const roll = new Roll(more.title, more.colour);
    document.querySelector("main").append(roll.element);
    roll.show({ ...more, frames: rows.map((_, t) => Uint8Array.from({ length: KEYS }, (_, k) => on(t, k) ? 1 : 0)), isGiven: more.told && ((t, k) => on(t, k)?.[1]) });
  };
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(piece.name)}</title>` +
    `<style>${STYLE}</style><main><h1>${escaped(piece.name)}</h1><p>${escaped(piece.made)}</p></main>` +
    `<script>globalThis.gruStudy = {};\ngruStudy.parts = [${gruStudy.parts.join(",\n")}];\nfor (const part of gruStudy.parts) part();\n(${begin})(${said});<\/script></html>\n`;
}

const FILES = { WAV: ["wav", toWav], MIDI: ["mid", toMidi], MusicXML: ["musicxml", toMusicXml], SVG: ["svg", (piece) => drawing(piece, 960, 320)], "web page": ["html", keepPage] };

// ---- a button that plays a piece, and a head that moves over its drawing, whoever draws it

class Player {
  constructor(place) { // tells where the head stands at a frame, in pixels
    Object.assign(this, { place, piece: null, watch: () => {} });
    this.told = (sounds) => { this.button.textContent = sounds ? "■ Stop" : "▶ Play"; };
    this.head = make("div", { className: "gru-roll-head", hidden: true });
    this.button = button("▶ Play", () => this.toggle(), { className: "gru-sound" });
    const files = Object.entries(FILES).map(([name, [kind, write]]) => button(name, async () => keep(this.piece.name, kind, await write(this.piece)), { title: `keep it as ${name}` }));
    this.keeps = make("details", { className: "gru-keep" }, make("summary", { textContent: "Keep" }), ...files);
  }
  toggle() { // while another piece sounds, this one goes on from where that one is
    const now = studio.playing;
    if (now?.of === this) return silence();
    this.play(now && now.of?.piece.step === this.piece.step && now.at < this.piece.frames.length ? Math.max(0, Math.floor(now.at)) : 0);
  }
  play(from) {
    if (!this.piece?.frames.length) return;
    playPiece(this.piece, from, (at) => {
      this.head.style.left = `${this.place(at)}px`;
      this.watch(Math.floor(at));
    }, () => {
      this.head.hidden = true;
      this.told(false);
      this.watch(null);
    });
    studio.playing.of = this;
    this.head.hidden = false;
    this.told(true);
  }
}

// ---- a roll on a page; a press plays from there, a stretch that is drawn over can be made anew

class Roll extends Player {
  constructor(title, colour, anew = null) { // `anew` is told the first frame of a stretch and the one after its last
    super((at) => LEFT + at * this.wide);
    Object.assign(this, { title, colour, anew, chosen: null });
    this.drawn = make("div", { className: "gru-drawn", tabIndex: 0, aria: { role: "img" } });
    this.stretch = make("div", { className: "gru-stretch", hidden: true });
    this.said = make("span", { className: "gru-said" });
    this.again = button("", () => { const c = this.chosen; this.choose(null); this.anew(...c); }, { hidden: true });
    this.element = make("figure", { className: "gru-roll" }, make("figcaption", {}, make("strong", { textContent: title }), this.button, this.again, this.keeps, this.said),
      make("div", { className: "gru-roll-box" }, this.drawn, this.stretch, this.head));
    this.drawn.onkeydown = (event) => this.pressed(event);
    this.drawn.onpointerdown = (event) => this.begun(event);
    new ResizeObserver(() => this.draw()).observe(this.drawn);
  }
  show(piece) { // frames of 0 and 1; step: quarter notes a frame; isGiven(frame, key); tempo; name of its files; how it was made
    if (studio.playing?.of === this) silence();
    this.piece = { colour: this.colour, title: this.title, ...piece };
    const notes = piece.frames.reduce((n, f) => n + keysOf(f).length, 0), per = piece.frames.length ? (notes / piece.frames.length).toFixed(1) : 0;
    const words = `${piece.frames.length * piece.step} beats, ${per} notes at once`;
    this.said.textContent = words;
    this.drawn.setAttribute("aria-label", `Piano roll of ${this.title}: ${words}. Enter plays it${this.anew ? "; Shift and arrows choose a stretch" : ""}.`);
    this.choose(null);
    this.draw();
  }
  draw() {
    const { clientWidth: width, clientHeight: height } = this.drawn;
    if (!width || !this.piece?.frames.length) return;
    this.wide = (width - LEFT) / this.piece.frames.length;
    this.drawn.innerHTML = drawing(this.piece, width, height); // numbers, names of notes, and what is escaped
    this.choose(this.chosen);
  }
  frameAt(event) { return Math.max(0, Math.min(this.piece.frames.length - 1, Math.floor((event.clientX - this.drawn.getBoundingClientRect().left - LEFT) / this.wide))); }
  begun(event) {
    if (!this.piece?.frames.length || event.button) return;
    const from = this.frameAt(event), to = (e) => [Math.min(from, this.frameAt(e)), Math.max(from, this.frameAt(e)) + 1];
    let moved = false;
    this.drawn.setPointerCapture(event.pointerId);
    this.drawn.onpointermove = (e) => {
      moved ||= this.anew && Math.abs(e.clientX - event.clientX) > 6;
      if (moved) this.choose(to(e));
    };
    this.drawn.onpointercancel = this.drawn.onpointerup = (e) => {
      this.drawn.onpointermove = this.drawn.onpointerup = this.drawn.onpointercancel = null;
      if (!moved && e.type === "pointerup") { this.choose(null); this.play(from); }
    };
  }
  pressed(event) {
    const turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key], last = this.piece?.frames.length;
    if (event.key === "Enter" || event.key === " ") this.toggle();
    else if (event.key === "Escape") this.choose(null);
    else if (turn && event.shiftKey && this.anew && last) {
      const [from, to] = this.chosen ?? [0, 0];
      this.choose([from, Math.max(from + 1, Math.min(last, to + turn))]);
    } else if (turn && this.chosen) {
      const [from, to] = this.chosen, by = Math.max(-from, Math.min(last - to, turn));
      this.choose([from + by, to + by]);
    } else return;
    event.preventDefault();
  }
  choose(chosen) {
    this.chosen = chosen;
    this.again.hidden = this.stretch.hidden = !chosen;
    if (!chosen) return;
    const [from, to] = chosen, { step } = this.piece;
    this.stretch.style.left = `${LEFT + from * this.wide}px`;
    this.stretch.style.width = `${(to - from) * this.wide}px`;
    this.again.textContent = `Compose beats ${1 + Math.floor(from * step)} to ${Math.ceil(to * step)} anew`;
  }
}

// ---- a piano: pressed by hand, by the keys of a computer, by a MIDI keyboard

const TYPED = "awsedftgyhujkolp;'"; // from C4 upwards, as the keys of a piano lie
const BLACK = new Set([1, 3, 6, 8, 10]), isBlack = (key) => BLACK.has((key + LOWEST) % 12);

class Piano {
  constructor(low, high, { press, release }) { // keys; both are told a key, and the event's time in milliseconds
    Object.assign(this, { press, release, down: new Map(), low, high });
    const white = Array.from({ length: high - low + 1 }, (_, i) => low + i).filter((k) => !isBlack(k)), wide = 100 / white.length;
    this.keys = new Map();
    this.element = make("div", { className: "gru-piano", aria: { role: "group", label: "piano: arrows move, Enter plays; or type A to L for the octave from C4" } });
    for (let key = low; key <= high; key++) {
      const before = white.filter((k) => k < key).length, made = button("", null, { className: isBlack(key) ? "gru-black" : "gru-white", tabIndex: key === 39 ? 0 : -1, title: noteName(key) });
      made.setAttribute("aria-label", noteName(key));
      made.style.left = `${isBlack(key) ? (before - 0.32) * wide : before * wide}%`;
      made.style.width = `${isBlack(key) ? 0.64 * wide : wide}%`;
      made.dataset.key = key;
      if (key % 12 === 3) made.dataset.name = noteName(key);
      this.keys.set(key, made);
    }
    this.element.append(...[...this.keys.values()].sort((a, b) => isBlack(a.dataset.key | 0) - isBlack(b.dataset.key | 0)));
    this.element.onpointerdown = (event) => {
      const key = event.target.dataset.key;
      if (key === undefined || event.button) return;
      event.target.focus({ preventScroll: true });
      event.target.setPointerCapture(event.pointerId);
      this.begin(`pointer ${event.pointerId}`, Number(key), event.timeStamp);
    };
    this.element.onpointerup = this.element.onpointercancel = (event) => this.end(`pointer ${event.pointerId}`, event.timeStamp);
    this.element.oncontextmenu = (event) => event.preventDefault(); // a long touch is a long note
    this.element.addEventListener("focusout", () => { for (const from of [...this.down.keys()]) if (from.startsWith("key")) this.end(from, performance.now()); });
    this.element.onkeydown = (event) => this.typed(event);
    this.element.onkeyup = (event) => this.end(`key ${event.code}`, event.timeStamp);
  }
  typed(event) {
    const at = Number(event.target.dataset.key), turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key], letter = TYPED.indexOf(event.key.toLowerCase());
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (turn && this.keys.has(at + turn)) {
      event.target.tabIndex = -1;
      this.keys.get(at + turn).tabIndex = 0;
      this.keys.get(at + turn).focus();
    } else if (event.key === "Enter" || event.key === " ") event.repeat || this.begin(`key ${event.code}`, at, event.timeStamp);
    else if (event.key.length === 1 && letter >= 0) event.repeat || this.begin(`key ${event.code}`, 39 + letter, event.timeStamp);
    else return;
    event.preventDefault();
    event.stopPropagation(); // keys are the piano's, not the notebook's
  }
  begin(from, key, time) {
    this.end(from, time);
    if (!(key >= 0 && key < KEYS)) return;
    this.down.set(from, { key, damp: strike(key) });
    this.keys.get(key)?.classList.add("gru-down");
    this.press(key, time);
  }
  end(from, time) {
    const now = this.down.get(from);
    if (!now) return;
    this.down.delete(from);
    now.damp();
    this.keys.get(now.key)?.classList.remove("gru-down");
    this.release(now.key, time);
  }
  async listen() { // to every MIDI keyboard that is there, or comes
    const found = await navigator.requestMIDIAccess();
    const hear = () => found.inputs.forEach((input) => { input.onmidimessage = ({ data: [status, key, force], timeStamp }) => {
      if (status >> 4 === 9 && force) this.begin(`midi ${key}`, key - LOWEST, timeStamp);
      else if (status >> 4 === 8 || status >> 4 === 9) this.end(`midi ${key}`, timeStamp);
    }; });
    found.onstatechange = hear;
    hear();
    return found.inputs.size;
  }
  show(sounding, p) { // keys that sound now; the probability of each to sound next
    for (const [key, made] of this.keys) {
      made.classList.toggle("gru-sounds", Boolean(sounding?.[key]));
      made.style.setProperty("--p", p ? p[key].toFixed(3) : 0);
      made.title = p ? `${noteName(key)}: ${(100 * p[key]).toFixed(p[key] < 0.1 ? 1 : 0)} % next` : noteName(key);
    }
  }
}

class Played { // what a reader plays, in frames: keys struck together are a chord, which lasts as long as it was held
  constructor() { this.clear(); }
  clear() { Object.assign(this, { chords: [], chord: null, open: new Set() }); }
  press(key, time) {
    if (this.chord && time - this.chord.begin > 120) this.close(time); // a later key begins a new one
    this.chord ??= { begin: time, keys: new Set() };
    this.chord.keys.add(key);
    this.open.add(key);
  }
  release(key, time) {
    this.open.delete(key);
    if (this.chord && ![...this.chord.keys].some((k) => this.open.has(k))) this.close(time);
  }
  close(time) {
    this.chords.push({ keys: this.chord.keys, seconds: (time - this.chord.begin) / 1000 });
    this.chord = null;
  }
  takeBack() { this.chord ? this.chord = null : this.chords.pop(); }
  frames(each) { // seconds a frame
    const all = [...this.chords, ...this.chord ? [{ keys: this.chord.keys, seconds: 0 }] : []];
    return all.flatMap(({ keys, seconds }) => Array.from({ length: Math.max(1, Math.round(seconds / each)) }, () => Uint8Array.from({ length: KEYS }, (_, k) => keys.has(k))));
  }
}

Object.assign(gruStudy, { make, button, Player, Roll, Piano, Played, drawing, keepPage });
};
gruStudy.parts[1]();
