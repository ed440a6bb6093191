// An app of play.js in the lab: its shelf is the kernel, which is asked for one thing after the other.

function shelfOf(state) { // an ordinary model, see Shelf in notebook 66
  let turn = Promise.resolve();
  const ask = (wanted) => turn = turn.catch(() => {}).then(() => new Promise((done, failed) => {
    const asked = Date.now(), hear = () => {
      const [what, when, found, why] = state.get("brought");
      if (what !== wanted || when !== asked) return;
      state.off("change:brought", hear);
      why ? failed(new Error(why)) : done(found);
    };
    state.on("change:brought", hear);
    state.set("wanted", [wanted, asked]);
    state.save_changes();
  }));
  const kept = new Map(), once = (wanted, read) => {
    if (!kept.has(wanted)) kept.set(wanted, ask(wanted).then(read).catch((error) => { kept.delete(wanted); throw error; }));
    return kept.get(wanted);
  };
  return {
    get networks() { return state.get("networks"); },
    network: (name) => once(`network ${name}`, (script) => {
      new Function(script)(); // written by gru_study.script
      return gruStudy.networks[name];
    }),
    music: (data) => once(`music ${data}`, JSON.parse),
  };
}

async function render({ model, el, signal }) {
  el.classList.add("gru-play");
  const state = await asked(model, "shelf", el, signal), place = document.createElement("div"), shelf = shelfOf(state);
  el.append(place);
  const begin = () => gruStudy.apps[model.get("app")](place, shelf).catch((error) => { place.textContent = error.message; console.error(error); });
  signal.addEventListener("abort", () => { gruStudy.silence(); state.off("change:networks", begin); });
  state.on("change:networks", begin);
  await begin();
}

export default { render };
