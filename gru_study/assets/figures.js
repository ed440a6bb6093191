// Draws the figures of a page, one after the other: in the colours of the page, light or dark; on a narrow screen panels
// and scales of colour one below the other; titles and buttons as HTML, so that they wrap, are read out and take the keyboard.
const dark = () => {
  const own = document.documentElement.dataset.theme;
  return own ? own === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const plain = (text) => new DOMParser().parseFromString(text ?? "", "text/html").body.textContent; // text is never markup here
const axes = (layout, letter) => Object.keys(layout).filter((k) => k.startsWith(`${letter}axis`));

function set(object, path, value) {
  const keys = path.split("."), last = keys.pop();
  keys.reduce((o, k) => o[k] ??= {}, object)[last] = value;
}

function press(button, data, layout) { // what a button of plotly's changes
  const [first, second] = button.args, [traces, page] = button.method === "relayout" ? [{}, first] : [first, second];
  for (const [path, value] of Object.entries(traces ?? {}))
    data.forEach((t, i) => set(t, path, Array.isArray(value) ? value[i % value.length] : value));
  for (const [path, value] of Object.entries(page ?? {})) set(layout, path, value);
}

function stack(data, layout, inner) { // panels beside each other come one below the other; returns the height of all
  const names = new Map(data.map((t) => [(t.xaxis ?? "x") + (t.yaxis ?? "y"), [t.xaxis ?? "x", t.yaxis ?? "y"]]));
  const axis = (name) => layout[name.replace(/^./, "$&axis")] ??= {};
  const panels = [...names.values()].map(([x, y]) => [axis(x), axis(y)]).map(([x, y]) => ({
    x, y, left: x.domain?.[0] ?? 0, right: x.domain?.[1] ?? 1, low: y.domain?.[0] ?? 0, top: y.domain?.[1] ?? 1}));
  if (new Set(panels.map((p) => p.left)).size < 2) return inner;
  panels.sort((p, q) => q.top - p.top || p.left - q.left);
  const gap = 84, heights = panels.map((p) => Math.max(90, (p.top - p.low) * inner));
  const total = heights.reduce((a, b) => a + b) + gap * (panels.length - 1), notes = [...layout.annotations ?? []];
  let at = total;
  panels.forEach((p, i) => {
    const top = at / total, title = notes.findIndex((n) => n.yref === "paper" && Math.abs(n.y - p.top) < 0.01 && n.x > p.left - 0.01 && n.x < p.right + 0.01);
    if (title >= 0) Object.assign(notes.splice(title, 1)[0], {x: 0, xanchor: "left", y: top});
    Object.assign(p.x, {domain: [0, 1], showticklabels: true});
    Object.assign(p.y, {domain: [Math.max(0, (at - heights[i]) / total), top], showticklabels: true});
    at -= heights[i] + gap;
  });
  return total;
}

function narrowed(data, layout, width) { // for a phone
  const margin = layout.margin;
  Object.assign(margin, {l: Math.min(margin.l, 64), r: 8, b: Math.min(margin.b, 60)});
  layout.font = {...layout.font, size: 12};
  let inner = stack(data, layout, layout.height - margin.t - margin.b), below = 44;
  const bars = [...Object.keys(layout).filter((k) => /^coloraxis/.test(k)).map((k) => layout[k]), ...data.filter((t) => t.colorbar)];
  for (const bar of bars.filter((b) => b.showscale !== false)) {
    bar.colorbar = {...bar.colorbar, orientation: "h", x: 0, xanchor: "left", len: 1, y: -below / inner, yanchor: "top", thickness: 10};
    below += 62;
  }
  const named = new Map(data.filter((t) => t.name && t.showlegend !== false).map((t) => [t.name, 48 + 7 * plain(t.name).length]));
  if (layout.showlegend !== false && data.length > 1 && !(layout.legend?.y > 1)) {
    layout.legend = {...layout.legend, orientation: "h", x: 0, xanchor: "left", y: -below / inner, yanchor: "top"};
    const widest = Math.max(...named.values()), beside = Math.max(1, Math.floor((width - margin.l) / widest));
    below += 20 * Math.ceil(named.size / beside);
  }
  margin.b = below + 12;
  layout.height = inner + margin.t + margin.b;
}

function shaped(figure, width, chosen) {
  const {data, layout} = structuredClone(figure), ink = dark() ? "#d4d8dd" : "#2f3338", none = "rgba(0,0,0,0)";
  const defaults = layout.template?.layout ?? {};
  layout.margin = {l: 70, r: 30, t: 90, b: 60, ...defaults.margin, ...layout.margin};
  layout.height ??= 450;
  const above = Math.min(layout.margin.t - 36, layout.updatemenus ? 80 : 50); // the title, and the buttons
  if (above > 0) { layout.margin.t -= above; layout.height -= above; }
  const menus = htmlMenus(layout);
  menus.forEach((menu, i) => press(menu.buttons[chosen[i]], data, layout));
  delete layout.title;
  if (menus.length) delete layout.updatemenus;
  if (width < 640) narrowed(data, layout, width);
  const fitting = width < 640 || !layout.width || layout.width > width ? {autosize: true, width: undefined} : {};
  return [data, {...layout, ...fitting, font: {...defaults.font, ...layout.font, color: ink}, paper_bgcolor: none, plot_bgcolor: none,
    modebar: {bgcolor: none, color: ink, activecolor: "#2a83c5"}, uirevision: chosen.join()}];
}

const htmlMenus = (layout) => { // the buttons that can be told in HTML: all or none
  const menus = layout.updatemenus ?? [], known = (b) => ["update", "restyle", "relayout"].includes(b.method);
  return menus.every((m) => m.type === "buttons" && m.buttons?.every(known)) ? menus : [];
};

function keyboard(box, words) { // the legend answers to keys, as the bar of buttons does by itself; the drawing is told
  for (const e of box.querySelectorAll(".legendtoggle:not([tabindex])")) {
    const name = e.parentNode.querySelector(".legendtext")?.textContent ?? "";
    for (const [k, v] of Object.entries({tabindex: 0, role: "button", "aria-label": `show or hide ${name}`})) e.setAttribute(k, v);
    e.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      for (const kind of ["mousedown", "mouseup"]) e.dispatchEvent(new MouseEvent(kind, {bubbles: true}));
    });
  }
  const [plot, info, ...rest] = box.querySelectorAll(".main-svg");
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", words);
  if (info) info.setAttribute("role", "group"), info.setAttribute("aria-label", "Legend");
  rest.forEach((svg) => svg.setAttribute("aria-hidden", "true"));
}

// A piece in a figure is played and kept: `meta` of its trace says what a frame lasts, and which key its lowest row is.
function playable(figure, box, title) {
  const isPiece = ({ meta }) => meta?.step > 0 && Number.isFinite(meta.step) && Number.isInteger(meta.lowest); // it may be anybody's
  const { z, meta } = box._fullData.find(isPiece) ?? {};
  if (!meta || figure.player) return;
  const axis = () => box._fullLayout.xaxis, beat = (frame) => 1 + meta.step * (frame - 0.5);
  const player = figure.player = new gruStudy.Player((frame) => {
    const { _offset, _length, l2p } = axis(), at = l2p(beat(frame)), { t, h } = box._fullLayout._size;
    if (player.head.parentNode !== box) box.append(player.head);
    Object.assign(player.head.style, { top: `${t}px`, height: `${h}px`, visibility: at < 0 || at > _length ? "hidden" : "" });
    return _offset + at;
  });
  const frames = Array.from(z[0], (_, t) => Uint8Array.from({length: gruStudy.KEYS}, (_, key) => z[key - meta.lowest]?.[t] > 0.5));
  player.piece = {frames, step: meta.step, tempo: 96, name: title, title, made: document.title, colour: "#0072b2"};
  box.on("plotly_click", ({points: [p]}) => { // while it sounds, it goes on from there
    if (gruStudy.studio.playing?.of === player) player.play(Math.max(0, Math.min(frames.length - 1, Math.round((p.x - 1) / meta.step))));
  });
  figure.querySelector(".buttons").append(player.button, player.keeps);
}

function begin(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent), box = figure.querySelector(".drawn");
  const menus = htmlMenus(data.layout), chosen = menus.map((m) => m.active ?? 0), row = figure.querySelector(".buttons");
  const options = {responsive: true, displaylogo: false, toImageButtonOptions: {filename: plain(data.layout.title?.text) || "figure"}};
  let narrow;
  const plot = async () => {
    narrow = figure.clientWidth < 640;
    const [traces, layout] = shaped(data, figure.clientWidth, chosen);
    box.style.height = `${layout.height}px`;
    await Plotly.react(box, traces, layout, options);
    keyboard(box, figure.dataset.words);
    playable(figure, box, plain(data.layout.title?.text));
    if (!box.listens) box.listens = box.on("plotly_afterplot", () => keyboard(box, figure.dataset.words)); // it may be drawn anew
  };
  menus.forEach((menu, i) => {
    const buttons = menu.buttons.map(({label}, n) => {
      const button = Object.assign(document.createElement("button"), {type: "button", textContent: plain(label)});
      button.onclick = () => { chosen[i] = n; buttons.forEach((b, m) => b.setAttribute("aria-pressed", m === n)); plot(); };
      button.setAttribute("aria-pressed", n === chosen[i]);
      return button;
    });
    row.append(...buttons);
  });
  const drawn = plot();
  new MutationObserver(plot).observe(document.documentElement, {attributeFilter: ["data-theme"]});
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", plot);
  new ResizeObserver(() => { if (figure.clientWidth && narrow !== figure.clientWidth < 640) plot(); }).observe(figure);
  return drawn;
}

function reachable() { // what has to be scrolled can be, without a mouse
  for (const box of document.querySelectorAll(".jp-OutputArea-output, .cell_output, .cell_output .text_html, .highlight pre")) {
    if (box.scrollWidth <= box.clientWidth || box.hasAttribute("tabindex")) continue;
    for (const [k, v] of Object.entries({tabindex: 0, role: "region", "aria-label": "wide output"})) box.setAttribute(k, v);
  }
}

(async () => {
  for (const figure of document.querySelectorAll("figure.plotly")) {
    await new Promise((then) => setTimeout(then)); // the page stays awake
    await begin(figure).catch((e) => console.error(e));
  }
  new ResizeObserver(reachable).observe(document.body);
})();
