// Draws the figures of a page as they come near the screen, in the colours of the page's theme, light or dark.
const dark = () => document.documentElement.dataset.theme === "dark";
const blues = [[0, "#1c2128"], [0.5, "#23669c"], [1, "#9ecbff"]];

function themed(figure) {
  const {data, layout} = structuredClone(figure);
  const ink = dark() ? "#ced6dd" : "#323232", grid = dark() ? "#3a4149" : "#e6e6e6", paper = dark() ? "#1c2128" : "#ffffff";
  const axis = {gridcolor: grid, linecolor: dark() ? "#7d8590" : "#888888"};
  for (const key of Object.keys(layout)) if (/^[xy]axis/.test(key)) layout[key] = {...axis, ...layout[key]};
  for (const menu of layout.updatemenus ?? []) Object.assign(menu, {bgcolor: paper, bordercolor: grid, font: {color: ink}});
  if (dark()) {
    for (const scaled of [...data, ...Object.values(layout)]) if (scaled?.colorscale) scaled.colorscale = blues;
    for (const t of data) if (t.line?.color === "#0072B2") t.line.color = "#4aa3df"; // GRU's blue is too dark there
  }
  return [data, {...layout, autosize: true, font: {...layout.font, color: ink}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: paper, modebar: {bgcolor: "rgba(0,0,0,0)", color: "#888888"}}];
}

function draw(box) {
  const figure = JSON.parse(box.querySelector("script").textContent);
  const plot = () => Plotly.react(box, ...themed(figure), {responsive: true, displaylogo: false});
  plot();
  new MutationObserver(plot).observe(document.documentElement, {attributeFilter: ["data-theme"]});
}

const watcher = new IntersectionObserver((seen) => {
  for (const {isIntersecting, target} of seen) if (isIntersecting) { watcher.unobserve(target); draw(target); }
}, {rootMargin: "600px"});
document.querySelectorAll(".plotly").forEach((box) => watcher.observe(box));
