// Draws one time series as SVG: an area with its line, or dots; and days as bars.

const SVG = "http://www.w3.org/2000/svg";
const LEFT = 34, BOTTOM = 18, TOP = 8;

function add(parent, name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  parent.append(element);
}

/** Round a value up to the next of 1, 2, 5, 10, 20, … for a readable scale. */
export function roundUp(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value - 1e-9);
}

/** Draw `points`, pairs of a time in seconds and a value, that lie in the `span` seconds before `now`. */
export function draw(svg, points, now, span, kind) {
  const width = svg.clientWidth || 480, height = svg.clientHeight || 130;
  const shown = points.filter(([time]) => time >= now - span);
  const top = roundUp(Math.max(0, ...shown.map(([, value]) => value)));
  const x = (time) => LEFT + ((time - now + span) / span) * (width - LEFT - 6);
  const y = (value) => TOP + (1 - value / top) * (height - TOP - BOTTOM);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  for (const value of [0, top / 2, top]) {
    add(svg, "line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) });
    add(svg, "text", { x: LEFT - 7, y: y(value) + 4, "text-anchor": "end" }, String(Number(value.toPrecision(2))));
  }
  add(svg, "text", { x: LEFT, y: height - 2 }, `${span / 60} min ago`);
  add(svg, "text", { x: width, y: height - 2, "text-anchor": "end" }, "now");
  if (kind === "dots") {
    for (const [time, value] of shown) add(svg, "circle", { class: "dot", cx: x(time), cy: y(value), r: 4.5 });
  } else if (shown.length > 1) {
    const line = shown.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(" L");
    add(svg, "path", { class: "area", d: `M${x(shown[0][0])},${y(0)} L${line} L${x(shown.at(-1)[0])},${y(0)} Z` });
    add(svg, "path", { class: "stroke", d: `M${line}` });
  }
}

const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** Draw a bar for each of `days`, objects with a label, two values (the second on top of the first) and a title. */
export function drawDays(svg, days) {
  const width = svg.clientWidth || 960, height = svg.clientHeight || 130;
  const top = roundUp(Math.max(0, ...days.map(({ values }) => values[0] + values[1])));
  const step = (width - LEFT) / days.length, gap = Math.min(4, step / 4);
  const y = (value) => TOP + (1 - value / top) * (height - TOP - BOTTOM);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  for (const value of [0, top / 2, top]) {
    add(svg, "line", { class: "grid", x1: LEFT, x2: width, y1: y(value), y2: y(value) });
    add(svg, "text", { x: LEFT - 7, y: y(value) + 4, "text-anchor": "end" }, compact.format(value));
  }
  add(svg, "text", { x: LEFT, y: height - 2 }, days[0].label);
  add(svg, "text", { x: width, y: height - 2, "text-anchor": "end" }, days.at(-1).label);
  days.forEach(({ values: [low, high], title }, index) => {
    const group = document.createElementNS(SVG, "g"), place = { x: LEFT + index * step + gap / 2, width: step - gap };
    add(group, "title", {}, title);
    add(group, "rect", { class: "space", ...place, y: TOP, height: height - TOP - BOTTOM });
    add(group, "rect", { class: "low", ...place, y: y(low), height: y(0) - y(low) });
    add(group, "rect", { class: "high", ...place, y: y(low + high), height: y(low) - y(low + high) });
    svg.append(group);
  });
}
