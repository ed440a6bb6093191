// anywidget gives a model two seconds to begin; one that is late it delivers no message any more. So no widget of the lab
// waits for a message to its own model: what is shown lies in an ordinary model, which is asked for.

const PATIENCE = 15; // seconds until a reader is told that nothing has come

async function asked(model, name, el, signal) { // the model that a trait names, asked for until it is there
  const id = model.get(name).slice("IPY_MODEL_".length), late = document.createElement("p");
  late.className = "gru-late";
  el.append(late);
  const timer = setTimeout(() => { late.textContent = "This has not come from the kernel yet and is asked for again and again; " +
    "if the kernel has stopped, run the cell again."; }, 1000 * PATIENCE);
  try {
    while (true) {
      try { return await model.widget_manager.get_model(id); }
      catch { await new Promise((again) => setTimeout(again, 500)); }
      signal.throwIfAborted();
    }
  } finally {
    clearTimeout(timer);
    late.remove();
  }
}

