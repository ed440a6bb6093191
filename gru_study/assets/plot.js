// A plotly figure as a widget: drawn anew when its JSON changes, told apart when clicked,
// with files to keep and, where one of them is a WAV, a player whose play-head moves over the figure.

async function plotly(model) { // loaded once a page, from the kernel
  const source = await model.widget_manager.get_model(model.get("source").slice("IPY_MODEL_".length));
  const module = { exports: {} };
  new Function("module", "exports", source.get("value"))(module, module.exports);
  return module.exports;
}

function drawer(Plotly, model, box) {
  let again = Promise.resolve();
  return () => again = again.then(async () => {
    const text = model.get("figure");
    box.style.display = text ? "" : "none";
    if (!text) return;
    const { data, layout } = JSON.parse(text);
    await Plotly.react(box, data, layout, { responsive: true, displaylogo: false });
    if (box.listens) return;
    box.listens = true;
    box.on("plotly_click", ({ points: [p] }) => {
      model.set("clicked", { curve: p.curveNumber, x: p.x, y: p.y, custom: p.customdata ?? null, times: Date.now() });
      model.save_changes();
    });
  });
}

function sound(model, box, player, signal) { // the play-head follows the sound; a click on the figure moves both
  const head = document.createElement("div");
  head.className = "gru-head";
  const beat = (seconds) => model.get("clock")[0] + model.get("clock")[1] * seconds;
  const place = () => {
    const audio = player.querySelector("audio"), layout = box._fullLayout;
    if (!audio || !layout?.xaxis) { head.remove(); return; }
    if (head.parentNode !== box) box.append(head);
    const at = layout.xaxis.l2p(beat(audio.currentTime)), inside = at >= 0 && at <= layout.xaxis._length;
    head.style.cssText = `left:${layout.xaxis._offset + at}px; top:${layout._size.t}px; height:${layout._size.h}px; display:${inside && audio.currentTime > 0 ? "block" : "none"}`;
    if (!audio.paused) requestAnimationFrame(place);
  };
  for (const event of ["play", "seeked", "pause", "ended"]) player.addEventListener(event, place, { capture: true, signal });
  model.on("change:clicked", () => {
    const audio = player.querySelector("audio"), [first, rate] = model.get("clock"), x = model.get("clicked")?.x;
    if (audio && typeof x === "number") audio.currentTime = Math.max(0, (x - first) / rate);
  });
  return place;
}

const kinds = { wav: "audio/wav", mid: "audio/midi" };

function files(model, player) { // links, and the player
  const old = [...player.querySelectorAll("a")].map((link) => link.href);
  player.querySelector("audio")?.removeAttribute("src"); // it stops reading before what it reads is gone
  player.querySelector("audio")?.load();
  old.forEach((url) => URL.revokeObjectURL(url));
  player.replaceChildren();
  for (const [name, bytes] of Object.entries(model.get("files"))) {
    const kind = name.split(".").pop(), link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: kinds[kind] ?? "application/octet-stream" }));
    link.download = name.replace(/[\\/:*?"<>|\x00-\x1f\x7f]/g, "_"); // no folder, and a name that every system takes
    link.textContent = kind.toUpperCase();
    link.title = `keep ${name}`;
    if (kind === "wav") {
      const audio = document.createElement("audio");
      audio.controls = true;
      audio.src = link.href;
      player.prepend(audio);
    }
    player.append(link);
  }
  player.style.display = player.childElementCount ? "" : "none";
}

async function render({ model, el, signal }) {
  const box = document.createElement("div"), player = document.createElement("div");
  player.className = "gru-player";
  el.classList.add("gru-plot");
  el.append(box, player);
  const Plotly = await (window.gruStudyPlotly ??= plotly(model));
  const draw = drawer(Plotly, model, box), place = sound(model, box, player, signal);
  const drawn = () => draw().then(place), filed = () => { files(model, player); place(); };
  const resized = new ResizeObserver(() => { if (box._fullLayout && box.offsetWidth) Promise.resolve(Plotly.Plots.resize(box)).then(place); });
  resized.observe(el);
  signal.addEventListener("abort", () => resized.disconnect());
  model.on("change:figure", drawn);
  model.on("change:files", filed);
  await draw();
  filed();
}

export default { render };
