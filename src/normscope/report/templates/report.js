"use strict";
// What the page does where scripts run. Without this script all of it is there to be read.

// -- Tables: a click on a heading sorts by its column, another click turns the order round ---------

const collator = new Intl.Collator("en", { numeric: true });

function text(cell) {
  const parts = [...cell.childNodes].filter((part) => part.nodeName !== "SMALL");
  return parts.map((part) => part.textContent).join("").trim();
}

// Of an interval, which is written "1.50 to 2.25", the lower end.
function number(words) {
  const [first] = words.split(" to ");
  return Number(first.replaceAll(",", "").replace("\u2212", "-").replace(/ %$/, ""));
}

function compared(one, other) {
  const difference = number(one) - number(other);
  return Number.isNaN(difference) ? collator.compare(one, other) : difference;
}

function sortBy(heading) {
  const body = heading.closest("table").tBodies[0];
  const column = heading.cellIndex;
  const down = heading.getAttribute("aria-sort") === "ascending";
  const rows = [...body.rows].map((row) => ({ row, words: text(row.cells[column]) }));
  const empty = ({ words }) => words === "" || words === "\u2013";
  rows.sort((a, b) => empty(a) - empty(b) || (down ? -1 : 1) * compared(a.words, b.words));
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  body.append(...rows.map(({ row }) => row));
}

for (const table of document.querySelectorAll("table:not(.shares)")) {
  if (table.tBodies[0].rows.length < 2) continue;
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sortBy(heading));
    heading.append(button);
  }
}

// -- Curves: the point of a mean that is nearest to the pointer says its norm, epoch and value -----

function element(svg, name, attributes) {
  const made = document.createElementNS(svg.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function pointsOf(svg, curves) {
  const [left, top, right, bottom, firstX, lastX, lowY, highY] = JSON.parse(svg.dataset.axes);
  const x = (epoch) => left + ((epoch - firstX) / (lastX - firstX)) * (right - left);
  const y = (value) => bottom - ((value - lowY) / (highY - lowY)) * (bottom - top);
  return Object.entries(curves).flatMap(([norm, points]) =>
    points.map(([epoch, value]) => ({ norm, epoch, value, x: x(epoch), y: y(value) })),
  );
}

function readOut(svg, curves) {
  const points = pointsOf(svg, curves);
  const dot = element(svg, "circle", { r: 3.5, fill: "none", "stroke-width": 1.5 });
  const label = element(svg, "text", { "font-size": 9, "font-weight": "bold" });
  const group = element(svg, "g", { class: "readout", "aria-hidden": "true" });
  const middle = svg.viewBox.baseVal.width / 2;
  group.append(dot, label);
  svg.addEventListener("pointermove", (event) => {
    const here = new DOMPoint(event.clientX, event.clientY);
    const at = here.matrixTransform(svg.getScreenCTM().inverse());
    const far = (point) => Math.hypot(4 * (point.x - at.x), point.y - at.y); // the epoch first
    const { norm, epoch, value, x, y } = points.reduce((a, b) => (far(b) < far(a) ? b : a));
    for (const [name, place] of [["cx", x], ["cy", y]]) dot.setAttribute(name, place);
    label.setAttribute("x", x + (x < middle ? 7 : -7));
    label.setAttribute("y", y - 6);
    label.setAttribute("text-anchor", x < middle ? "start" : "end");
    label.textContent = `${norm}, epoch ${epoch}: ${value.toFixed(2)}`;
    svg.append(group);
  });
  svg.addEventListener("pointerleave", () => group.remove());
}

for (const figure of document.querySelectorAll("figure[data-curves]")) {
  const curves = JSON.parse(figure.dataset.curves);
  for (const svg of figure.querySelectorAll("svg[data-axes]")) readOut(svg, curves);
}

// -- Pictures: those of one class, and those that one norm gets wrong ------------------------------

for (const filter of document.querySelectorAll(".filter")) {
  const [byClass, byNorm] = filter.querySelectorAll("select");
  const pictures = [...document.querySelectorAll(".gallery > li")];
  const fits = ({ dataset }) =>
    (byClass.value === "" || dataset.class === byClass.value) &&
    (byNorm.value === "" || dataset.norms.split(" ").includes(byNorm.value));
  const apply = () => {
    for (const picture of pictures) picture.hidden = !fits(picture);
    for (const group of document.querySelectorAll(".group")) {
      const own = [...group.querySelectorAll(".gallery > li")];
      group.hidden = own.length > 0 && own.every((picture) => picture.hidden);
    }
    const shown = pictures.filter((picture) => !picture.hidden).length;
    filter.querySelector("output").textContent = `${shown} of ${pictures.length} pictures`;
  };
  filter.addEventListener("change", apply);
  filter.hidden = false;
  apply();
}
