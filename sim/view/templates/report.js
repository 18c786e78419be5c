// What a click does: runs, themes, sorting, comparisons.
"use strict";

const figures = JSON.parse(document.getElementById("data").textContent);
const each = (selector, act, within = document) => within.querySelectorAll(selector).forEach(act);

function draw(figure) {
  const chart = figure.querySelector(".chart");
  if (!chart.clientWidth) return;
  const d = figures[figure.dataset.run][figure.dataset.name];
  KINDS[d.kind](figure, chart, d);
  figure.dataset.drawn = d.kind;
  figure.dataset.width = chart.clientWidth;
}

const drawAll = () => each(".figure", draw);

// -- Runs ------------------------------------------------------------------------------------------------------------

function show(run) {
  each(".run", (article) => (article.hidden = article.dataset.run !== run));
  each(".tab", (tab) => tab.setAttribute("aria-current", String(tab.dataset.run === run)));
  drawAll();
}
each(".tab", (tab) => tab.addEventListener("click", () => show(tab.dataset.run)));

each(".choice", (choice) => choice.addEventListener("click", () => {
  const article = choice.closest(".run"), open = choice.getAttribute("aria-pressed") !== "true";
  each(".choice", (other) => other.setAttribute("aria-pressed", String(open && other === choice)), article);
  each(".comparison", (table) => (table.hidden = !(open && table.dataset.other === choice.dataset.other)), article);
}));
each(".run", (article) => each(".comparison:not([hidden])", (table) =>
  article.querySelector(`.choice[data-other="${table.dataset.other}"]`).setAttribute("aria-pressed", "true"), article));
each(".unchanged", (box) => box.addEventListener("change", () =>
  box.closest(".comparison").classList.toggle("everything", box.checked)));

// -- Tables ----------------------------------------------------------------------------------------------------------

function value(row, column) {
  const cell = row.cells[column];
  return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
}

function sort(head) {
  const table = head.closest("table"), column = head.cellIndex, body = table.tBodies[0];
  const turn = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a, column), value(b, column)];
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;  // empty cells last
    return turn * (typeof x === "number" ? x - y : -x.localeCompare(y, "en", { numeric: true }));
  });
  each("th", (other) => other.removeAttribute("aria-sort"), table);
  head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
  body.append(...rows);
}
each(".sortable thead th", (head) => {
  head.tabIndex = 0;
  head.addEventListener("click", () => sort(head));
  head.addEventListener("keydown", (event) => event.key === "Enter" && sort(head));
});

// -- Themes and sizes ------------------------------------------------------------------------------------------------

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = (root.dataset.theme || (dark ? "dark" : "light")) === "dark" ? "light" : "dark";
  drawAll();
});
for (const media of ["print", "(prefers-color-scheme: dark)"]) matchMedia(media).addEventListener("change", drawAll);
let waiting = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(drawAll);
});
addEventListener("pointerdown", (event) => event.target.closest(".chart") || say(""));

show("0");
