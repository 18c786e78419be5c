// The figures of a report, drawn into `.chart` elements from the data of `sim/view/figure.py`. No library, no network.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const colour = (name) => `var(--${name})`;
const pixel = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6) return `${+(value / 1e6).toPrecision(3)} M`;
  if (size >= 1e3) return Math.round(value).toLocaleString("en");
  return String(+value.toPrecision(3));
}

const measure = document.createElement("canvas").getContext("2d");
measure.font = "11.5px system-ui, 'DejaVu Sans', sans-serif";
const wide = (text) => measure.measureText(text).width;

// -- What is under the pointer ---------------------------------------------------------------------------------------

const tip = document.getElementById("tip");

function say(text, event) {
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const box = tip.getBoundingClientRect();
  const right = event.clientX + 14 + box.width > innerWidth;
  tip.style.left = `${Math.max(4, right ? event.clientX - box.width - 10 : event.clientX + 14)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, innerHeight - box.height - 4)}px`;
}

function hover(element, text) {
  element.dataset.tip = text;
  element.addEventListener("pointermove", (event) => say(text, event));
  element.addEventListener("pointerleave", () => say(""));
}

// -- Axes ------------------------------------------------------------------------------------------------------------

function steps(low, high, count) {
  const rough = (high - low) / Math.max(count, 1), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high * (1 + 1e-9); at += step) found.push(+at.toPrecision(12));
  return found;
}

function decades(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++)
    for (const digit of [1, 2, 5]) if (digit * 10 ** power >= low && digit * 10 ** power <= high) found.push(digit * 10 ** power);
  return found.length > 9 ? found.filter((v) => Number.isInteger(Math.log10(v)) || Math.abs(Math.log10(v) % 1) < 1e-9) : found;
}

function scale(axis, values, from, to, count) {
  let low, high;
  if (axis.log) {
    const positive = values.filter((v) => v > 0);
    low = Math.min(...positive) / 1.25;
    high = Math.max(...positive) * 1.25;
    const a = Math.log(low), b = Math.log(high);
    return { low, high, at: (v) => from + (Math.log(Math.max(v, low)) - a) / (b - a) * (to - from), ticks: decades(low, high) };
  }
  low = Math.min(0, ...values);
  high = axis.limit ?? Math.max(...values, low + 1e-9) * 1.03;
  return { low, high, at: (v) => from + (v - low) / (high - low) * (to - from), ticks: steps(low, high, count) };
}

function legend(place, entries) {
  const shown = entries.length > 1 ? entries : [];
  place.replaceChildren(...shown.map(([name, key, style]) => {
    const mark = document.createElement("i"), entry = document.createElement("span");
    mark.className = style || "box";
    if (style && style.startsWith("line")) mark.style.borderTopColor = colour(key);
    else mark.style.background = colour(key);
    entry.append(mark, name);
    return entry;
  }));
}

// Where the label of a tick stands: in its middle, but at the right edge within the figure.
function ticked(text, x, y, width) {
  const edge = x + wide(text) / 2 > width;
  return svg("text", { class: "soft", x: edge ? width : x, y, "text-anchor": edge ? "end" : "middle" }, text);
}

// The end of a text, as long as there is room: names of layers differ there.
function fitted(text, pixels) {
  let from = 0;
  while (from < text.length - 1 && wide((from ? "…" : "") + text.slice(from)) > pixels) from++;
  return from ? `…${text.slice(from)}` : text;
}

// -- Kinds -----------------------------------------------------------------------------------------------------------

function bars(figure, chart, d) {
  legend(figure.querySelector(".legend"), d.series.map((s) => [s.name, s.colour]));
  const width = chart.clientWidth, tall = d.rows.length > 12 ? 17 : 26, bottom = 40;
  const longest = Math.max(...d.rows.map(wide)) + 12, left = Math.min(longest, width * 0.36);
  const height = d.rows.length * tall + bottom, totals = d.rows.map((_, n) => d.series.reduce((sum, s) => sum + s.values[n], 0));
  const x = scale(d.axis, [...totals, ...(d.marks || []).map((m) => m[1])], left, width - 12, width / 110);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height });
  for (const tick of x.ticks) {
    root.append(svg("line", { class: "grid", x1: x.at(tick), x2: x.at(tick), y1: 0, y2: height - bottom }));
    root.append(ticked(short(tick), x.at(tick), height - bottom + 14, width));
  }
  root.append(svg("text", { class: "soft", x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, d.axis.label));
  d.rows.forEach((row, n) => {
    const y = n * tall;
    root.append(svg("text", { x: left - 6, y: y + tall / 2 + 4, "text-anchor": "end" }, fitted(row, left - 8)));
    let sum = 0;
    const parts = d.series.filter((s) => s.values[n]).map((s) => `${s.name}: ${short(s.values[n])}`);
    const note = (d.notes || [])[n], text = [row, note, ...parts].filter(Boolean).join("\n");
    const group = svg("g", { class: "row", "data-row": row });
    for (const series of d.series) {
      const value = series.values[n];
      if (!value) continue;
      group.append(svg("rect", {
        x: x.at(sum), y: y + 2, width: Math.max(0.4, x.at(sum + value) - x.at(sum)), height: tall - 4,
        fill: colour(series.colour), "data-value": value,
      }));
      sum += value;
    }
    group.append(svg("rect", { x: 0, y, width, height: tall, fill: "transparent" }));
    hover(group, text);
    root.append(group);
  });
  for (const [name, value] of d.marks || []) {
    const line = svg("line", { class: "axis", x1: x.at(value), x2: x.at(value), y1: 0, y2: height - bottom, "stroke-dasharray": "3 3" });
    hover(line, `${name}: ${short(value)}`);
    root.append(line);
  }
  root.append(svg("line", { class: "axis", x1: left, x2: left, y1: 0, y2: height - bottom }));
  chart.replaceChildren(root);
}

function curves(figure, chart, d) {
  const style = { solid: "line", dashed: "line dashed", points: "point", area: "box" };
  legend(figure.querySelector(".legend"), d.lines.map((l) => [l.name, l.colour, style[l.style]]));
  const width = chart.clientWidth, height = Math.max(230, Math.min(380, width * 0.45)), left = 56, bottom = 42;
  const all = d.lines.flatMap((l) => l.points);
  const x = scale(d.x, all.map((p) => p[0]), left, width - 14, width / 100);
  const y = scale(d.y, all.map((p) => p[1]), height - bottom, 10, height / 60);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height });
  for (const tick of x.ticks) {
    root.append(svg("line", { class: "grid", x1: x.at(tick), x2: x.at(tick), y1: 10, y2: height - bottom }));
    root.append(ticked(short(tick), x.at(tick), height - bottom + 15, width));
  }
  for (const tick of y.ticks) {
    root.append(svg("line", { class: "grid", x1: left, x2: width - 14, y1: y.at(tick), y2: y.at(tick) }));
    root.append(svg("text", { class: "soft", x: left - 7, y: y.at(tick) + 4, "text-anchor": "end" }, short(tick)));
  }
  root.append(svg("text", { class: "soft", x: (left + width) / 2, y: height - 8, "text-anchor": "middle" }, d.x.label));
  root.append(svg("text", { class: "soft", "text-anchor": "middle", transform: `translate(13 ${(height - bottom) / 2}) rotate(-90)` }, d.y.label));
  const places = [];
  for (const line of d.lines) {
    const at = line.points.map((p) => [x.at(p[0]), y.at(p[1])]);
    line.points.forEach((p, n) => places.push([...at[n], `${(line.texts || [])[n] || line.name}\n${short(p[0])}, ${short(p[1])}`]));
    if (line.style === "points") {
      for (const [n, [cx, cy]] of at.entries())
        root.append(svg("circle", { cx, cy, r: 4, fill: colour(line.colour), "fill-opacity": 0.85, "data-x": line.points[n][0], "data-y": line.points[n][1] }));
      continue;
    }
    const path = at.map((p, n) => `${n ? "L" : "M"}${p[0].toFixed(1)} ${p[1].toFixed(1)}`).join("");
    if (line.style === "area" && at.length) {
      const end = `L${at.at(-1)[0]} ${height - bottom}L${at[0][0]} ${height - bottom}Z`;
      root.append(svg("path", { d: path + end, fill: colour(line.colour), "fill-opacity": 0.25 }));
    }
    root.append(svg("path", {
      d: path, fill: "none", stroke: colour(line.colour), "stroke-width": 1.8, "stroke-linejoin": "round",
      ...(line.style === "dashed" ? { "stroke-dasharray": "6 4" } : {}),
    }));
    if (at.length < 30 && line.colour !== "ink")
      for (const [cx, cy] of at) root.append(svg("circle", { cx, cy, r: 2.6, fill: colour(line.colour) }));
  }
  const ring = svg("circle", { r: 7, fill: "none", stroke: colour("ink"), "stroke-width": 1.5, visibility: "hidden" });
  root.append(ring);
  root.addEventListener("pointermove", (event) => {
    const box = root.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let best = null, least = 26;
    for (const place of places) {
      const far = Math.hypot(place[0] - px, place[1] - py);
      if (far < least) [best, least] = [place, far];
    }
    ring.setAttribute("visibility", best ? "visible" : "hidden");
    if (best) ring.setAttribute("cx", best[0]), ring.setAttribute("cy", best[1]);
    say(best ? best[2] : "", event);
  });
  root.addEventListener("pointerleave", () => (ring.setAttribute("visibility", "hidden"), say("")));
  chart.replaceChildren(root);
}

function boxes(figure, chart, d) {
  const used = new Set(d.boxes.map((b) => b.group));
  legend(figure.querySelector(".legend"), d.groups.filter((_, n) => used.has(n)));
  const width = chart.clientWidth, height = width / Math.min(d.aspect, width < 600 ? 1 : d.aspect);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height });
  for (const box of d.boxes) {
    const x = box.x * width, y = box.y * height, w = box.width * width, h = box.height * height;
    const group = svg("g", { class: "box", "data-value": box.value });
    group.append(svg("rect", { x, y, width: w, height: h, fill: colour(d.groups[box.group][1]), stroke: colour("paper"), "stroke-width": 1.5 }));
    if (h > 18 && w > 34) {
      const name = wide(box.name) < w - 10 ? box.name : w > 60 ? fitted(box.name, w - 10) : "";
      group.append(svg("text", { x: x + 5, y: y + 15, style: "fill: #111" }, name));
    }
    hover(group, `${box.text}\n${short(box.value)} ${d.unit}`);
    root.append(group);
  }
  chart.replaceChildren(root);
}

function canvas(chart, height) {
  const made = document.createElement("canvas"), width = chart.clientWidth, dense = devicePixelRatio || 1;
  made.width = Math.round(width * dense);
  made.height = Math.round(height * dense);
  made.style.height = `${height}px`;
  const pen = made.getContext("2d");
  pen.scale(dense, dense);
  pen.font = "11.5px system-ui, 'DejaVu Sans', sans-serif";
  return [made, pen, width];
}

function spans(figure, chart, d) {
  legend(figure.querySelector(".legend"), d.groups);
  const tall = 30, bottom = 40, left = Math.max(...d.lanes.map(wide)) + 12;
  const height = d.lanes.length * tall + bottom, end = d.axis.limit ?? d.bars.reduce((most, b) => Math.max(most, b[2]), 0);
  const [made, pen, width] = canvas(chart, height);
  const view = figure.view || (figure.view = { from: 0, to: end });
  const at = (time) => left + (time - view.from) / (view.to - view.from) * (width - left - 12);
  const time = (px) => view.from + (px - left) / (width - left - 12) * (view.to - view.from);
  function paint() {
    pen.clearRect(0, 0, width, height);
    const shades = d.groups.map((g) => pixel(g[1]));
    pen.save();
    pen.beginPath();
    pen.rect(left, 0, width - left - 12, height - bottom);
    pen.clip();
    for (const [lane, begin, stop, group, , even] of d.bars) {
      if (stop < view.from || begin > view.to) continue;
      pen.globalAlpha = even ? 0.68 : 1;
      pen.fillStyle = shades[group];
      pen.fillRect(at(begin), lane * tall + 3, Math.max(0.6, at(stop) - at(begin)), tall - 6);
    }
    pen.restore();
    pen.globalAlpha = 1;
    pen.fillStyle = pixel("ink");
    pen.textAlign = "left";
    d.lanes.forEach((lane, n) => pen.fillText(lane, 0, n * tall + tall / 2 + 4));
    pen.fillStyle = pixel("soft");
    pen.textAlign = "center";
    for (const tick of steps(view.from, view.to, width / 110)) {
      pen.fillText(short(tick), Math.min(at(tick), width - wide(short(tick)) / 2), height - bottom + 15);
      pen.fillRect(at(tick), height - bottom, 1, 4);
    }
    pen.fillText(d.axis.label, (left + width) / 2, height - 6);
    pen.fillRect(left, height - bottom, width - left - 12, 1);
  }
  function zoom(factor, middle) {
    const centre = middle ?? (view.from + view.to) / 2, span = Math.min(end, (view.to - view.from) * factor);
    view.from = Math.max(0, Math.min(end - span, centre - (centre - view.from) / (view.to - view.from) * span));
    view.to = view.from + span;
    paint();
  }
  made.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, time(event.clientX - made.getBoundingClientRect().left));
  }, { passive: false });
  let dragged = null;
  made.addEventListener("pointerdown", (event) => (dragged = [event.clientX, view.from, view.to]));
  addEventListener("pointerup", () => (dragged = null));
  made.addEventListener("pointermove", (event) => {
    const box = made.getBoundingClientRect();
    if (dragged && view.to - view.from < end) {
      const moved = (dragged[0] - event.clientX) / (width - left - 12) * (dragged[2] - dragged[1]);
      const from = Math.max(0, Math.min(end - (dragged[2] - dragged[1]), dragged[1] + moved));
      [view.from, view.to] = [from, from + dragged[2] - dragged[1]];
      return paint();
    }
    const lane = Math.floor((event.clientY - box.top) / tall), t = time(event.clientX - box.left);
    const slack = (view.to - view.from) / (width - left) * 1.5;
    const found = d.bars.find((b) => b[0] === lane && b[1] - slack <= t && t <= b[2] + slack);
    say(found ? `${d.lanes[lane]}, ${short(found[1])} to ${short(found[2])} ${d.axis.label}\n${d.texts[found[4]]}` : "", event);
  });
  made.addEventListener("pointerleave", () => say(""));
  const buttons = document.createElement("div");
  buttons.className = "zoom";
  for (const [name, act] of [["closer", () => zoom(0.5)], ["wider", () => zoom(2)], ["all", () => zoom(1e9)]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", act);
    buttons.append(button);
  }
  paint();
  chart.replaceChildren(buttons, made);
}

function grids(figure, chart, d) {
  legend(figure.querySelector(".legend"), []);
  const across = d.across, down = Math.ceil(d.panels.length / across), gap = 6, head = 15, foot = 34;
  const side = Math.min(120, (chart.clientWidth - gap * (across - 1)) / across);
  const [made, pen, width] = canvas(chart, down * (side + head + gap) + foot);
  pen.textAlign = "left";
  const places = [];
  d.panels.forEach((panel, n) => {
    const left = (n % across) * (side + gap), top = Math.floor(n / across) * (side + head + gap) + head;
    pen.globalAlpha = 1;
    pen.fillStyle = pixel("soft");
    pen.fillText(fitted(panel.title, side + 6), left, top - 4);
    pen.fillStyle = pixel("raised");
    pen.fillRect(left, top, side, side);
    pen.fillStyle = pixel("blue");
    const high = side / panel.rows.length;
    panel.rows.forEach((row, r) => row.forEach((value, c) => {
      const across = side / row.length;
      pen.globalAlpha = Math.min(1, value / d.high);
      pen.fillRect(left + c * across, top + r * high, across + 0.3, high + 0.3);
    }));
    places.push([left, top, panel]);
  });
  const y = down * (side + head + gap) + 8, ramp = Math.min(160, width * 0.4);
  for (let n = 0; n < 40; n++) {
    pen.globalAlpha = 1;
    pen.fillStyle = pixel("raised");
    pen.fillRect(n * ramp / 40, y, ramp / 40 + 0.5, 9);
    pen.globalAlpha = n / 39;
    pen.fillStyle = pixel("blue");
    pen.fillRect(n * ramp / 40, y, ramp / 40 + 0.5, 9);
  }
  pen.globalAlpha = 1;
  pen.fillStyle = pixel("soft");
  pen.fillText(`0 to ${short(d.high)}: ${d.unit}`, ramp + 8, y + 9);
  made.addEventListener("pointermove", (event) => {
    const box = made.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    const place = places.find(([l, t]) => px >= l && px < l + side && py >= t && py < t + side);
    if (!place) return say("");
    const [left, top, panel] = place, r = Math.floor((py - top) / side * panel.rows.length);
    const c = Math.floor((px - left) / side * panel.rows[r].length);
    say(`${panel.title}, row ${r}, column ${c}\n${short(panel.rows[r][c])} ${d.unit}`, event);
  });
  made.addEventListener("pointerleave", () => say(""));
  chart.replaceChildren(made);
}

const KINDS = { bars, curves, boxes, spans, grids };
