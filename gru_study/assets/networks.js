// Networks in a browser: layers whose step functions gru_study.script has written, the head of music, a translator.
// What is computed, and in which order, is told in the notebooks 03 (cells), 23 (models), 28 (sampling) and 29 (beam).
globalThis.gruStudy ??= {};
Object.assign(gruStudy, { cells: {}, networks: {}, arithmetic: {} });

(() => {
const { cells, networks, arithmetic } = gruStudy;

// ---- arithmetic: weights are float32, sums float64

const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const softplus = (x) => x > 20 ? x : Math.log1p(Math.exp(x));
const sum = (x) => x.reduce((a, b) => a + b, 0);

function multiply(U, k, x, c) { // gate k of U, as large as x, times x, plus its bias where there is one
  const n = x.length, y = new Float64Array(n);
  for (let j = 0; j < n; j++) {
    let s = c ? c[k * n + j] : 0;
    for (let i = 0, at = (k * n + j) * n; i < n; i++) s += U[at + i] * x[i];
    y[j] = s;
  }
  return y;
}

function affine(W, b, x) { // W x + b; zeros of x cost nothing
  const rows = W.length / x.length, y = new Float64Array(rows), heard = [];
  for (let i = 0; i < x.length; i++) if (x[i]) heard.push(i);
  for (let j = 0; j < rows; j++) {
    let s = b ? b[j] : 0;
    for (const i of heard) s += W[j * x.length + i] * x[i];
    y[j] = s;
  }
  return y;
}

function logSoftmax(z) {
  const top = z.reduce((a, b) => Math.max(a, b), -Infinity);
  const log = top + Math.log(z.reduce((s, v) => s + Math.exp(v - top), 0));
  return z.map((v) => v - log);
}

Object.assign(arithmetic, { sigmoid, softplus, sum, multiply });

// ---- weights

function tensors(base64) { // of a safetensors file: a header in JSON, then numbers
  const text = atob(base64), bytes = Uint8Array.from(text, (c) => c.charCodeAt(0)), view = new DataView(bytes.buffer);
  const size = Number(view.getBigUint64(0, true)), header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + size)));
  delete header.__metadata__;
  return Object.fromEntries(Object.entries(header).map(([name, { data_offsets: [from, to] }]) =>
    [name, new Float32Array(bytes.slice(8 + size + from, 8 + size + to).buffer)]));
}

class Layers { // a recurrent network, a step at a time
  constructor(cell, weights, prefix) {
    const of = (name, k) => weights[`${prefix}${name}_l${k}`] ?? new Float32Array(0);
    this.cell = cells[cell];
    this.layers = [];
    for (let k = 0; `${prefix}weight_ih_l${k}` in weights; k++) this.layers.push({
      W: of("weight_ih", k), b: of("bias_ih", k), U: of("weight_hh", k), c: of("bias_hh", k), V: of("weight_vh", k) });
    this.units = this.layers[0].b.length / this.cell.gates;
  }
  begin() { return this.layers.map(() => Array.from({ length: this.cell.states }, () => new Float64Array(this.units))); }
  step(x, state, seen) { // the new state; the hidden state of the last layer is its last row's first; seen: its lines' values
    return state.map((s, k) => {
      const { W, b, U, c, V } = this.layers[k], last = k === state.length - 1;
      const next = this.cell.step(affine(W, b, x), s, U, c, V, this.units, last ? seen : null);
      x = next[0];
      return next;
    });
  }
}

// ---- chance: the same seed gives the same music in every browser (splitmix32)

function chance(seed) {
  let a = seed >>> 0;
  return () => {
    a = a + 0x9e3779b9 | 0;
    let t = Math.imul(a ^ a >>> 16, 0x21f0aaad);
    t = Math.imul(t ^ t >>> 15, 0x735a2d97);
    return ((t ^ t >>> 15) >>> 0) / 2 ** 32;
  };
}

const logistic = (random) => -Math.log(1 / Math.min(1 - 1e-7, Math.max(1e-7, random())) - 1); // a note sounds where its logit is above

// ---- music

class Music {
  constructor(config, weights) {
    Object.assign(this, { config, weights, rnn: new Layers(config.rnn, weights, "rnn.") });
    this.notes = this.rnn.layers[0].W.length / this.rnn.layers[0].b.length;
  }
  begin() { return this.rnn.begin(); }
  step(frame, state, seen) { // what the head needs to know of the next frame, and the new state
    const next = this.rnn.step(frame, state, seen), { "readout.weight": W, "readout.bias": b } = this.weights;
    return { state: next, outputs: affine(W, b, next.at(-1)[0]) };
  }
  draw(outputs, threshold) { // a frame, and the logits that its notes had: a note sounds where its logit is above
    const { "head.W": W, "head.V": V } = this.weights, n = this.notes;
    if (!W) return { frame: Uint8Array.from(threshold, (t, i) => outputs[i] > t), logits: outputs };
    const units = outputs.length - n, a = outputs.slice(n), frame = new Uint8Array(n), logits = new Float64Array(n);
    const hidden = a.map(sigmoid); // of the head; another one after each note that sounds
    for (let i = 0; i < n; i++) { // from low to high, each given those below it
      let z = outputs[i];
      for (let k = 0; k < units; k++) z += V[i * units + k] * hidden[k];
      logits[i] = z;
      if (!(frame[i] = z > threshold[i])) continue;
      for (let k = 0; k < units; k++) hidden[k] = sigmoid(a[k] += W[i * units + k]);
    }
    return { frame, logits };
  }
  chances(outputs, draws = 64) { // how likely each note is: exact, or with a chord head a mean over chords, always the same
    if (!this.weights["head.W"]) return Float64Array.from(outputs, sigmoid);
    const p = new Float64Array(this.notes), random = chance(0);
    for (let d = 0; d < draws; d++) {
      const { logits } = this.draw(outputs, Float64Array.from(p, () => logistic(random)));
      logits.forEach((z, i) => { p[i] += sigmoid(z) / draws; });
    }
    return p;
  }
  replay(frames) { // after each frame: the value of each line of the last layer's cell, and the probability of each note of the next frame
    let state = this.begin();
    return frames.map((frame) => {
      const seen = [], { state: next, outputs } = this.step(frame, state, seen);
      state = next;
      return { seen, p: this.chances(outputs) };
    });
  }
  * sample({ steps, begin = [], fixed = [], temperature = 1, most = 0, particles = 1, seed = 0, draw }) {
    // Frame by frame; the beginning given as frames; `fixed` of 1 (sounds), -1 (silent) and 0 (free). With particles,
    // so many runs of which the likelier go on: then all frames at once, at the end.
    const random = chance(seed), n = this.notes;
    const drawn = draw ?? (() => temperature * logistic(random));
    const given = (t, i) => t < begin.length ? (begin[t][i] ? 1 : -1) : fixed[t]?.[i] ?? 0;
    let runs = Array.from({ length: particles }, () => ({ state: this.begin(), frame: new Uint8Array(n), past: null, steps: 0 }));
    for (let t = 0; t < steps; t++) {
      const now = Int8Array.from({ length: n }, (_, i) => given(t, i));
      if (t < begin.length && !t) { // the first frame that is given follows nothing
        runs.forEach((r) => { r.frame = Uint8Array.from(begin[0]); r.past = { frame: r.frame, past: null }; });
        if (particles === 1) yield runs[0].frame;
        continue;
      }
      for (const r of runs) {
        Object.assign(r, this.step(r.frame, r.state));
        r.threshold = Float64Array.from(now, (g) => g ? -g * Infinity : drawn());
        Object.assign(r, this.draw(r.outputs, r.threshold));
        for (let again = 0; this.weights["head.W"] && temperature && most && sum(r.frame) > most && again < 20; again++) {
          r.threshold = Float64Array.from(now, (g) => g ? -g * Infinity : drawn());
          Object.assign(r, this.draw(r.outputs, r.threshold));
        }
        if (particles > 1) r.weight = now.reduce((w, g, i) => w + (g ? -softplus(-g * r.logits[i] / (temperature || 1)) : 0), 0);
      }
      if (particles > 1) runs = resampled(runs, random).map((r) => ({ ...r }));
      for (const r of runs) {
        if (particles > 1 && !this.weights["head.W"]) { // notes are drawn anew for each copy
          r.threshold = Float64Array.from(now, (g) => g ? -g * Infinity : drawn());
          Object.assign(r, this.draw(r.outputs, r.threshold));
        }
        if (most) r.frame = fewest(r.frame, r.logits, r.threshold, most);
        r.past = { frame: r.frame, past: r.past };
      }
      if (particles === 1) yield runs[0].frame;
    }
    if (particles === 1) return;
    const found = [];
    for (let p = runs[Math.floor(random() * particles)].past; p; p = p.past) found.unshift(p.frame);
    yield* found;
  }
}

function resampled(runs, random) { // systematic: a run of weight w goes on about w times as often as one on average
  const p = logSoftmax(Float64Array.from(runs, (r) => r.weight)).map(Math.exp), shift = random(), found = [];
  let i = 0, reached = p[0];
  for (let k = 0; k < runs.length; k++) {
    while (reached < (k + shift) / runs.length && i < runs.length - 1) reached += p[++i];
    found.push(runs[i]);
  }
  return found;
}

function fewest(frame, logits, threshold, most) { // the notes that are furthest above what they had to exceed
  const margin = logits.map((z, i) => z - threshold[i]), least = [...margin].sort((a, b) => b - a)[most - 1];
  return frame.map((on, i) => on && margin[i] >= least ? 1 : 0);
}

// ---- translation

class Translator {
  constructor(config, weights, vocabulary) {
    Object.assign(this, { config, weights });
    [this.source, this.target] = vocabulary.tokens;
    this.number = new Map(this.source.map((word, i) => [word, i]));
    this.ways = config.bidirectional ? 2 : 1;
    this.encoder = [];
    for (let k = 0; `encoder.layers.${k}.0.weight_ih_l0` in weights; k++)
      this.encoder.push(Array.from({ length: this.ways }, (_, w) => new Layers(config.rnn, weights, `encoder.layers.${k}.${w}.`)));
    this.decoder = this.encoder.map((_, k) => new Layers(config.rnn, weights, `decoder.layers.${k}.`));
    this.units = this.decoder[0].units;
    this.size = weights["source.weight"].length / this.source.length; // of an embedding
  }
  embedded(table, word) { return Float64Array.from(this.weights[table].subarray(word * this.size, (word + 1) * this.size)); }
  known(tokens) { return tokens.map((t) => this.number.get(t) ?? 0); }
  encode(words) { // what the decoder may look at, and its first state
    const through = (layer, rows) => { // hidden states
      let state = layer.begin();
      return rows.map((x) => (state = layer.step(x, state))[0][0]);
    };
    let rows = words.map((w) => this.embedded("source.weight", w));
    for (const [ahead, back] of this.encoder) {
      const hidden = through(ahead, rows), turned = back ? through(back, [...rows].reverse()).reverse() : rows.map(() => []);
      rows = hidden.map((h, t) => Float64Array.from([...h, ...turned[t]]));
    }
    const n = this.units, ends = Float64Array.from([...rows.at(-1).subarray(0, n), ...rows[0].subarray(n)]);
    const bridge = affine(this.weights["bridge.weight"], this.weights["bridge.bias"], ends).map(Math.tanh), states = this.decoder[0].cell.states;
    const state = this.decoder.map((_, k) => [Array.from({ length: states }, (_, s) => bridge.slice((k * states + s) * n, (k * states + s + 1) * n))]);
    return { memory: this.remembered(rows, ends), state };
  }
  remembered(values, ends) {
    const kind = this.config.attention, key = this.weights["decoder.attention.key.weight"], n = this.units;
    if (kind === "none") return { values: [ends], keys: null };
    const both = (h) => Float64Array.from({ length: n }, (_, j) => h[j] + (this.ways > 1 ? h[n + j] : 0));
    return { values, keys: values.map((h) => kind === "dot" ? both(h) : affine(key, null, h)) };
  }
  looking(h, { keys }) { // where to look, for a hidden state
    const { "decoder.attention.query.weight": Q, "decoder.attention.query.bias": q, "decoder.attention.v.weight": v } = this.weights;
    const asked = Q ? affine(Q, q, h) : h;
    const score = (key) => sum(key.map((k, j) => Q ? v[j] * Math.tanh(asked[j] + k) : asked[j] * k));
    return logSoftmax(Float64Array.from(keys, score)).map(Math.exp);
  }
  decode(word, state, memory) { // a step: log-probability of each next word, the new state, where it looked
    let h = this.embedded("target.weight", word);
    const next = this.decoder.map((layer, k) => {
      const s = layer.step(h, state[k]);
      h = s[0][0];
      return s;
    });
    const looked = memory.keys && this.looking(h, memory), context = new Float64Array(memory.values[0].length);
    memory.values.forEach((value, t) => value.forEach((v, j) => { context[j] += v * (looked ? looked[t] : 1); }));
    const features = affine(this.weights["decoder.readout.weight"], this.weights["decoder.readout.bias"], Float64Array.from([...h, ...context])).map(Math.tanh);
    const logP = logSoftmax(affine(this.weights.output ?? this.weights["target.weight"], this.weights.bias, features));
    return { logP, state: next, looked };
  }
  translate(tokens, { beam = 5, alpha = 1 } = {}) { // the best translation that a beam finds, and where each word looked
    const [PAD, BOS, EOS] = [1, 2, 3], limit = 2 * tokens.length + 10, { memory, state } = this.encode(this.known(tokens));
    let found = [{ words: [], sum: 0, state, looked: [], done: false }];
    while (found.some((f) => !f.done)) {
      const ahead = found.flatMap((f) => {
        if (f.done) return [{ from: f, sum: f.sum, score: f.sum / f.words.length ** alpha }];
        f.next = this.decode(f.words.at(-1) ?? BOS, f.state, memory);
        return Array.from(f.next.logP, (p, word) => word === BOS || word === PAD ? null : { from: f, word, sum: f.sum + p, score: (f.sum + p) / (f.words.length + 1) ** alpha }).filter(Boolean);
      });
      found = ahead.sort((a, b) => b.score - a.score).slice(0, beam).map(({ from, word, sum }) => from.done ? from : {
        words: [...from.words, word], sum, state: from.next.state, looked: [...from.looked, from.next.looked],
        done: word === EOS || from.words.length + 1 >= limit });
    }
    const { words, looked, sum: total } = found[0], said = words.filter((w) => w !== EOS);
    const most = (row) => row.indexOf(row.reduce((a, b) => Math.max(a, b)));
    return { tokens: said.map((w, i) => w || !looked[i] ? this.target[w] : tokens[most(looked[i])]), looked: looked.slice(0, said.length),
      score: total / words.length ** alpha, unknown: [...new Set(tokens.filter((t) => !this.number.get(t)))] };
  }
}

// ---- what a page has loaded

gruStudy.network = (name, { config, vocabulary, weights }) => {
  const read = tensors(weights);
  networks[name] = vocabulary ? new Translator(config, read, vocabulary) : new Music(config, read);
};
gruStudy.tokens = (text) => text.normalize("NFC").match(/[\p{L}\p{N}]+(?:['’-][\p{L}\p{N}]+)*|[^\s\p{L}\p{N}]/gu) ?? [];
gruStudy.sentence = (tokens) => tokens.join(" ").replace(/ ([.,!?;:])/g, "$1");
Object.assign(gruStudy, { chance, Layers });
})();
