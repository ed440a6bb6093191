// The study's networks, played with: compose, go on, harmonise, play along, tell Bach from a network, translate. No server,
// no framework. An app is given a place and a shelf: which networks there are, and how one is fetched. On a page of the
// site the shelf is made of scripts beside this one, in the lab it is the kernel (see lab_play.js).
(() => {
const { make, button, Roll, Piano, Played, keysOf, fromMidi, KEYS, studio, silence } = gruStudy;
const TEMPO = 96, CELLS = { gru: "GRU", lstm: "LSTM", tanh: "tanh" };

function slider(label, min, max, step, value, spell = String) {
  const shown = make("span", { textContent: spell(value) }), input = make("input", { type: "range", min, max, step, value });
  input.addEventListener("input", () => { shown.textContent = spell(Number(input.value)); });
  return [make("label", {}, label, " ", shown, input), () => Number(input.value), input];
}

function offer(input, options, value = input.value) { // options: value -> text
  input.replaceChildren(...Object.entries(options).map(([key, text]) => make("option", { value: key, textContent: text })));
  input.value = value in options ? value : Object.keys(options)[0];
}

function choice(label, options, value) {
  const input = make("select");
  offer(input, options, value);
  return [make("label", {}, label, input), () => input.value, input];
}

function telling(status, act, order = {}) { // one answer after the other; who asks twice wants the newer one
  return (...args) => { // what goes wrong is said beside the controls
    const mine = order.newest = {};
    return order.turn = Promise.resolve(order.turn).then(() => order.newest === mine && act(...args)).then(() => { status.textContent = ""; })
      .catch((error) => { status.textContent = error.message; });
  };
}

const said = () => make("p", { className: "gru-status", aria: { live: "polite" } });

// ---- compose

const WAYS = { free: "compose freely", go: "go on from a beginning", under: "harmonise a melody" };
const MINE = "what I play", FILE = "file: "; // sources that are no pieces of the shelf

function topVoice(frame) { // what a melody on top leaves free: 1 sounds, -1 is silent, 0 is free
  const top = keysOf(frame).at(-1);
  return Array.from(frame, (_, key) => top === undefined || key > top ? -1 : key === top ? 1 : 0);
}

function asked(c, piece, mine) { // what a network is asked for; of what a reader plays all is given
  const common = { temperature: c.temperature, most: c.most, seed: c.seed }, given = mine ? piece.length : c.given;
  if (c.way === "free" || !piece.length) return { ...common, steps: c.frames };
  if (c.way === "go") return { ...common, steps: given + (mine ? c.frames : Math.max(0, c.frames - given)), begin: piece.slice(0, given) };
  const length = mine ? piece.length : Math.min(c.frames, piece.length);
  return { ...common, steps: length, fixed: piece.slice(0, length).map(topVoice), particles: 16 };
}

const givenIn = (wish) => (t, key) => t < (wish.begin?.length ?? 0) || wish.fixed?.[t]?.[key] === 1;

function within(piece, from, to, wish) { // the same piece with one stretch free, but for what was given there
  const fixed = piece.frames.map((frame, t) => t >= from && t < to ? wish.fixed?.[t] ?? new Int8Array(KEYS) : Array.from(frame, (on) => on ? 1 : -1));
  return { ...wish, steps: fixed.length, begin: piece.frames.slice(0, from), fixed, particles: 16 };
}

function told(c, name, source, step) { // of a file: what was given, and what was made
  const beats = c.given * step, from = { free: "", go: source === MINE ? " goes on from what was played" : ` goes on from ${beats} beats of ${source}`,
    under: ` under the melody of ${source === MINE ? "what was played" : source}` }[c.way];
  return `${name}${from}, temperature ${c.temperature}, seed ${c.seed}`;
}

function spelt([text, of]) { // a word of an equation: a gate by itself, or what belongs to one
  if (!of) return text;
  return text === of ? make("em", { textContent: of, data: { of } }) : make("span", { data: { of } }, text, make("sub", { textContent: of }));
}

const MOST = 100; // squares in a row

function squares(row, values) { // one a unit
  while (row.childElementCount > values.length) row.lastChild.remove();
  while (row.childElementCount < values.length) row.append(make("span"));
  values.forEach((v, i) => {
    row.children[i].style.background = `color-mix(in srgb, ${v < 0 ? "#0072b2" : "#e69f00"} ${Math.round(100 * Math.min(1, Math.abs(v)))}%, transparent)`;
    row.children[i].title = `unit ${i + 1}: ${v.toFixed(2)}`;
  });
}

class Inside { // what a network has in mind while a piece sounds: the values of its cell's equations, and the notes that it expects
  constructor(piano) {
    this.piano = piano;
    this.lines = make("div", { className: "gru-lines" });
    this.said = make("p", { className: "gru-said" });
    this.element = make("div", {}, this.said, this.lines);
    for (const kind of ["mouseover", "focusin"]) this.lines.addEventListener(kind, ({ target }) => this.light(target.closest("[data-of]")?.dataset.of));
    for (const kind of ["mouseleave", "focusout"]) this.lines.addEventListener(kind, () => this.light(null));
  }
  light(of) { for (const word of this.lines.querySelectorAll("[data-of]")) word.classList.toggle("gru-lit", word.dataset.of === of); }
  show(net, label) { // the equations of a cell, and a square for each unit
    if (this.net === net) return;
    this.net = net;
    this.rows = net.rnn.cell.lines.map(([of, words]) => {
      const units = make("div", { className: "gru-units", aria: { role: "img", label: `${of} of each unit while the piece sounds` } });
      const said = make("div", { className: "gru-equation" }, spelt([of, of]), " = ", ...words.map(spelt));
      this.lines.append(make("div", { className: "gru-line", tabIndex: 0, data: { of } }, said, units));
      return units;
    });
    const layers = net.rnn.layers.length, which = layers > 1 ? `the last of ${layers} layers of ` : "";
    const units = net.rnn.units > MOST ? `one of the first ${MOST} units` : "a unit";
    this.said.textContent = `Inside ${which}${label}, while a piece sounds: a square is ${units}, orange above 0, blue below. Point at a gate to see where it is used. A key of the piano is the darker the likelier it sounds next.`;
    while (this.lines.childElementCount > this.rows.length) this.lines.firstChild.remove();
  }
  watch(net, frames, label) { // gives what a roll tells of the frame that sounds
    let minds = null, last;
    return (t) => {
      if (t === last) return;
      last = t;
      if (t === null || t >= frames.length) return this.piano.show(null, null);
      minds ??= net.replay(frames);
      const { seen, p } = minds[t];
      this.piano.show(frames[t], p);
      this.show(net, label);
      seen.forEach((values, k) => squares(this.rows[k], typeof values === "number" ? [values] : values.subarray(0, MOST)));
    };
  }
}

async function compose(root, shelf) {
  const names = Object.fromEntries(shelf.networks.map((n) => [n.name, n.label])), by = Object.fromEntries(shelf.networks.map((n) => [n.name, n]));
  const each = (n) => [...new Map(shelf.networks.filter((o) => o.data === n.data).reverse().map((o) => [o.cell, o])).values()].reverse(); // the first of each cell
  const [rnnBox, rnn, rnnInput] = choice("network", names, shelf.networks[0].name), [wayBox, way, wayInput] = choice("what it does", WAYS, "free");
  const [sourceBox, source, sourceInput] = choice("piece", { [MINE]: MINE }), [givenBox, given] = slider("beats given", 1, 32, 1, 8);
  const [beatsBox, beats] = slider("beats", 8, 128, 4, 48), [warmBox, temperature] = slider("temperature", 0, 1.5, 0.05, 1, (v) => v.toFixed(2));
  const [mostBox, most] = slider("notes at once, at most", 1, 10, 1, 4), [tempoBox, tempo] = slider("beats a minute", 40, 200, 4, TEMPO);
  const all = make("input", { type: "checkbox" }), status = said(), rolls = make("div"), hint = make("p", { className: "gru-said", aria: { live: "polite" } });
  const again = button("Another", () => { seed++; soon(); }, { className: "gru-main" });
  const file = make("input", { type: "file", accept: ".mid,.midi", onchange: () => file.files[0] && drop(file.files[0]) });
  const controls = make("div", { className: "gru-controls" }, rnnBox, wayBox, sourceBox, givenBox, beatsBox, warmBox, mostBox, tempoBox,
    make("label", { className: "gru-check" }, all, "the three cells"), again);
  const played = new Played(), views = {}, own = {}; // own: a reader's files, read for each length of a frame
  let seed = 1, waiting = null, current = {}, pieces = {}, step = 1, wish = {};
  const playing = () => wayInput.value !== "free" && source() === MINE;
  const mine = (act) => (key, time) => {
    act(key, time);
    if (way() === "free") wayInput.value = "go";
    sourceInput.value = MINE;
    soon({ timeStamp: time });
  };
  const piano = new Piano(innerWidth < 700 ? 27 : 15, 75, { // from C3, or C2, to C7: as high as the chorales go
    press: mine((key, time) => played.press(key, time)), release: mine((key, time) => played.release(key, time)) });
  const inside = new Inside(piano), taken = (act) => () => { act(); soon(); };
  const midi = button("Use a MIDI keyboard", telling(status, async () => { hint.textContent = `${await piano.listen()} MIDI keyboards are connected`; }), { hidden: !navigator.requestMIDIAccess });
  const hands = make("div", { className: "gru-hands" }, button("Take the last chord back", taken(() => played.takeBack())), button("Begin anew", taken(() => played.clear())), midi,
    make("label", { className: "gru-file" }, "or open a MIDI file, or drop one here ", file));
  root.replaceChildren(controls, status, rolls, piano.element, hands, hint, inside.element);

  async function drop(given) {
    await telling(status, async () => {
      if (!/\.midi?$/i.test(given.name)) throw new Error(`${given.name} is no MIDI file: its name ends neither in .mid nor in .midi`);
      const content = await given.arrayBuffer();
      fromMidi(content, step);
      own[FILE + given.name] = content;
      offer(sourceInput, sources(), FILE + given.name);
      if (way() === "free") wayInput.value = "go";
      soon();
    })();
  }
  root.addEventListener("dragover", (event) => event.preventDefault());
  root.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) drop(event.dataTransfer.files[0]);
  });

  const sources = () => Object.fromEntries([MINE, ...Object.keys(own), ...Object.keys(pieces)].map((n) => [n, n]));
  const begin = () => source() === MINE ? played.frames(60 * step / tempo()) : own[source()] ? fromMidi(own[source()], step) : pieces[source()];
  async function look(chosen) { // the pieces that a network was not trained on
    if (current.data === chosen.data) return;
    const music = await shelf.music(chosen.data);
    current = chosen;
    ({ step } = music);
    pieces = Object.fromEntries(Object.entries(music.pieces).map(([name, frames]) => [name, frames.map((keys) => Uint8Array.from({ length: KEYS }, (_, k) => keys.includes(k)))]));
    offer(sourceInput, sources(), sourceInput.value !== MINE || played.chords.length ? sourceInput.value : Object.keys(pieces)[0]);
  }
  function put(n, net, frames, c) { // a piece, where it is seen and heard
    const name = told(c, n.label, source(), step), isGiven = givenIn(wish);
    views[n.name].show({ frames, step, isGiven, tempo: tempo(), name, made: `Grey is what was given, coloured what was made by ${n.label}, a network that was trained on: ${n.data}.` });
    views[n.name].watch = inside.watch(net, frames, n.label);
    if (n.name === rnn()) inside.show(net, n.label);
  }
  async function update(begun) {
    const first = by[rnn()];
    await look(first);
    const which = all.checked ? each(first) : [first], piece = begin();
    const c = { way: way(), given: Math.round(given() / step), frames: Math.round(beats() / step), temperature: temperature(), most: most(), seed };
    sourceBox.hidden = c.way === "free";
    givenBox.hidden = c.way !== "go" || playing();
    beatsBox.hidden = c.way === "under" && playing();
    hint.textContent = playing() && !piece.length ? "Play a chord or a melody: on the piano, with the keys A to L, or with a MIDI keyboard. The network answers at once." : "";
    wish = asked(c, piece, playing());
    for (const n of which) {
      const net = await shelf.network(n.name), again = (from, to) => telling(status, () => {
        const frames = [...net.sample({ ...within(views[n.name].piece, from, to, wish), seed: ++seed })];
        put(n, net, frames, { ...c, seed });
      })();
      views[n.name] ??= new Roll(n.label, n.colour, again);
      views[n.name].anew = again;
      put(n, net, [...net.sample(wish)], c);
    }
    const elements = which.map((n) => views[n.name].element);
    if (elements.some((e, i) => rolls.children[i] !== e) || rolls.childElementCount !== elements.length) {
      silence();
      rolls.replaceChildren(...elements);
    }
    root.dataset.milliseconds = Math.round(performance.now() - begun);
    root.dataset.answers = Number(root.dataset.answers ?? 0) + 1;
  }
  const answer = telling(status, update);
  function soon(event) { // many events, one answer, counted from the first
    if (waiting !== null) return;
    waiting = event?.timeStamp ?? performance.now();
    requestAnimationFrame(() => { const begun = waiting; waiting = null; answer(begun); });
  }
  controls.addEventListener("input", soon);
  await answer(performance.now());
}

// ---- which is Bach?

const ROUND = 16, COMMON = 4; // beats that are heard; of them the same in both

function score(kept = null) { // right answers and all, kept by the browser where it may
  try {
    if (kept) localStorage.setItem("gru-study-blind", JSON.stringify(kept));
    const { right = 0, of = 0 } = JSON.parse(localStorage.getItem("gru-study-blind") ?? "{}");
    return { right: Number(right) || 0, of: Number(of) || 0 };
  } catch { return kept ?? { right: 0, of: 0 }; }
}

function byGuessing({ right, of }) { // the probability of so many right answers or more
  let p = 0, term = 0.5 ** of; // of k right answers, from k = 0
  for (let k = 0; k <= of; k++) {
    if (k >= right) p += term;
    term *= (of - k) / (k + 1);
  }
  return p;
}

async function blind(root, shelf) {
  const networks = shelf.networks.filter((n) => n.data === shelf.networks[0].data), by = Object.fromEntries(networks.map((n) => [n.name, n]));
  const [rnnBox, rnn, rnnInput] = choice("network", Object.fromEntries(networks.map((n) => [n.name, n.label]))), status = said(), place = make("div");
  const verdict = make("p", { className: "gru-verdict", aria: { live: "polite" } }), tally = make("p", { className: "gru-said" }), next = button("Another pair", () => ask(), { className: "gru-main" });
  const clear = button("Forget my score", () => { kept = score({ right: 0, of: 0 }); count(); });
  root.replaceChildren(make("div", { className: "gru-controls" }, rnnBox, next, clear), status, place, verdict, tally);
  let kept = score();
  const count = () => { tally.textContent = kept.of ? `${kept.right} of ${kept.of} right; who guesses does as well or better with a probability of ${(100 * byGuessing(kept)).toFixed(0)} %.` : ""; };
  const ask = telling(status, async () => {
    const { step, pieces } = await shelf.music(networks[0].data), net = await shelf.network(rnn()), n = by[rnn()], any = (count) => Math.floor(Math.random() * count);
    const all = Object.entries(pieces).filter(([, frames]) => frames.length * step >= ROUND), [name, rows] = all[any(all.length)], length = Math.round(ROUND / step);
    const true_ = rows.slice(0, length).map((keys) => Uint8Array.from({ length: KEYS }, (_, k) => keys.includes(k)));
    const begin = true_.slice(0, Math.round(COMMON / step)), made = [...net.sample({ steps: length, begin, temperature: 1, most: 4, seed: any(2 ** 31) })];
    const isGiven = (t) => t < begin.length, first = any(2), two = first ? [true_, made] : [made, true_]; // is A the true one?
    const rolls = two.map((frames, i) => {
      const isTrue = Boolean(first) === !i, roll = new Roll(`${"AB"[i]}`, isTrue ? "#6a6a6a" : n.colour);
      roll.show({ frames, step, isGiven: isTrue ? () => true : isGiven, tempo: TEMPO, name: isTrue ? name : `${n.label} after ${COMMON} beats of ${name}`, made: "" });
      return roll;
    });
    const hears = rolls.map((roll, i) => {
      const hear = `▶ Hear ${"AB"[i]}`, play = button(hear, () => (studio.playing?.of === roll ? silence() : roll.play(0))), { told } = roll;
      roll.told = (sounds) => { told(sounds); play.textContent = sounds ? "■ Stop" : hear; };
      const take = button(`${"AB"[i]} is the composer's`, () => answer(i), { className: "gru-main" });
      return make("div", { className: "gru-pair" }, play, take);
    });
    const answer = (i) => {
      const right = Boolean(first) === !i;
      kept = score({ right: kept.right + right, of: kept.of + 1 });
      silence();
      verdict.textContent = `${right ? "Right" : "No"}: ${"BA"[first]} is ${name}, ${"AB"[first]} is what ${n.label} makes of its first ${COMMON} beats.`;
      place.replaceChildren(...rolls.map((r) => r.element));
      count();
      next.focus();
    };
    silence();
    verdict.textContent = `Both begin with the same ${COMMON} beats. One goes on as it was composed, the other as ${n.label} goes on.`;
    place.replaceChildren(...hears);
    count();
  });
  rnnInput.onchange = ask;
  await ask();
}

// ---- a network while it learns

async function learn(root, shelf) { // what the same seed makes after ever more epochs; called again whenever there are more
  const { networks } = shelf, last = networks.length - 1;
  if (last < 0) return root.replaceChildren(said());
  const state = root.learned ??= { seed: 1, follows: true, warm: 1, roll: new Roll("What it composes", networks[0].colour), order: {} };
  if (state.follows && studio.playing?.of !== state.roll) state.at = last;
  const [atBox, at] = slider("heard as it was", 0, last, 1, state.at, (i) => networks[i].label), status = said();
  const [warmBox, temperature] = slider("temperature", 0, 1.5, 0.05, state.warm, (v) => v.toFixed(2));
  const update = telling(status, async () => {
    const { at, seed, warm } = state, { name, label, data } = shelf.networks[at];
    const [net, { step }] = [await shelf.network(name), await shelf.music(data)];
    const frames = [...net.sample({ steps: Math.round(48 / step), temperature: warm, most: 6, seed })];
    state.roll.show({ frames, step, tempo: TEMPO, isGiven: () => false, name: `${label}, temperature ${warm}, seed ${seed}`, made: `Composed by a network that learned ${data}.` });
  }, state.order);
  const again = button("Another", () => { state.seed++; update(); }, { className: "gru-main" }), controls = make("div", { className: "gru-controls" }, atBox, warmBox, again);
  controls.addEventListener("input", () => { Object.assign(state, { at: at(), follows: at() === last, warm: temperature() }); update(); });
  root.replaceChildren(controls, status, state.roll.element);
  if (studio.playing?.of !== state.roll) await update();
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
  return make("table", { className: "gru-looked" }, make("caption", {}, make("span", { textContent: "Where the network looked (columns) for each word it said (rows): shares of attention" })),
    make("thead", {}, head), make("tbody", {}, ...rows));
}

async function translate(root, shelf) {
  const [rnnBox, rnn, rnnInput] = choice("network", Object.fromEntries(shelf.networks.map((n) => [n.name, n.label]))), status = said();
  const input = make("input", { type: "text", value: shelf.sentences[0], lang: "de", spellcheck: false }), out = make("div", { aria: { live: "polite" } });
  const button = make("button", { type: "submit", className: "gru-main", textContent: "Translate" });
  const form = make("form", { className: "gru-controls" }, make("label", { className: "gru-wide" }, "a German caption", input), rnnBox, button);
  const examples = make("p", { className: "gru-examples" }, "Try: ", ...shelf.sentences.map((s) =>
    make("button", { type: "button", textContent: s, lang: "de", onclick: () => { input.value = s; run(); } })));
  const run = telling(status, async () => {
    status.textContent = "the network reads …";
    const net = await shelf.network(rnn()), begun = performance.now(), tokens = gruStudy.tokens(input.value);
    if (!tokens.length) throw new Error("write a sentence first");
    if (tokens.length > 60) throw new Error(`that is ${tokens.length} words and marks; at most 60 are translated here`);
    const { tokens: said, looked, score, unknown } = net.translate(tokens);
    const source = make("p", { lang: "de" }, ...tokens.flatMap((t) => [/^[,.;:!?]$/.test(t) ? "" : " ", unknown.includes(t) ? make("mark", { textContent: t, title: "not in the network's vocabulary" }) : t]));
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

// ---- on a page of the site: scripts are loaded when an app comes into view

function besides(script) { // a shelf of scripts beside this one
  const here = new URL(".", script.src), loading = new Map();
  const load = (file) => {
    if (!loading.has(file)) loading.set(file, new Promise((done, failed) => {
      const refuse = () => { loading.delete(file); failed(new Error(`${file} could not be loaded; try again`)); };
      document.head.append(Object.assign(document.createElement("script"), { src: new URL(file, here), onload: done, onerror: refuse }));
    }));
    return loading.get(file);
  };
  const network = async (name) => {
    await load(`${name.replace("/", "-")}.js`);
    return gruStudy.networks[name];
  };
  return async (data) => {
    await load("pieces.js");
    const { pieces, colours, sentences } = gruStudy;
    const networks = Object.entries(CELLS).map(([cell, label]) => ({ name: `${data}/${cell}`, label, cell, colour: colours[cell], data: "embedded chorales" }));
    return { networks, network, sentences, music: async () => ({ step: 1, pieces }) };
  };
}

gruStudy.apps = { compose, blind, learn, translate };
const script = document.currentScript;
if (script) {
  const shelf = besides(script), data = { compose: "chorales", blind: "chorales", translate: "captions_de_en" };
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) {
      seen.unobserve(target);
      const { app } = target.dataset;
      shelf(data[app]).then((s) => gruStudy.apps[app](target, s)).catch((error) => { target.textContent = error.message; console.error(error); });
    }
  }, { rootMargin: "400px" });
  for (const element of document.querySelectorAll(".gru-play")) seen.observe(element);
}
})();
