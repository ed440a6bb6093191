// anywidget gives a model two seconds to begin; one that is late it delivers no message any more. So no widget of the lab
// waits for a message to its own model: what is shown lies in an ordinary model, which is asked for.

const PATIENCE = 15; // seconds until a reader is told that nothing has come

// JupyterLab's commands of single letters match whatever has the focus, a cell is cut by an x that is meant for an app.
if (!window.gruStudyKeys) {
  window.gruStudyKeys = true;
  document.body.addEventListener("keydown", (event) => {
    const plain = !(event.ctrlKey || event.metaKey || event.altKey), app = event.target.closest(".jp-OutputArea-output");
    if (plain && app?.querySelector(".gru-plot, .gru-play")) event.stopPropagation();
  });
}

async function asked(model, name, el, signal) { // the model that a trait names, asked for until it is there
  const id = model.get(name).slice("IPY_MODEL_".length), late = document.createElement("p");
  late.className = "gru-late";
  el.append(late);
  const timer = setTimeout(() => { late.textContent = "This has not come from the kernel yet and is asked for again and again; " +
    "if the kernel has stopped, run the cell again."; }, 1000 * PATIENCE);
  try {
    while (true) {
      try { return watched(await model.widget_manager.get_model(id), el, signal); }
      catch { await new Promise((again) => setTimeout(again, 500)); }
      signal.throwIfAborted();
    }
  } finally {
    clearTimeout(timer);
    late.remove();
  }
}

function watched(state, el, signal) { // a kernel that is started again knows nothing of what it has drawn before
  const gone = () => {
    const app = el.closest(".jp-OutputArea-output") ?? el, said = document.createElement("p");
    if (state.comm_live || app.querySelector(".gru-gone")) return; // once an app, wherever in it
    said.className = "gru-late gru-gone";
    said.setAttribute("role", "alert");
    said.textContent = "The kernel that this belongs to has ended, and nothing here answers any more: run the cell again.";
    el.prepend(said);
    signal.addEventListener("abort", () => said.remove());
  };
  state.on("comm_live_update", gone);
  signal.addEventListener("abort", () => state.off("comm_live_update", gone));
  return state;
}
