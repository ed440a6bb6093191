// A plotly figure as a widget: drawn anew when its JSON changes, told apart when clicked, with its content in words,
// with files to keep and, where one of them is a WAV, a player whose play-head moves over the figure.
async function plotly(model, el, signal) { // read once a page, from the kernel
  const source = window.gruStudyPlotly ? null : await asked(model, "source", el, signal), module = { exports: {} };
  if (!window.gruStudyPlotly) {
    new Function("module", "exports", source.get("text"))(module, module.exports);
    window.gruStudyPlotly = module.exports;
  }
  return window.gruStudyPlotly;
}

const NARROW = 560, LINE = 19, GAP = 76; // pixels: a narrow figure; a line of its title; what lies between two panels

function lines(text, letters) { // a title in lines that fit
  const found = [""];
  for (const word of text.split(" ")) {
    if (found.at(-1) && found.at(-1).length + word.length >= letters) found.push(word);
    else found.push(`${found.pop()} ${word}`.trim());
  }
  return found;
}

function stack(layout) { // panels that stand side by side come one under the other
  const panels = Object.keys(layout).filter((k) => /^xaxis\d*$/.test(k)).map((k) => [layout[k], layout[k.replace("x", "y")]]).filter(([x, y]) => x.domain && y?.domain);
  const rows = new Set(panels.map(([, y]) => y.domain[1])).size, tall = layout.height - layout.margin.t - layout.margin.b;
  if (panels.length === rows) return;
  const each = tall / rows, whole = panels.length * each + (panels.length - 1) * GAP;
  panels.forEach(([x, y], i) => {
    const top = 1 - i * (each + GAP) / whole;
    const title = layout.annotations?.find((a) => a.yref === "paper" && Math.abs(a.y - y.domain[1]) < 0.01 && x.domain[0] < a.x && a.x < x.domain[1]);
    Object.assign(title ?? {}, { x: 0, xanchor: "left", y: top });
    x.domain = [0, 1];
    y.domain = [Math.max(0, top - each / whole), top];
  });
  layout.height += whole - tall;
}

function narrow(layout, data, width) { // what a small screen has room for
  layout.margin = { ...layout.template.layout.margin, ...layout.margin, l: 52, r: 12 };
  stack(layout);
  const title = lines(layout.title.text ?? "", (width - 20) / 7.2), menu = layout.updatemenus?.length ? 40 : 0, head = 34 + LINE * title.length;
  const top = head + menu + (layout.annotations?.length ? 24 : 8), told = data.filter((d) => d.type === "scatter" && d.name && d.showlegend !== false);
  for (const d of told) d.name = lines(d.name, (width - 50) / 5.7).join("<br>");
  const key = layout.showlegend === false || told.length + told.some((d) => d.showlegend) < 2 ? 0 : 20 * told.reduce((n, d) => n + d.name.split("<br>").length, 0);
  const below = 60 + key;
  layout.height += top - layout.margin.t + below - layout.margin.b;
  Object.assign(layout.margin, { t: top, b: below });
  layout.title = { text: title.join("<br>"), font: { size: 14 }, x: 0, xref: "container", xanchor: "left", y: 1 - (26 + LINE) / layout.height, yref: "container", yanchor: "bottom" };
  for (const m of layout.updatemenus ?? []) Object.assign(m, { x: 0, xanchor: "left", y: 1 + (top - head) / (layout.height - top - below), yanchor: "top" });
  layout.legend = { ...layout.legend, font: { size: 11 }, ...(key ? { orientation: "h", x: 0, xanchor: "left", y: 0, yref: "container", yanchor: "bottom" } : {}) };
  for (const note of layout.annotations ?? []) note.font = { size: 11 };
  for (const axis of Object.keys(layout).filter((k) => /^[xy]axis/.test(k)).map((k) => layout[k])) if (axis.title) axis.title.font = { size: 12 };
  const bars = [...Object.keys(layout).filter((k) => k.startsWith("coloraxis")).map((k) => layout[k]), ...data].map((of) => of.colorbar).filter(Boolean);
  for (const bar of bars) Object.assign(bar, { thickness: 7, title: { text: "" }, tickfont: { size: 10 }, xpad: 3 });
}

function keys(box) { // what plotly lets only a mouse do; and what it draws is told in words instead
  box.querySelector(".main-svg")?.setAttribute("aria-hidden", "true");
  for (const button of box.querySelectorAll(".updatemenu-button, .legendtoggle")) {
    const toggle = button.classList.contains("legendtoggle"), name = button.parentNode.querySelector(toggle ? ".legendtext" : "text")?.textContent;
    button.setAttribute("role", "button");
    button.setAttribute("tabindex", "0");
    button.setAttribute("aria-label", toggle ? `show or hide ${name}` : button.textContent);
    button.onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      for (const kind of toggle ? ["mousedown", "mouseup"] : ["click"]) button.dispatchEvent(new MouseEvent(kind, { bubbles: true }));
    };
  }
}

function drawer(Plotly, state, figure, box, words) {
  let again = Promise.resolve();
  return () => again = again.catch(console.error).then(async () => {
    const text = state.get("figure");
    figure.style.display = text ? "" : "none";
    if (!text) return;
    const { data, layout } = JSON.parse(text);
    layout.font = { ...layout.font, color: getComputedStyle(figure).color }; // a theme's own
    if (figure.offsetWidth && figure.offsetWidth < NARROW) narrow(layout, data, figure.offsetWidth);
    box.fixed = layout.width > 0; // it shrinks a little, and is moved sideways after that
    if (layout.width > figure.offsetWidth && figure.offsetWidth) layout.width = Math.max(figure.offsetWidth, 0.7 * layout.width);
    words.textContent = state.get("words");
    const put = () => {
      box.style.height = `${layout.height}px`; // plotly forgets the height when the width changes
      return Plotly.react(box, data, layout, { responsive: true, displaylogo: false });
    };
    await put();
    const below = layout.legend?.yref === "container" ? (box._fullLayout.legend?._height ?? 0) + 66 - layout.margin.b : 0;
    if (below > 0) { // more runs than it has room for
      layout.height += below;
      layout.margin.b += below;
      await put();
    }
    if (box.listens) return;
    box.listens = true;
    box.on("plotly_afterplot", () => keys(box));
    keys(box);
    box.on("plotly_click", ({ points: [p] }) => {
      state.set("clicked", { curve: p.curveNumber, x: p.x, y: p.y, custom: p.customdata ?? null, times: Date.now() });
      state.save_changes();
    });
  });
}

function sound(state, box, player, on, signal) { // the play-head follows the sound; a click on the figure moves both
  const head = document.createElement("div");
  head.className = "gru-head";
  const beat = (seconds) => state.get("clock")[0] + state.get("clock")[1] * seconds;
  const place = () => {
    const audio = player.querySelector("audio"), layout = box._fullLayout;
    if (!audio || !layout?.xaxis) { head.remove(); return; }
    if (head.parentNode !== box) box.append(head);
    const at = layout.xaxis.l2p(beat(audio.currentTime)), inside = at >= 0 && at <= layout.xaxis._length;
    head.style.cssText = `left:${layout.xaxis._offset + at}px; top:${layout._size.t}px; height:${layout._size.h}px; display:${inside && audio.currentTime > 0 ? "block" : "none"}`;
    if (!audio.paused) requestAnimationFrame(place);
  };
  for (const event of ["play", "seeked", "pause", "ended"]) player.addEventListener(event, place, { capture: true, signal });
  on("clicked", () => {
    const audio = player.querySelector("audio"), [first, rate] = state.get("clock"), x = state.get("clicked")?.x;
    if (audio && typeof x === "number") audio.currentTime = Math.max(0, (x - first) / rate);
  });
  return place;
}

function alone() { // one sound at a time on the page
  window.gruStudyAlone ??= document.addEventListener("play", ({ target }) => {
    for (const other of document.querySelectorAll("audio")) if (other !== target) other.pause();
  }, true) ?? true;
}

const kinds = { wav: "audio/wav", mid: "audio/midi" };

function files(state, player) { // links, and the player; the same music at another tempo goes on where it was
  const old = player.querySelector("audio"), { music, rate } = player.heard ?? {}, links = [...player.querySelectorAll("a")];
  const now = player.heard = { music: state.get("music"), rate: state.get("clock")[1] };
  const went = old && music === now.music ? { beats: old.currentTime * rate, on: !old.paused } : { beats: 0, on: false };
  old?.removeAttribute("src"); // it stops reading before what it reads is gone
  old?.load();
  links.forEach((link) => URL.revokeObjectURL(link.href));
  player.replaceChildren();
  for (const [name, bytes] of Object.entries(state.get("files"))) {
    const kind = name.split(".").pop(), link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: kinds[kind] ?? "application/octet-stream" }));
    link.download = name.replace(/[\\/:*?"<>|\x00-\x1f\x7f]/g, "_"); // no folder, and a name that every system takes
    link.textContent = kind.toUpperCase();
    link.title = `keep ${name}`;
    if (kind === "wav") {
      const audio = document.createElement("audio");
      audio.controls = true;
      audio.setAttribute("aria-label", `sound of ${name.slice(0, -4)}`);
      audio.src = link.href;
      audio.currentTime = went.beats / now.rate;
      if (went.on) audio.play();
      player.prepend(audio);
    }
    player.append(link);
  }
  player.style.display = player.childElementCount ? "" : "none";
}

function element(kind, name, parent) {
  const made = document.createElement(kind);
  made.className = name;
  parent.append(made);
  return made;
}

async function render({ model, el, signal }) {
  el.classList.add("gru-plot");
  const figure = element("figure", "", el);
  const box = element("div", "", figure), words = element("figcaption", "gru-words", figure), player = element("div", "gru-player", el);
  const state = await asked(model, "drawn", el, signal), Plotly = await plotly(model, el, signal);
  const on = (name, act) => {
    state.on(`change:${name}`, act);
    signal.addEventListener("abort", () => state.off(`change:${name}`, act));
  };
  const draw = drawer(Plotly, state, figure, box, words), place = sound(state, box, player, on, signal);
  const drawn = () => draw().then(place), filed = () => { files(state, player); place(); };
  let small;
  const resized = new ResizeObserver(() => {
    if (!box._fullLayout || !box.offsetWidth) return;
    const now = box.fixed || box.offsetWidth < NARROW ? Math.round(figure.offsetWidth / 20) : 0;
    (now === small ? Promise.resolve(Plotly.Plots.resize(box)) : drawn()).then(place);
    small = now;
  });
  resized.observe(el);
  const theme = new MutationObserver(drawn);
  theme.observe(document.body, { attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  signal.addEventListener("abort", () => { resized.disconnect(); theme.disconnect(); });
  on("figure", drawn);
  on("files", filed);
  alone();
  await draw();
  filed();
}

export default { render };
