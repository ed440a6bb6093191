// Notes and their sound: struck strings in a small room, one piece at a time; MIDI written and read, MusicXML written.
// Each part of a page is a function that is called at once, so that a page can give its source on (see `keepPage` in roll.js).
globalThis.gruStudy ??= {};
gruStudy.parts = [function sound() {
const LOWEST = 21, KEYS = 88; // MIDI number of key 0; keys of a piano
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

// ---- sound

const studio = { to: null, playing: null }; // where sounds go; the piece that sounds

function instrument(context) { // strings and their room
  const echo = context.createGain(), limit = context.createDynamicsCompressor(), out = context.createGain();
  const wave = context.createPeriodicWave(new Float32Array(8), Float32Array.of(0, 1, 0.55, 0.3, 0.18, 0.1, 0.06, 0.03));
  echo.gain.value = 0.12;
  out.connect(limit).connect(context.destination);
  out.connect(room(context)).connect(echo).connect(context.destination);
  return { context, wave, out };
}

function open() { // a browser lets sound begin with a reader's press
  if (studio.to) studio.to.context.resume();
  else {
    studio.to = instrument(new AudioContext());
    document.addEventListener("play", silence, true); // what a page plays otherwise: one sound at a time
  }
  return studio.to;
}

function room(context) { // an echo that dies away within a second
  const seconds = 1.1, rate = context.sampleRate, buffer = context.createBuffer(2, seconds * rate, rate);
  for (const channel of [0, 1]) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < samples.length; i++) samples[i] = (2 * Math.random() - 1) * (1 - i / samples.length) ** 3;
  }
  return Object.assign(context.createConvolver(), { buffer });
}

function string({ context, wave, out }, key, begin, seconds = Infinity) { // bright when struck, then duller and softer; gives what damps it
  const f = 440 * 2 ** ((key + LOWEST - 69) / 12), last = Math.min(1.6, 1.1 * (440 / f) ** 0.35);
  const filter = Object.assign(context.createBiquadFilter(), { type: "lowpass" }), gain = context.createGain();
  filter.frequency.setValueAtTime(Math.min(12000, 9 * f + 600), begin);
  filter.frequency.setTargetAtTime(2.2 * f + 200, begin, last / 2);
  gain.gain.setValueAtTime(0, begin);
  gain.gain.linearRampToValueAtTime(0.16, begin + 0.006);
  gain.gain.setTargetAtTime(0, begin + 0.006, last);
  const strings = [-2, 2].map((cents) => {
    const oscillator = context.createOscillator();
    oscillator.setPeriodicWave(wave);
    oscillator.frequency.value = f;
    oscillator.detune.value = cents;
    oscillator.connect(filter);
    oscillator.start(begin);
    return oscillator;
  });
  const damp = (end) => {
    gain.gain.setTargetAtTime(0, Math.max(begin + 0.01, end - 0.03), 0.05);
    for (const s of strings) s.stop(Math.max(begin, end) + 0.3);
  };
  filter.connect(gain).connect(out);
  if (seconds < Infinity) damp(begin + seconds);
  return () => damp(context.currentTime);
}

function strike(key) { // a key that is held down; gives what lets it go
  const to = open();
  return string(to, key, to.context.currentTime);
}

function silence() {
  const now = studio.playing;
  if (!now) return;
  studio.playing = null;
  now.out.gain.setTargetAtTime(0, now.out.context.currentTime, 0.03);
  cancelAnimationFrame(now.frame);
  setTimeout(() => now.out.disconnect(), 400);
  now.ended();
}

function play({ frames, step, tempo }, from, watch, ended) { // `watch` is told the frame that sounds
  silence();
  for (const other of document.querySelectorAll("audio")) other.pause();
  const to = open(), { context } = to, out = context.createGain(), each = 60 * step / tempo; // seconds a frame
  out.connect(to.out);
  const start = context.currentTime + 0.06 - from * each, now = studio.playing = { out, ended, at: from };
  for (const { key, begin, end } of held(frames)) if (end > from) {
    const first = Math.max(begin, from);
    string({ ...to, out }, key, start + first * each, (end - first) * each);
  }
  const follow = () => {
    if (studio.playing !== now) return;
    now.at = (context.currentTime - start) / each;
    if (now.at >= frames.length + 0.5 / each) return silence();
    watch(Math.max(from, now.at));
    now.frame = requestAnimationFrame(follow);
  };
  follow();
}

async function toWav({ frames, step, tempo }) { // the same sound as a file: two channels of 16 bits
  const rate = 44100, each = 60 * step / tempo, size = Math.round((frames.length * each + 1.2) * rate);
  const context = new OfflineAudioContext(2, size, rate), to = instrument(context);
  for (const { key, begin, end } of held(frames)) string(to, key, begin * each, (end - begin) * each);
  const heard = await context.startRendering(), view = new DataView(new ArrayBuffer(44 + 4 * size));
  const head = ["RIFF", 36 + 4 * size, "WAVE", "fmt ", 16, [1, 2], rate, 4 * rate, [4, 16], "data", 4 * size];
  head.forEach((said, i) => {
    if (typeof said === "string") bytes(said).forEach((b, k) => view.setUint8(4 * i + k, b));
    else if (Array.isArray(said)) said.forEach((v, k) => view.setUint16(4 * i + 2 * k, v, true));
    else view.setUint32(4 * i, said, true);
  });
  [0, 1].forEach((channel) => heard.getChannelData(channel).forEach((v, t) => view.setInt16(44 + 4 * t + 2 * channel, 32767 * Math.max(-1, Math.min(1, v)), true)));
  return view.buffer;
}

// ---- MIDI

const TICKS = 480; // of a quarter note
const bytes = (text) => [...new TextEncoder().encode(text)];
const big = (value, size) => Array.from({ length: size }, (_, i) => value >>> 8 * (size - 1 - i) & 255);

function long(value) { // a number as MIDI writes it: seven bits a byte
  const found = [value & 127];
  while (value >>= 7) found.unshift(value & 127 | 128);
  return found;
}

function track(name, events) { // [tick, bytes] in order
  let now = 0;
  const inside = [0, 255, 3, ...long(bytes(name).length), ...bytes(name)];
  for (const [tick, said] of events) {
    inside.push(...long(tick - now), ...said);
    now = tick;
  }
  inside.push(0, 255, 47, 0);
  return [...bytes("MTrk"), ...big(inside.length, 4), ...inside];
}

function toMidi({ frames, isGiven, step, tempo, name }) { // tracks: the tempo, what is given, what is made; or all notes in one
  const notes = held(frames), at = (t) => Math.round(t * step * TICKS), kinds = isGiven ? { given: true, made: false } : { notes: false };
  const events = (given) => notes.filter(({ key, begin }) => Boolean(isGiven?.(begin, key)) === given)
    .flatMap(({ key, begin, end }) => [[at(begin), [144, key + LOWEST, 80]], [at(end), [128, key + LOWEST, 0]]])
    .sort(([a, [on]], [b, [and]]) => a - b || on - and); // a note ends before the next begins
  const tracks = [track(name, [[0, [255, 81, 3, ...big(Math.round(6e7 / tempo), 3)]]]), ...Object.entries(kinds).map(([kind, given]) => track(kind, events(given)))];
  return Uint8Array.from([...bytes("MThd"), ...big(6, 4), ...big(1, 2), ...big(tracks.length, 2), ...big(TICKS, 2), ...tracks.flat()]);
}

function readTrack(view, at, end) { // [tick, channel, key, is it a note-on] of each, and the tick of its end
  const found = [];
  let tick = 0, status = 0;
  const number = () => {
    let value = 0, byte;
    do value = value << 7 | (byte = view.getUint8(at++)) & 127; while (byte & 128);
    return value;
  };
  while (at < end) {
    tick += number();
    if (view.getUint8(at) & 128) status = view.getUint8(at++);
    if (status === 255) at++;
    if (status >= 240) { const size = number(); at += size; continue; }
    const kind = status >> 4, key = view.getUint8(at++), force = kind === 12 || kind === 13 ? 0 : view.getUint8(at++);
    if (kind === 9 || kind === 8) found.push([tick, status & 15, key, kind === 9 && force > 0]);
  }
  return { events: found, end: tick };
}

function pair(events, end) { // [onset, end] of a key's notes: first in, first out, as far as all are answered; see notebook 14
  let notes = [], queue = [], settled = [0, 0];
  events.forEach(([tick, on], i) => {
    if (on) queue.push(tick);
    else if (queue.length) notes.push([queue.shift(), tick]);
    if (!queue.length) settled = [i + 1, notes.length];
  });
  notes = notes.slice(0, settled[1]);
  let sounding = [];
  for (const [tick, on] of events.slice(settled[0])) {
    const before = sounding.filter((t) => t < tick);
    if (on) sounding.push(tick);
    else {
      notes.push(...(before.length ? before : sounding).map((t) => [t, tick]));
      sounding = before.length ? sounding.filter((t) => t === tick) : [];
    }
  }
  return [...notes, ...sounding.map((t) => [t, end])];
}

const LARGEST = 2 ** 20, LONGEST = 4096; // bytes of a file, frames of a piece

function fromMidi(buffer, step) { // the frames of a file, each note in one at least; drums are left out
  const view = new DataView(buffer), text = (at) => String.fromCharCode(...Array.from({ length: 4 }, (_, i) => view.getUint8(at + i)));
  if (buffer.byteLength > LARGEST) throw new Error(`the file has ${buffer.byteLength} bytes; at most ${LARGEST} are read`);
  const frames = [];
  try {
    if (text(0) !== "MThd") throw new Error("it does not begin with MThd");
    const [kind, ticks] = [view.getUint16(8), view.getInt16(12)];
    if (kind > 1) throw new Error("it holds several pieces (type 2)");
    if (ticks <= 0) throw new Error("it does not count ticks of a quarter note");
    const frameOf = (tick) => Math.floor(tick / (ticks * step) + 0.5);
    for (let at = 8 + view.getUint32(4), left = view.getUint16(10); left; at += 8 + view.getUint32(at + 4)) {
      if (text(at) !== "MTrk") continue;
      left--;
      const { events, end } = readTrack(view, at + 8, at + 8 + view.getUint32(at + 4)), keys = new Map();
      for (const [tick, channel, key, on] of events) if (channel !== 9) {
        const name = 128 * channel + key;
        keys.set(name, [...keys.get(name) ?? [], [tick, on]]);
      }
      for (const [name, heard] of keys) for (const [on, off] of pair(heard, end)) {
        const key = name % 128 - LOWEST, begin = frameOf(on), last = Math.max(frameOf(off), begin + 1);
        if (last > LONGEST) throw new Error(`it is longer than ${LONGEST * step} quarter notes`);
        while (frames.length < last) frames.push(new Uint8Array(KEYS));
        if (key >= 0 && key < KEYS) for (let t = begin; t < last; t++) frames[t][key] = 1;
      }
    }
  } catch (error) {
    throw new Error(`this file cannot be read as MIDI: ${error instanceof RangeError ? "it ends too early" : error.message}`);
  }
  if (!frames.some((f) => keysOf(f).length)) throw new Error("this file has no notes of a piano");
  return frames;
}

// ---- MusicXML: a piano's two staves, parted at middle C; bars of four quarter notes

const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const VALUES = [[16, "whole"], [12, "half", true], [8, "half"], [6, "quarter", true], [4, "quarter"], [3, "eighth", true], [2, "eighth"], [1, "16th"]];

function note(key, [size, type, dot], more, staff, stop, start) {
  const pitch = () => {
    const [, step, sharp, octave] = /^([A-G])([♯♭]?)(-?\d+)$/.exec(noteName(key));
    return `<pitch><step>${step}</step>${sharp ? `<alter>${sharp === "♯" ? 1 : -1}</alter>` : ""}<octave>${octave}</octave></pitch>`;
  };
  const ties = [stop && "stop", start && "start"].filter(Boolean), told = (tag) => ties.map((t) => `<${tag} type="${t}"/>`).join("");
  return `<note>${more ? "<chord/>" : ""}${key === null ? "<rest/>" : pitch()}<duration>${size}</duration>${told("tie")}<voice>${staff}</voice>` +
    `<type>${type}</type>${dot ? "<dot/>" : ""}<staff>${staff}</staff>${ties.length ? `<notations>${told("tied")}</notations>` : ""}</note>`;
}

function staffOf(frames, each, first, last, staff) { // of a bar: frames that are the same are one note
  const mine = (t) => keysOf(frames[t] ?? []).filter((k) => (k + LOWEST >= 60) === (staff === 1)), same = (a, b) => mine(a).join() === mine(b).join();
  let found = "";
  for (let t = first, end; t < last; t = end) {
    for (end = t + 1; end < last && same(t, end);) end++;
    let left = (end - t) * each;
    while (left >= 1) {
      const value = VALUES.find(([size]) => size <= left), begun = left < (end - t) * each, goesOn = left > value[0], keys = mine(t);
      const ties = (k) => [begun || mine(t - 1).includes(k), goesOn || mine(end).includes(k)];
      found += keys.length ? keys.map((k, i) => note(k, value, i > 0, staff, ...ties(k))).join("") : note(null, value, false, staff);
      left -= value[0];
    }
  }
  return found;
}

function toMusicXml({ frames, step, tempo, name }) {
  const each = Math.max(1, Math.round(4 * step)), bar = Math.max(1, Math.round(16 / each)), bars = [];
  for (let t = 0; t < frames.length; t += bar) {
    const last = Math.min(t + bar, frames.length), begin = `<attributes><divisions>4</divisions><time><beats>4</beats><beat-type>4</beat-type></time>` +
      `<staves>2</staves><clef number="1"><sign>G</sign><line>2</line></clef><clef number="2"><sign>F</sign><line>4</line></clef></attributes>` +
      `<direction><direction-type><words>${tempo} a minute</words></direction-type><sound tempo="${tempo}"/></direction>`;
    bars.push(`<measure number="${t / bar + 1}">${t ? "" : begin}${staffOf(frames, each, t, last, 1)}` +
      `<backup><duration>${(last - t) * each}</duration></backup>${staffOf(frames, each, t, last, 2)}</measure>`);
  }
  return `<?xml version="1.0" encoding="UTF-8"?>\n<score-partwise version="4.0"><work><work-title>${escaped(name)}</work-title></work>` +
    `<part-list><score-part id="P1"><part-name>Piano</part-name></score-part></part-list><part id="P1">${bars.join("\n")}</part></score-partwise>\n`;
}

Object.assign(gruStudy, { KEYS, LOWEST, noteName, keysOf, held, studio, strike, silence, playPiece: play, toWav, toMidi, fromMidi, toMusicXml, escaped });
}];
gruStudy.parts[0]();
